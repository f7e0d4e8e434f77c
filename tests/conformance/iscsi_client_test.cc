// The target as libiscsi, a client that no one here wrote, sees it.
extern "C" {
#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>
}

#include <algorithm>

#include "tests/conformance/iscsi_fixture.h"

namespace coldshelf::testing {
namespace {

struct FreeContext {
  void operator()(iscsi_context* context) const { iscsi_destroy_context(context); }
};
struct FreeTask {
  void operator()(scsi_task* task) const { scsi_free_scsi_task(task); }
};
using Context = std::unique_ptr<iscsi_context, FreeContext>;
using TaskPtr = std::unique_ptr<scsi_task, FreeTask>;

class IscsiClientTest : public IscsiFixture {
 protected:
  Context context(const char* target, iscsi_session_type type = ISCSI_SESSION_NORMAL) {
    Context c(iscsi_create_context("iqn.2026-11.io.coldshelf.test:libiscsi"));
    iscsi_set_session_type(c.get(), type);
    if (target != nullptr) iscsi_set_targetname(c.get(), target);
    iscsi_set_header_digest(c.get(), ISCSI_HEADER_DIGEST_NONE);
    iscsi_set_timeout(c.get(), 10);
    iscsi_set_noautoreconnect(c.get(), 1);
    return c;
  }
  bool connect(iscsi_context* c) {
    return iscsi_connect_sync(c, endpoint().c_str()) == 0 && iscsi_login_sync(c) == 0;
  }
  void write_and_read(iscsi_context* c, uint32_t bytes, uint64_t seed) {
    Buffer data = pattern(bytes, seed);
    const TaskPtr write(iscsi_write10_sync(c, 0, 3, reinterpret_cast<unsigned char*>(data.data()),
                                           bytes, 512, 0, 0, 0, 0, 0));
    ASSERT_TRUE(write);
    ASSERT_EQ(write->status, SCSI_STATUS_GOOD) << iscsi_get_error(c);
    EXPECT_EQ(write->residual_status, SCSI_RESIDUAL_NO_RESIDUAL);
    const TaskPtr read(iscsi_read10_sync(c, 0, 3, bytes, 512, 0, 0, 0, 0, 0));
    ASSERT_TRUE(read);
    ASSERT_EQ(read->status, SCSI_STATUS_GOOD) << iscsi_get_error(c);
    ASSERT_EQ(read->datain.size, static_cast<int>(bytes));
    EXPECT_TRUE(
        std::equal(data.begin(), data.end(), reinterpret_cast<std::byte*>(read->datain.data)));
    EXPECT_EQ(read->residual_status, SCSI_RESIDUAL_NO_RESIDUAL);
  }
};

TEST_F(IscsiClientTest, DiscoversEveryTarget) {
  start();
  const Context c = context(nullptr, ISCSI_SESSION_DISCOVERY);
  ASSERT_TRUE(connect(c.get())) << iscsi_get_error(c.get());
  iscsi_discovery_address* found = iscsi_discovery_sync(c.get());
  ASSERT_NE(found, nullptr) << iscsi_get_error(c.get());
  std::vector<std::string> names;
  for (const auto* a = found; a != nullptr; a = a->next) {
    names.emplace_back(a->target_name);
    ASSERT_NE(a->portals, nullptr);
    EXPECT_EQ(std::string(a->portals->portal), endpoint() + ",1");
  }
  iscsi_free_discovery_data(c.get(), found);
  EXPECT_EQ(names.size(), 2U);
  EXPECT_NE(std::find(names.begin(), names.end(), kTarget), names.end());
  EXPECT_NE(std::find(names.begin(), names.end(), kSecondTarget), names.end());
  EXPECT_EQ(iscsi_logout_sync(c.get()), 0);
}

TEST_F(IscsiClientTest, WritesAndReadsWhateverIsNegotiated) {
  start();
  uint64_t seed = 1;
  for (const auto r2t : {ISCSI_INITIAL_R2T_NO, ISCSI_INITIAL_R2T_YES}) {
    for (const auto immediate : {ISCSI_IMMEDIATE_DATA_NO, ISCSI_IMMEDIATE_DATA_YES}) {
      for (const auto digest : {ISCSI_HEADER_DIGEST_NONE, ISCSI_HEADER_DIGEST_CRC32C}) {
        const Context c = context(kTarget);
        iscsi_set_initial_r2t(c.get(), r2t);
        iscsi_set_immediate_data(c.get(), immediate);
        iscsi_set_header_digest(c.get(), digest);
        ASSERT_TRUE(connect(c.get())) << iscsi_get_error(c.get());
        for (const uint32_t bytes : {512U, 4096U, 65536U, 262144U, 1048576U, 3U * 1048576U})
          write_and_read(c.get(), bytes, seed++);
        ASSERT_EQ(server->sessions().size(), 1U);
        EXPECT_EQ(server->sessions()[0].header_digest, digest == ISCSI_HEADER_DIGEST_CRC32C);
        EXPECT_EQ(iscsi_logout_sync(c.get()), 0);
        EXPECT_TRUE(eventually([this] { return server->connection_count() == 0; }));
      }
    }
  }
}

TEST_F(IscsiClientTest, BlockingUnitsRunOnTheirOwnThreads) {
  start(true);
  const Context c = context(kTarget);
  ASSERT_TRUE(connect(c.get())) << iscsi_get_error(c.get());
  for (uint32_t bytes = 512; bytes <= 1048576; bytes *= 2) write_and_read(c.get(), bytes, bytes);
}

class IscsiChapClientTest : public IscsiClientTest {
 protected:
  void SetUp() override {
    options.chap = iscsi::ChapCredentials{"backup", Secret(std::string_view("initiator-secret"))};
    options.mutual = iscsi::ChapCredentials{"shelf", Secret(std::string_view("the-target-secret"))};
    start();
  }
};

TEST_F(IscsiChapClientTest, OneWay) {
  const Context c = context(kTarget);
  iscsi_set_initiator_username_pwd(c.get(), "backup", "initiator-secret");
  ASSERT_TRUE(connect(c.get())) << iscsi_get_error(c.get());
  write_and_read(c.get(), 4096, 5);
}

TEST_F(IscsiChapClientTest, Mutual) {
  const Context c = context(kTarget);
  iscsi_set_initiator_username_pwd(c.get(), "backup", "initiator-secret");
  iscsi_set_target_username_pwd(c.get(), "shelf", "the-target-secret");
  ASSERT_TRUE(connect(c.get())) << iscsi_get_error(c.get());
  write_and_read(c.get(), 4096, 5);
}

TEST_F(IscsiChapClientTest, MutualNoticesAWrongTarget) {
  const Context c = context(kTarget);
  iscsi_set_initiator_username_pwd(c.get(), "backup", "initiator-secret");
  iscsi_set_target_username_pwd(c.get(), "shelf", "not-the-target-secret");
  EXPECT_FALSE(connect(c.get()));
}

TEST_F(IscsiChapClientTest, RefusesAWrongSecretAWrongNameAndNone) {
  for (const auto& [user, secret] : {std::pair("backup", "another-secret-1"),
                                     std::pair("nobody", "initiator-secret"), std::pair("", "")}) {
    const Context c = context(kTarget);
    if (user[0] != 0) iscsi_set_initiator_username_pwd(c.get(), user, secret);
    EXPECT_FALSE(connect(c.get())) << user;
  }
  EXPECT_TRUE(server->sessions().empty());
}

TEST_F(IscsiClientTest, ResidualsAreExact) {
  start();
  const Context c = context(kTarget);
  ASSERT_TRUE(connect(c.get())) << iscsi_get_error(c.get());
  // READ of 1 block, 4,096 bytes expected: underflow.
  const auto command = [&](std::vector<uint8_t> cdb, int direction, int expected, iscsi_data* out) {
    cdb.resize(10);
    TaskPtr task(scsi_create_task(10, cdb.data(), direction, expected));
    iscsi_scsi_command_sync(c.get(), 0, task.get(), out);
    return task;
  };
  TaskPtr task = command(read10(0, 1), SCSI_XFER_READ, 4096, nullptr);
  EXPECT_EQ(task->status, SCSI_STATUS_GOOD);
  EXPECT_EQ(task->residual_status, SCSI_RESIDUAL_UNDERFLOW);
  EXPECT_EQ(task->residual, 4096U - 512U);
  // READ of 8 blocks, 512 expected: overflow.
  task = command(read10(0, 8), SCSI_XFER_READ, 512, nullptr);
  EXPECT_EQ(task->residual_status, SCSI_RESIDUAL_OVERFLOW);
  EXPECT_EQ(task->residual, 8U * 512U - 512U);
  Buffer bytes = pattern(4096, 9);
  iscsi_data data{bytes.size(), reinterpret_cast<unsigned char*>(bytes.data())};
  task = command(write10(0, 1), SCSI_XFER_WRITE, 4096, &data);
  EXPECT_EQ(task->status, SCSI_STATUS_GOOD);
  EXPECT_EQ(task->residual_status, SCSI_RESIDUAL_UNDERFLOW);
  EXPECT_EQ(task->residual, 4096U - 512U);
  data.size = 512;
  task = command(write10(0, 8), SCSI_XFER_WRITE, 512, &data);
  EXPECT_EQ(task->residual_status, SCSI_RESIDUAL_OVERFLOW);
  EXPECT_EQ(task->residual, 8U * 512U - 512U);
}

TEST_F(IscsiClientTest, ManySessionsAtOnce) {
  options.io_threads = 2;
  start(true);
  std::vector<std::thread> threads;
  for (uint32_t n = 0; n < 8; ++n) {
    threads.emplace_back([this, n] {
      const Context c = context(kTarget);
      iscsi_set_isid_random(c.get(), 1000 + n, n);
      ASSERT_TRUE(connect(c.get())) << iscsi_get_error(c.get());
      for (uint32_t round = 0; round < 20; ++round) {
        Buffer data = pattern(65536, n * 100 + round);
        const uint32_t lba = n * 256;
        const TaskPtr write(iscsi_write10_sync(c.get(), 0, lba,
                                               reinterpret_cast<unsigned char*>(data.data()), 65536,
                                               512, 0, 0, 0, 0, 0));
        ASSERT_TRUE(write && write->status == SCSI_STATUS_GOOD) << iscsi_get_error(c.get());
        const TaskPtr read(iscsi_read10_sync(c.get(), 0, lba, 65536, 512, 0, 0, 0, 0, 0));
        ASSERT_TRUE(read && read->status == SCSI_STATUS_GOOD);
        ASSERT_TRUE(
            std::equal(data.begin(), data.end(), reinterpret_cast<std::byte*>(read->datain.data)));
      }
      iscsi_logout_sync(c.get());
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_TRUE(eventually([this] { return server->connection_count() == 0; }));
  EXPECT_EQ(server->data_out_bytes_held(), 0U);
}

TEST_F(IscsiClientTest, TaskManagement) {
  start();
  const Context c = context(kTarget);
  ASSERT_TRUE(connect(c.get())) << iscsi_get_error(c.get());
  EXPECT_EQ(iscsi_task_mgmt_abort_task_set_sync(c.get(), 0), 0);
  EXPECT_EQ(iscsi_task_mgmt_lun_reset_sync(c.get(), 0), 0);
  EXPECT_EQ(iscsi_task_mgmt_target_warm_reset_sync(c.get()), 0);
  const auto events = unit->events();
  EXPECT_EQ(std::count(events.begin(), events.end(), "reset 0"), 1);
  EXPECT_EQ(std::count(events.begin(), events.end(), "reset 1"), 1);
}

}  // namespace
}  // namespace coldshelf::testing
