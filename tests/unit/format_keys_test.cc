// Key-encryption keys: forms they come in, wrapping, and what errors say (never the key).
#include "tape/format/keys.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

#include "tests/support/segment_builder.h"

namespace coldshelf {
namespace {

constexpr std::string_view kHex =
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

KeyEncryptionKey key_of(std::string_view text) {
  auto key = KeyEncryptionKey::parse(text);
  CHECK(key.ok());
  return std::move(key).value();
}

TEST(FormatKeys, ThreeFormsOfOneKey) {
  Buffer raw;
  ASSERT_TRUE(from_hex(kHex, raw));
  const std::string id = key_of(kHex).id();
  EXPECT_EQ(id.size(), 20U);
  EXPECT_TRUE(id.starts_with("kek-"));
  EXPECT_EQ(key_of(as_text(raw)).id(), id);
  EXPECT_EQ(key_of(to_base64(raw)).id(), id);
  EXPECT_EQ(key_of(std::string(kHex) + "\r\n").id(), id);
  EXPECT_EQ(key_of(to_text(raw) + "\n").id(), id);
  // A raw key whose last byte looks like white space is taken whole.
  raw[31] = std::byte{'\n'};
  EXPECT_EQ(key_of(as_text(raw)).id(), key_of(to_hex(raw)).id());
  EXPECT_NE(key_of(as_text(raw)).id(), id);
}

TEST(FormatKeys, MalformedKeysAreRefusedWithoutBeingShown) {
  const std::string almost = "zz" + std::string(kHex.substr(2));
  for (const std::string& bad : {std::string(), std::string("   \n"), std::string("hunter2"),
                                 almost, std::string(kHex.substr(2)), std::string(kHex) + "00",
                                 std::string(44, '!'), std::string(43, 'A') + "A"}) {
    auto key = KeyEncryptionKey::parse(bad);
    ASSERT_FALSE(key.ok()) << bad;
    EXPECT_EQ(key.error().code, ErrorCode::invalid_argument);
    if (bad.size() > 4) {
      EXPECT_EQ(key.error().message().find(bad.substr(2, 8)), std::string::npos);
    }
  }
}

TEST(FormatKeys, WrapAndUnwrap) {
  SeededRandom random(1);
  const KeyEncryptionKey key = key_of(kHex);
  const Secret data_key = generate_data_key(random);
  EXPECT_EQ(data_key.reveal_bytes().size(), 32U);
  const WrappedKey wrapped = *key.wrap(data_key, test_uuid(1), random);
  EXPECT_EQ(wrapped.key_id, key.id());
  auto back = key.unwrap(wrapped, test_uuid(1));
  ASSERT_TRUE(back.ok());
  EXPECT_TRUE(equal(back->reveal_bytes(), data_key.reveal_bytes()));
  EXPECT_NE(*key.wrap(data_key, test_uuid(1), random), wrapped);  // another nonce

  auto elsewhere = key.unwrap(wrapped, test_uuid(2));
  ASSERT_FALSE(elsewhere.ok());
  EXPECT_EQ(elsewhere.error().code, ErrorCode::corrupt);
  for (size_t i = 0; i < wrapped.wrapped.size(); ++i) {
    WrappedKey damaged = wrapped;
    damaged.wrapped[i] ^= std::byte{1};
    EXPECT_FALSE(key.unwrap(damaged, test_uuid(1)).ok()) << i;
    damaged = wrapped;
    damaged.wrapped.resize(i);
    EXPECT_FALSE(key.unwrap(damaged, test_uuid(1)).ok()) << i;
  }
}

TEST(FormatKeys, AnotherKeyIsNamed) {
  SeededRandom random(2);
  const KeyEncryptionKey key = key_of(kHex);
  const Secret text = KeyEncryptionKey::generate_text(random);
  ASSERT_EQ(text.reveal().size(), 64U);
  const KeyEncryptionKey other = key_of(text.reveal());
  auto result = other.unwrap(*key.wrap(test_key(3), test_uuid(1), random), test_uuid(1));
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::key_mismatch);
  EXPECT_NE(result.error().context.find(key.id()), std::string::npos);
  EXPECT_NE(result.error().context.find(other.id()), std::string::npos);
  EXPECT_EQ(result.error().context.find(text.reveal().substr(0, 8)), std::string::npos);
}

TEST(FormatKeys, FromFileAndEnvironment) {
  char name[] = "/tmp/coldshelf-key-XXXXXX";
  ASSERT_NE(mkdtemp(name), nullptr);
  const std::string path = std::string(name) + "/key";
  std::ofstream(path) << kHex << "\n";
  PosixFileSystem files;
  for (const unsigned open_mode : {0640U, 0604U, 0620U, 0601U}) {
    ASSERT_EQ(::chmod(path.c_str(), open_mode), 0);
    auto refused = KeyEncryptionKey::load_file(files, path);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, ErrorCode::permission);
    EXPECT_NE(refused.error().context.find("chmod 600"), std::string::npos);
  }
  ASSERT_EQ(::chmod(path.c_str(), 0600), 0);
  auto key = KeyEncryptionKey::load_file(files, path);
  ASSERT_TRUE(key.ok()) << key.error().message();
  EXPECT_EQ(key->id(), key_of(kHex).id());
  std::ofstream(path) << "too short";
  auto bad = KeyEncryptionKey::load_file(files, path);
  ASSERT_FALSE(bad.ok());
  EXPECT_NE(bad.error().context.find(path), std::string::npos);
  EXPECT_EQ(bad.error().context.find("too short"), std::string::npos);
  EXPECT_EQ(KeyEncryptionKey::load_file(files, path + "x").error().code, ErrorCode::not_found);
  std::filesystem::remove_all(name);

