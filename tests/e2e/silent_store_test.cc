// A store that takes requests and says nothing: what is here goes on, starts and ends in time.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "base/clock.h"
#include "base/random.h"
#include "tests/e2e/gateway.h"
#include "tests/support/s3_imposter.h"

namespace coldshelf::test {
namespace {

constexpr unsigned kPools = 12;
constexpr unsigned kVolumes = 8;

class SilentStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    auto server = S3Imposter::start(ImposterOptions());
    ASSERT_TRUE(server.ok()) << server.error().message();
    server_ = std::move(server).value();
  }
  void configure(const std::string& idle_timeout, const std::string& of_store = "",
                 std::string text = "") {
    const std::string secret = gateway_.directory() + "/secret";
    std::ofstream(secret) << server_->options().secret_key << "\n";
    std::filesystem::permissions(secret, std::filesystem::perms(0600));
    text += "[store]\ntype = \"s3\"\nurl = \"s3://tapes/silent\"\n" + of_store +
            "[store.s3]\nendpoint = \"" + server_->endpoint() +
            "\"\nregion = \"us-east-1\"\naccess_key_id = \"" + server_->options().access_key +
            "\"\nsecret_key_file = \"" + secret + "\"\nidle_timeout = \"" + idle_timeout + "\"\n";
    for (unsigned n = 0; n < kPools; ++n) {
      text += "[[pool]]\nname = \"P" + std::to_string(n) + "\"\nstorage_class = \"STANDARD\"\n";
    }
    gateway_.set_configuration(text);
  }
  size_t local_segments() const {
    size_t count = 0;
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(gateway_.data() + "/cartridges")) {
      count += entry.path().string().ends_with(".seg") ? 1 : 0;
    }
    return count;
  }
  void fall_silent() { server_->set_storm({1, 1, {S3Fault::hang_before_answer}}); }
  // With so many seconds to answer; the exit code.
  int cli_within(int seconds, const std::vector<std::string>& arguments) {
    std::vector<std::string> command = {"timeout", std::to_string(seconds), program("coldshelf"),
                                        "--data", gateway_.data()};
    command.insert(command.end(), arguments.begin(), arguments.end());
    const auto done = run_to_end(command);
    return done.ok() ? done->exit_code : -1;
  }
  void write_tape() {
    gateway_.ok({"tape", "create", "--barcode", "QUIET1L8", "--size", "1GiB"});
    gateway_.ok({"library", "load", "QUIET1L8", "1"});
    auto client = gateway_.drive(1);
    ASSERT_TRUE(client.ok()) << client.error().message();
    Buffer record = numbered_record(1, 0, 64 * KiB);
    ASSERT_TRUE(client->write(record).ok());
    ASSERT_TRUE(client->write_filemarks(1, false).ok());
  }

  std::unique_ptr<S3Imposter> server_;
  Gateway gateway_;
  SystemClock clock_;
};

// Each pool asked it once more, four times with its retries: with the defaults and a dozen pools
// systemd's fifteen minutes were over before anything was served.
TEST_F(SilentStoreTest, AStartDoesNotWaitForItPoolByPool) {
  configure("500ms");
  fall_silent();
  ASSERT_TRUE(gateway_.start().ok()) << gateway_.log();
  EXPECT_EQ(gateway_.stop(), 0) << gateway_.log();
}

// What a volume needs to be opened may be in the store alone.
TEST_F(SilentStoreTest, AStartDoesNotWaitForItVolumeByVolume) {
  configure("300ms", "", "[cache]\nlimit = \"1B\"\n");
  ASSERT_TRUE(gateway_.start().ok()) << gateway_.log();
  const std::string image = gateway_.directory() + "/image.raw";
  Buffer bytes(1 * MiB);
  SeededRandom(7).fill(bytes);
  std::ofstream(image) << as_text(bytes);
  for (unsigned n = 0; n < kVolumes; ++n) {
    gateway_.ok({"volume", "import", image, "--name", "v" + std::to_string(n)});
  }
  for (int i = 0; i < 300 && local_segments() > 0; ++i) clock_.sleep_ms(100);
  ASSERT_EQ(local_segments(), 0U);
  ASSERT_EQ(gateway_.stop(), 0) << gateway_.log();
  fall_silent();
  ASSERT_TRUE(gateway_.start().ok()) << gateway_.log();
  server_->clear_faults();
  size_t available = 0;
  for (int i = 0; i < 600 && available < kVolumes; ++i) {
    clock_.sleep_ms(100);
    available = 0;
    const nlohmann::json all = gateway_.json({"volume", "list"});
    for (const auto& volume : all.at("Volumes")) {
      available += volume.at("Status") == "AVAILABLE" ? 1 : 0;
    }
  }
  EXPECT_EQ(available, kVolumes) << gateway_.log();
}

// With nothing to do but to renew the lease.
TEST_F(SilentStoreTest, AnEndDoesNotWaitForIt) {
  configure("20s", "lease_ttl = \"5s\"\n");
  ASSERT_TRUE(gateway_.start().ok()) << gateway_.log();
  fall_silent();
  clock_.sleep_ms(2'000);
  const int64_t began_ms = clock_.unix_ms();
  EXPECT_EQ(gateway_.stop(), 0) << gateway_.log();
  EXPECT_LT(clock_.unix_ms() - began_ms, 20'000) << gateway_.log();
}

TEST_F(SilentStoreTest, OperationsThatWaitForItHoldUpNothingElse) {
  configure("20s");
  ASSERT_TRUE(gateway_.start().ok()) << gateway_.log();
  ASSERT_NO_FATAL_FAILURE(write_tape());
  fall_silent();
  std::vector<std::thread> waiting;
  for (int i = 0; i < 10; ++i) {
    waiting.emplace_back([this] { cli_within(120, {"tape", "list", "--shelf"}); });
    waiting.emplace_back([this] { cli_within(120, {"volume", "list", "--detached"}); });
  }
  clock_.sleep_ms(2'000);
  EXPECT_EQ(cli_within(5, {"status"}), 0);
  EXPECT_EQ(cli_within(5, {"tape", "list"}), 0);
  EXPECT_EQ(cli_within(10, {"library", "unload", "1"}), 0);
  EXPECT_EQ(cli_within(10, {"library", "load", "QUIET1L8", "2"}), 0);
  // And the end is one, with all of them waiting: nobody has to kill it.
  const int64_t began_ms = clock_.unix_ms();
  EXPECT_EQ(gateway_.stop(), 0) << gateway_.log();
  EXPECT_LT(clock_.unix_ms() - began_ms, 90'000) << gateway_.log();
  for (std::thread& one : waiting) one.join();
  server_->clear_faults();
  ASSERT_TRUE(gateway_.start().ok()) << gateway_.log();
  auto client = gateway_.drive(2);
  ASSERT_TRUE(client.ok()) << client.error().message();
  Buffer room(1 * MiB);
  const auto next = client->read_next(room);
  ASSERT_TRUE(next.ok()) << next.error().message();
  EXPECT_TRUE(equal(ByteView(room).first(next->size), numbered_record(1, 0, 64 * KiB)));
}

}  // namespace
}  // namespace coldshelf::test
