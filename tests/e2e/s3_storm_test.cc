// A tape over iSCSI through the real daemon into S3 while the server fails in every way the
// imposter knows: it comes back bit-identical.
//
// COLDSHELF_STORM_MIB: data on the tape (96). COLDSHELF_STORM_SEED: of the storm and the data.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/clock.h"
#include "base/random.h"
#include "tests/e2e/gateway.h"
#include "tests/support/s3_imposter.h"

namespace coldshelf::test {
namespace {

constexpr size_t kRecordBytes = 256 * KiB;
constexpr uint64_t kRecordsPerFile = 64;
// Far above what a storm takes, on a machine that is busy with other things too.
constexpr int64_t kPatienceMs = 120'000;
constexpr int64_t kPatiencePerRecordMs = 20;

uint64_t number_of(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

Buffer record_of(uint64_t seed, uint64_t number) {
  Buffer out(kRecordBytes);
  SeededRandom(seed * 1'000'003 + number).fill(out);
  return out;
}

class S3StormTest : public testing::Test {
 protected:
  void SetUp() override {
    std::printf("seed %llu, %llu records\n", static_cast<unsigned long long>(seed_),
                static_cast<unsigned long long>(records_));
    ImposterOptions options;
    options.directory = bodies_.path();
    options.slow_bytes_per_s = 8 * MiB;
    options.expedited_delay_ms = 500;
    options.standard_delay_ms = 1'000;
    auto server = S3Imposter::start(options);
    ASSERT_TRUE(server.ok()) << server.error().message();
    server_ = std::move(server).value();
    const std::string secret = bodies_.path() + "/secret";
    std::ofstream(secret) << options.secret_key << "\n";
    std::filesystem::permissions(secret, std::filesystem::perms::owner_read);
    gateway_ = std::make_unique<Gateway>(
        "[cartridge]\nsegment_size = \"8MiB\"\n"
        "[cache]\nlimit = \"64MiB\"\n"
        "[store]\ntype = \"s3\"\nurl = \"s3://tapes/storm\"\nrestore_poll = \"1s\"\n"
        "[store.s3]\nendpoint = \"" +
        server_->endpoint() +
        "\"\nregion = \"us-east-1\"\nconnect_timeout = \"2s\"\n"
        "idle_timeout = \"1s\"\ncopy_timeout = \"2s\"\n"
        "access_key_id = \"" +
        options.access_key + "\"\nsecret_key_file = \"" + secret + "\"\n");
    ASSERT_TRUE(gateway_->start().ok()) << gateway_->log();
    gateway_->ok({"tape", "create", "--barcode", "STORM1L8", "--size", "100GiB"});
    server_->set_storm({seed_, 10, all_s3_faults()});
    server_->set_list_lag_ms(2'000);
  }

  // Again, when the drive says that the store does not answer at the moment; not when it says that
  // the data is lost: it stands behind that by then.
  template <typename Do>
  Status patiently(const Do& once) {
    const int64_t end = clock_.unix_ms() + kPatienceMs;
    Status done = once();
    while (!done.ok() && done.error().code != ErrorCode::corrupt && clock_.unix_ms() < end) {
      clock_.sleep_ms(200);
      done = once();
    }
    return done;
  }
  Result<TapeClient> load() {
    gateway_->ok({"library", "load", "STORM1L8", "1"});
    return gateway_->drive(1);
  }
  void write() {
    auto client = load();
    ASSERT_TRUE(client.ok()) << client.error().message();
    for (uint64_t i = 0; i < records_; ++i) {
      Buffer record = record_of(seed_, i);
      const Status written = client->write(record);
      ASSERT_TRUE(written.ok()) << i << ": " << written.error().message();
      if (i % kRecordsPerFile == kRecordsPerFile - 1) {
        ASSERT_TRUE(client->write_filemarks(1, false).ok());
      }
    }
    ASSERT_TRUE(client->write_filemarks(1, false).ok());
  }
  void check() {
    auto client = load();
    ASSERT_TRUE(client.ok()) << client.error().message();
    ASSERT_TRUE(client->rewind().ok());
    Buffer room(kRecordBytes);
    const auto next = [&](TapeClient::Next::Kind kind, size_t size) {
      TapeClient::Next found;
      const Status read = patiently([&]() -> Status {
        ASSIGN_OR_RETURN(found, client->read_next(room));
        return {};
      });
      ASSERT_TRUE(read.ok()) << read.error().message() << "\n" << gateway_->log();
      ASSERT_EQ(found.kind, kind);
      ASSERT_EQ(found.size, size);
    };
    for (uint64_t i = 0; i < records_ && !HasFatalFailure(); ++i) {
      next(TapeClient::Next::Kind::record, kRecordBytes);
      ASSERT_TRUE(equal(room, record_of(seed_, i))) << "record " << i;
      if (i % kRecordsPerFile == kRecordsPerFile - 1) next(TapeClient::Next::Kind::filemark, 0);
    }
    next(TapeClient::Next::Kind::filemark, 0);
    next(TapeClient::Next::Kind::end_of_data, 0);
  }
  void wait_for_status(const std::string& wanted) {
    const int64_t end =
        clock_.unix_ms() + kPatienceMs + static_cast<int64_t>(records_) * kPatiencePerRecordMs;
    std::string status;
    while (status != wanted && clock_.unix_ms() < end) {
      status = gateway_->json({"tape", "show", "STORM1L8"}).at("Status").get<std::string>();
      clock_.sleep_ms(100);
    }
    ASSERT_EQ(status, wanted) << gateway_->log();
  }

  const uint64_t seed_ = number_of("COLDSHELF_STORM_SEED", 1);
  const uint64_t records_ = number_of("COLDSHELF_STORM_MIB", 96) * MiB / kRecordBytes;
  SystemClock clock_;
  const ScratchDirectory bodies_{std::filesystem::temp_directory_path()};
  std::unique_ptr<S3Imposter> server_;
  std::unique_ptr<Gateway> gateway_;
};

TEST_F(S3StormTest, ATapeComesBackBitIdentical) {
  write();
  if (HasFatalFailure()) return;
  // 1. From a cache that holds a part of it, after the program was killed and started anew.
  gateway_->kill();
  ASSERT_TRUE(gateway_->start().ok()) << gateway_->log();
  gateway_->cli({"library", "unload", "1"});  // where the kill left it
  check();
  if (HasFatalFailure()) return;
  // 2. Onto the shelf and back.
  gateway_->ok({"library", "unload", "1"});
  gateway_->ok({"tape", "archive", "STORM1L8"});
  wait_for_status("ARCHIVED");
  if (HasFatalFailure()) return;
  for (const std::string& key : server_->keys("tapes")) {
    if (!key.ends_with(".seg")) continue;
    EXPECT_EQ(server_->object("tapes", key)->storage_class, "GLACIER") << key;
  }
  gateway_->ok({"tape", "retrieve", "STORM1L8", "--tier", "Expedited"});
  wait_for_status("RETRIEVED");
  if (HasFatalFailure()) return;
  check();
  std::printf("%llu requests, %llu faults\n", static_cast<unsigned long long>(server_->requests()),
              static_cast<unsigned long long>(server_->faults_done()));
  EXPECT_GT(server_->faults_done(), 10U);
  for (const std::string& rejection : server_->rejections()) {
    EXPECT_NE(rejection.find("/probe-"), std::string::npos) << rejection;  // it lies to find out
  }
}

}  // namespace
}  // namespace coldshelf::test
