// A data directory that is not the only one or not the last one: set back to an earlier copy (a
// machine's snapshot, a backup), or copied and used twice. What the store has beyond it stays.
#include <gtest/gtest.h>

#include "tests/support/plain_store.h"
#include "tests/support/shelf_rig.h"
#include "uploader/bucket_check.h"

namespace coldshelf::test {
namespace {

class SetBack : public testing::Test {
 protected:
  SetBack() { a_.run_once(); }

  bool idle(const Uuid& id) {
    a_.run_once();
    return a_.run_until([&] {
      const TapeRow row = **a_.catalog().tape(id);
      return row.uploaded_manifest_generation == row.manifest_generation &&
             a_.all_in_state(id, SegmentState::verified);
    });
  }
  Uuid written(const std::string& barcode, size_t records) {
    const Uuid id = a_.create(barcode);
    EXPECT_TRUE(a_.ownership().claim_barcode(barcode, id).ok());
    a_.write(id, 0, records);
    EXPECT_TRUE(idle(id));
    return id;
  }

  struct Copy {
    std::map<std::string, Buffer> files;
    TapeRow row;
    std::vector<SegmentRow> segments;
    std::vector<uint64_t> records;
  };
  Copy copy(const Uuid& id) {
    Copy out;
    for (const std::string& path : a_.disk().all_files()) {
      if (path.starts_with(a_.directory(id))) out.files[path] = *a_.disk().content(path);
    }
    out.row = **a_.catalog().tape(id);
    out.segments = *a_.catalog().segments(id);
    out.records = a_.records(id);
    return out;
  }
  // The gateway ends, its directory is what it was then, and it starts.
  void set_back(const Uuid& id, const Copy& copy) {
    a_.restart(false);
    for (const std::string& path : a_.disk().all_files()) {
      if (!path.starts_with(a_.directory(id))) continue;
      ASSERT_TRUE(a_.disk().remove(path).ok());
    }
    for (const auto& [path, content] : copy.files) {
      ASSERT_TRUE(a_.disk().replace_file(path, content).ok());
    }
    std::vector<std::pair<uint64_t, uint64_t>> later;
    const std::vector<SegmentRow> rows = *a_.catalog().segments(id);
    for (const SegmentRow& row : rows) later.emplace_back(row.sequence, row.epoch);
    ASSERT_TRUE(a_.catalog().remove_segments(id, later).ok());
    ASSERT_TRUE(a_.catalog().put_tape(copy.row).ok());
    ASSERT_TRUE(a_.catalog().put_segments(copy.segments).ok());
    a_.knows(id, copy.records);
    ASSERT_TRUE(a_.ownership().open().ok());
    const Status done = a_.shelf().reconcile();
    ASSERT_TRUE(done.ok()) << done.error().message();
  }
  void expect_whole_store() {
    const auto buffers = BufferPool::create(1 * MiB);
    StoreCheckOptions deep;
    deep.deep = true;
    const auto report = check_store(a_.store(), clock_, *buffers, deep);
    ASSERT_TRUE(report.ok());
    EXPECT_EQ(report->problems_total, 0U) << report->problems[0].key << report->problems[0].what;
  }

