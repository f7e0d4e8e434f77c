// A key's whole life with the real daemon: made, used, replaced, gone.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "tests/e2e/gateway.h"

namespace coldshelf::test {
namespace {

uint64_t tapes_under(Gateway& gateway, const std::string& state) {
  uint64_t tapes = 0;
  const nlohmann::json status = gateway.json({"key", "status"});
  for (const auto& key : status["Keys"]) {
    if (key["State"] == state) tapes += key["Tapes"].get<uint64_t>();
  }
  return tapes;
}

TEST(Keys, AreRotatedAndTheOldOneCanGo) {
  Gateway gateway;
  const std::string old_key = gateway.directory() + "/old.key";
  const std::string new_key = gateway.directory() + "/new.key";
  gateway.ok({"key", "generate", "--to", old_key});
  gateway.ok({"key", "generate", "--to", new_key});
  gateway.set_configuration("[encryption]\nkey_file = \"" + old_key + "\"\n");
  ASSERT_TRUE(gateway.start().ok()) << gateway.log();
  gateway.ok({"tape", "create", "--barcode", "KEYS01L8", "--size", "1GiB", "--count", "3"});
  gateway.ok({"library", "load", "KEYS01L8", "1"});
  {
    auto client = gateway.drive(1);
    ASSERT_TRUE(client.ok()) << client.error().message();
    for (unsigned n = 0; n < 50; ++n) {
      Buffer record = numbered_record(5, n, 256 * KiB);
      ASSERT_TRUE(client->write(record).ok());
    }
  }
  gateway.ok({"library", "unload", "1"});
  gateway.ok({"tape", "archive", "KEYS02L8", "--wait"});
  EXPECT_EQ(tapes_under(gateway, "current"), 3U);
  ASSERT_EQ(gateway.stop(), 0) << gateway.log();

  // The new key in use, the old one printed by a program.
  gateway.set_configuration("[encryption]\nkey_file = \"" + new_key +
                            "\"\n[[encryption.old_key]]\nkey_command = \"cat " + old_key + "\"\n");
  ASSERT_TRUE(gateway.start().ok()) << gateway.log();
  EXPECT_EQ(tapes_under(gateway, "old"), 3U);
  gateway.ok({"key", "rotate", "--wait"});
  EXPECT_EQ(tapes_under(gateway, "old"), 0U);
  EXPECT_EQ(tapes_under(gateway, "current"), 3U);
  ASSERT_EQ(gateway.stop(), 0) << gateway.log();

  gateway.set_configuration("[encryption]\nkey_file = \"" + new_key + "\"\n");
  ASSERT_TRUE(gateway.start().ok()) << gateway.log();
  gateway.ok({"library", "load", "KEYS01L8", "1"});
  {
    auto client = gateway.drive(1);
    ASSERT_TRUE(client.ok()) << client.error().message();
    ASSERT_TRUE(client->rewind().ok());
    Buffer room(256 * KiB);
    for (unsigned n = 0; n < 50; ++n) {
      auto got = client->read_next(room);
      ASSERT_TRUE(got.ok()) << got.error().message();
      ASSERT_TRUE(equal(ByteView(room).first(got->size), numbered_record(5, n, 256 * KiB)));
    }
  }
  gateway.ok({"library", "unload", "1"});
  ASSERT_EQ(gateway.stop(), 0) << gateway.log();

  // Without it: everything is listed, nothing is loaded.
  gateway.set_configuration("[encryption]\nkey_file = \"" + old_key + "\"\n");
  ASSERT_TRUE(gateway.start().ok()) << gateway.log();
  EXPECT_EQ(gateway.json({"tape", "show", "KEYS01L8"})["KeyState"], "missing");
  const auto shown = gateway.cli({"tape", "show", "KEYS01L8"});
  EXPECT_NE(shown.output.find("key missing"), std::string::npos) << shown.output;
  EXPECT_EQ(gateway.json({"tape", "list"})["Tapes"].size(), 3U);
  const auto refused = gateway.cli({"library", "load", "KEYS01L8", "1"});
  EXPECT_NE(refused.exit_code, 0);
  EXPECT_NE(refused.output.find("kek-"), std::string::npos) << refused.output;
  const auto failed = gateway.cli({"key", "rotate", "--wait"});
  EXPECT_NE(failed.exit_code, 0);
  EXPECT_NE(failed.output.find("KEYS01L8"), std::string::npos) << failed.output;
}

TEST(Keys, AFileThatOthersMayReadStopsTheStart) {
  Gateway gateway;
  const std::string key = gateway.directory() + "/key";
  gateway.ok({"key", "generate", "--to", key});
  ASSERT_EQ(::chmod(key.c_str(), 0644), 0);
  gateway.set_configuration("[encryption]\nkey_file = \"" + key + "\"\n");
  CommandResult result;
  ASSERT_TRUE(gateway.start_expecting_exit(result).ok());
  EXPECT_NE(result.exit_code, 0);
  EXPECT_NE(result.output.find("chmod 600"), std::string::npos) << result.output;
}

}  // namespace
}  // namespace coldshelf::test