  ::setenv("COLDSHELF_TEST_KEY", std::string(kHex).c_str(), 1);
  auto from_environment = KeyEncryptionKey::load_environment("COLDSHELF_TEST_KEY");
  ASSERT_TRUE(from_environment.ok());
  EXPECT_EQ(from_environment->id(), key_of(kHex).id());
  ::unsetenv("COLDSHELF_TEST_KEY");
  EXPECT_EQ(KeyEncryptionKey::load_environment("COLDSHELF_TEST_KEY").error().code,
            ErrorCode::not_found);
}

TEST(FormatKeys, FromACommand) {
  auto key = KeyEncryptionKey::load_command("echo " + std::string(kHex));
  ASSERT_TRUE(key.ok()) << key.error().message();
  EXPECT_EQ(key->id(), key_of(kHex).id());
  for (const auto& [command, code] :
       std::map<std::string, ErrorCode>{{"echo sEcReT-but-no-key", ErrorCode::invalid_argument},
                                        {"false", ErrorCode::io},
                                        {"/no/such/program", ErrorCode::not_found},
                                        {"head -c 5000 /dev/zero", ErrorCode::out_of_range},
                                        {"", ErrorCode::invalid_argument}}) {
    auto bad = KeyEncryptionKey::load_command(command);
    ASSERT_FALSE(bad.ok()) << command;
    EXPECT_EQ(bad.error().code, code) << bad.error().message();
    EXPECT_EQ(bad.error().context.find("sEcReT"), std::string::npos);
  }
}

TEST(KeyRing, WrapsWithTheCurrentKeyAndOpensWithAll) {
  SeededRandom random(7);
  const auto make = [](char digit) {
    return std::make_unique<const KeyEncryptionKey>(key_of(std::string(64, digit)));
  };
  KeyRing ring(make('a'));
  ASSERT_TRUE(ring.add_old(make('b')).ok());
  EXPECT_EQ(ring.add_old(make('a')).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(ring.ids(), (std::vector<std::string>{make('a')->id(), make('b')->id()}));
  auto made = ring.make_data_key(test_uuid(1), random);
  ASSERT_TRUE(made.ok());
  EXPECT_EQ(made->wrapped.key_id, make('a')->id());
  EXPECT_EQ(ring.unwrap(made->wrapped, test_uuid(1))->reveal(), made->plain.reveal());
  EXPECT_EQ(ring.unwrap(made->wrapped, test_uuid(2)).error().code, ErrorCode::corrupt);
  const WrappedKey old = *make('b')->wrap(made->plain, test_uuid(1), random);
  EXPECT_TRUE(ring.opens(old.key_id));
  EXPECT_EQ(ring.unwrap(old, test_uuid(1))->reveal(), made->plain.reveal());
  const WrappedKey foreign = *make('c')->wrap(made->plain, test_uuid(1), random);
  EXPECT_FALSE(ring.opens(foreign.key_id));
  auto refused = ring.unwrap(foreign, test_uuid(1));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::key_mismatch);
  for (const std::string& id : {make('a')->id(), make('b')->id(), foreign.key_id}) {
    EXPECT_NE(refused.error().context.find(id), std::string::npos) << id;
  }
  EXPECT_EQ(ring.unwrap({}, test_uuid(1)).error().code, ErrorCode::corrupt);
}

}  // namespace
}  // namespace coldshelf