  SimClock clock_;
  SimFileSystem store_disk_;
  ShelfRig a_{1, {}, {"sgw-A", &store_disk_, &clock_}};
};

// What is written then takes the names and the numbers of what the store has.
TEST_F(SetBack, WhatTheStoreHasBeyondItIsNotOverwritten) {
  const Uuid id = written("ABC001L8", 20);
  const Copy yesterday = copy(id);
  a_.write(id, SIZE_MAX, 30);
  ASSERT_TRUE(idle(id));
  const std::vector<uint64_t> records = a_.records(id);
  const Manifest today = *a_.stored_manifest(id);

  set_back(id, yesterday);
  for (int i = 0; i < 4; ++i) a_.write(id, SIZE_MAX, 30);  // its generation passes the store's
  ASSERT_GT(a_.manifest(id).generation, today.generation);
  a_.run_until([] { return false; }, 10 * 60'000);
  EXPECT_EQ(*a_.stored_manifest(id), today);
  EXPECT_TRUE(a_.fenced(id));
  EXPECT_NE((*a_.catalog().tape(id))->problem.find("earlier copy"), std::string::npos)
      << (*a_.catalog().tape(id))->problem;
  expect_whole_store();

  // The way on: what the store has.
  const auto taken = a_.shelf().take_over("ABC001L8", false);
  ASSERT_TRUE(taken.ok()) << taken.error().message();
  a_.knows(id, records);
  const Status read = a_.read_all(id, 20);
  EXPECT_TRUE(read.ok()) << read.error().message();
}

// One that was not written since the copy was made is gone on with.
TEST_F(SetBack, WhatTheStoreHasNoMoreOfGoesOn) {
  const Uuid id = written("ABC001L8", 20);
  set_back(id, copy(id));
  a_.write(id, SIZE_MAX, 30);
  EXPECT_TRUE(idle(id));
  EXPECT_FALSE(a_.fenced(id));
  EXPECT_TRUE(a_.read_all(id, 20).ok());
}

// The lease tells of a start since then: cartridges are compared before they are served.
TEST_F(SetBack, IsFoundAtTheStartByTheLease) {
  const GatewayIdentity self{"sgw-C", "c", "host", "i"};
  Ownership::Options options;
  options.known_epoch = 0;
  Ownership first({&a_.store(), &clock_}, self, options);
  ASSERT_TRUE(first.open().ok());
  EXPECT_FALSE(first.set_back());
  options.known_epoch = 1;
  Ownership second({&a_.store(), &clock_}, self, options);
  ASSERT_TRUE(second.open().ok());
  EXPECT_FALSE(second.set_back());
  Ownership again({&a_.store(), &clock_}, self, options);  // its disk is the one before `second`
  ASSERT_TRUE(again.open().ok());
  EXPECT_TRUE(again.set_back());
}

// A clone of the machine: the same identity, instance and all.
TEST_F(SetBack, OfTwoWithOneIdentityTheFirstStops) {
  const GatewayIdentity self{"sgw-C", "c", "host", "i"};
  Ownership original({&a_.store(), &clock_}, self, {});
  ASSERT_TRUE(original.open().ok());
  Ownership::Options options;
  options.known_epoch = 1;
  Ownership clone({&a_.store(), &clock_}, self, options);
  ASSERT_TRUE(clone.open().ok());
  bool told = false;
  original.on_lost([&](const Error&) { told = true; });
  for (int i = 0; i < 3; ++i) {
    clock_.advance_ms(11'000);
    original.tick();
    clone.tick();
  }
  ASSERT_TRUE(told);
  EXPECT_EQ(original.may_write().error().code, ErrorCode::write_protected);
  EXPECT_NE(original.view().problem.find("copy"), std::string::npos) << original.view().problem;
  EXPECT_TRUE(clone.may_write().ok());
}

// Without conditions no put is refused: whoever was rebuilt elsewhere has to look.
TEST(WithoutConditions, ARebuiltGatewayShutsTheOldOneOut) {
  SimClock clock;
  SimFileSystem disk;
  LocalDirectoryOptions local;
  local.root = "/store";
  auto store = LocalDirectoryStore::open(disk, clock, local);
  ASSERT_TRUE(store.ok());
  PlainStore plain(**store);
  Ownership old({&plain, &clock}, {"sgw-A", "a", "host", "old"}, {});
  ASSERT_TRUE(old.open().ok());
  Ownership::Options options;
  options.take_identity = true;
  Ownership rebuilt({&plain, &clock}, {"sgw-A", "a", "host", "new"}, options);
  ASSERT_TRUE(rebuilt.open().ok());
  for (int i = 0; i < 3; ++i) {
    clock.advance_ms(11'000);
    old.tick();
    rebuilt.tick();
  }
  ASSERT_FALSE(old.may_write().ok());
  EXPECT_EQ(old.may_write().error().code, ErrorCode::write_protected);
  EXPECT_TRUE(rebuilt.may_write().ok());
  EXPECT_EQ(rebuilt.view().lease.epoch, 2U);
}

}  // namespace
}  // namespace coldshelf::test
