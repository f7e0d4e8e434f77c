// base/: coding, checksums, identifiers, files, executors, secrets, log.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>

#include "base/buffer_pool.h"
#include "base/clock.h"
#include "base/coding.h"
#include "base/crc32c.h"
#include "base/executor.h"
#include "base/file_system.h"
#include "base/log.h"
#include "base/random.h"
#include "base/secret.h"
#include "base/sha256.h"
#include "base/uuid.h"
#include "tests/support/memory_file.h"
#include "tests/support/process.h"

namespace coldshelf {
namespace {

using test::ScratchDirectory;

std::string scratch_parent() {
  const char* set = std::getenv("TMPDIR");
  return set != nullptr ? set : "/tmp";
}

TEST(Coding, RoundTripsLittleEndianFields) {
  Buffer out;
  Encoder e(out);
  e.u8(0x12);
  e.u16(0x3456);
  e.u32(0x789abcde);
  e.u64(0x0123456789abcdef);
  e.string("tape");
  EXPECT_EQ(out[1], std::byte{0x56});
  Decoder d(out);
  EXPECT_EQ(d.u8(), 0x12);
  EXPECT_EQ(d.u16(), 0x3456);
  EXPECT_EQ(d.u32(), 0x789abcdeU);
  EXPECT_EQ(d.u64(), 0x0123456789abcdefU);
  EXPECT_EQ(d.string(), "tape");
  EXPECT_TRUE(d.ok());
  EXPECT_EQ(d.remaining(), 0U);
}

TEST(Coding, VarintTakesEveryWidth) {
  for (unsigned bits = 0; bits < 64; ++bits) {
    for (const uint64_t v : {(uint64_t{1} << bits) - 1, uint64_t{1} << bits}) {
      Buffer out;
      Encoder(out).varint(v);
      Decoder d(out);
      EXPECT_EQ(d.varint(), v);
      EXPECT_TRUE(d.ok());
    }
  }
  Buffer most;
  Encoder(most).varint(~uint64_t{0});
  EXPECT_EQ(most.size(), 10U);
  Decoder d(most);
  EXPECT_EQ(d.varint(), ~uint64_t{0});
}

TEST(Coding, VarintRefusesMoreThan64Bits) {
  const Buffer eleven(11, std::byte{0xff});
  Decoder d(eleven);
  EXPECT_EQ(d.varint(), 0U);
  EXPECT_FALSE(d.ok());
}

TEST(Coding, OverrunsAreRememberedAndGiveZero) {
  const Buffer three(3, std::byte{1});
  Decoder d(three);
  EXPECT_EQ(d.u32(), 0U);
  EXPECT_FALSE(d.ok());
  EXPECT_EQ(d.u8(), 0U) << "after an overrun nothing is read";
  Buffer lying;
  Encoder(lying).varint(1000);
  Decoder blob(lying);
  EXPECT_TRUE(blob.blob().empty());
  EXPECT_FALSE(blob.ok());
}

TEST(Coding, BigEndianOnTheWire) {
  std::byte b[8];
  store_be<uint32_t>(b, 0x01020304);
  EXPECT_EQ(b[0], std::byte{1});
  EXPECT_EQ(load_be<uint32_t>(b), 0x01020304U);
  store_be24(b, 0xabcdef);
  EXPECT_EQ(b[0], std::byte{0xab});
  EXPECT_EQ(load_be24(b), 0xabcdefU);
}

TEST(Crc32c, KnownVectors) {  // RFC 7143 appendix A.4 (RFC 3720 B.4)
  EXPECT_EQ(crc32c(Buffer(32, std::byte{0})), 0x8a9136aaU);
  EXPECT_EQ(crc32c(Buffer(32, std::byte{0xff})), 0x62a8ab43U);
  EXPECT_EQ(crc32c(as_view("123456789")), 0xe3069283U);
}

TEST(Crc32c, GoesOnWhereItStopped) {
  const std::string_view text = "an archive that stays readable";
  EXPECT_EQ(crc32c(as_view(text.substr(7)), crc32c(as_view(text.substr(0, 7)))),
            crc32c(as_view(text)));
}

TEST(Sha256, KnownVector) {  // FIPS 180-4 example "abc"
  EXPECT_EQ(to_hex(Sha256::of(as_view("abc"))),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  Sha256 steps;
  steps.update(as_view("a"));
  steps.update(as_view("bc"));
  EXPECT_EQ(steps.finish(), Sha256::of(as_view("abc")));
}

TEST(Sha256, OfAFileGoesOnWhereAReadFailed) {
  Buffer content(300'000);
  SeededRandom(5).fill(content);
  MemoryFile file{ByteView(content)};
  file.fail_read(2);
  Sha256 sha;
  uint64_t at = 10;
  EXPECT_EQ(hash_file(file, at, content.size(), sha).error().code, ErrorCode::io);
  EXPECT_GT(at, 10U);
  EXPECT_LT(at, content.size());
  ASSERT_TRUE(hash_file(file, at, content.size(), sha).ok());
  EXPECT_EQ(at, content.size());
  EXPECT_EQ(sha.finish(), Sha256::of(ByteView(content).subspan(10)));
}

TEST(Bytes, LeadingZeroes) {
  EXPECT_EQ(leading_zeroes({}), 0U);
  EXPECT_TRUE(all_zeroes({}));
  Buffer b(1000, std::byte{0});
  EXPECT_TRUE(all_zeroes(b));
  for (const size_t at : {size_t{0}, size_t{1}, size_t{500}, size_t{999}}) {
    b[at] = std::byte{1};
    EXPECT_EQ(leading_zeroes(b), at);
    EXPECT_FALSE(all_zeroes(b));
    b[at] = std::byte{0};
  }
}

TEST(Text, HexAndBase64) {
  Buffer out;
  EXPECT_TRUE(from_hex("00fFa5", out));
  EXPECT_EQ(to_hex(out), "00ffa5");
  EXPECT_FALSE(from_hex("0", out));
  EXPECT_FALSE(from_hex("0g", out));
  for (const auto& [plain, coded] : std::initializer_list<std::pair<const char*, const char*>>{
           {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foobar", "Zm9vYmFy"}}) {
    EXPECT_EQ(to_base64(as_view(plain)), coded);  // RFC 4648 clause 10
    EXPECT_TRUE(from_base64(coded, out));
    EXPECT_EQ(as_text(out), plain);
  }
  for (const char* bad : {"Z", "Zg=", "Zg=a", "Z===", "Zg==Zg==", "Z!==", "===="}) {
    EXPECT_FALSE(from_base64(bad, out)) << bad;
  }
}

TEST(Uuid, ParsesWhatItPrints) {
  SystemRandom random;
  const Uuid id = Uuid::generate(random);
  EXPECT_EQ(Uuid::parse(id.to_string()), id);
  EXPECT_EQ(id.to_string()[14], '4');
  for (const char* bad : {"", "123", "00000000-0000-0000-0000-00000000000g",
                          "00000000000000000000000000000000----"}) {
    EXPECT_FALSE(Uuid::parse(bad).has_value()) << bad;
  }
  EXPECT_TRUE(Uuid{}.is_nil());
}

TEST(Random, SeededIsRepeatable) {
  SeededRandom a(7);
  SeededRandom b(7);
  SeededRandom c(8);
  EXPECT_EQ(a.next(), b.next());
  EXPECT_NE(a.next(), c.next());
  for (int i = 0; i < 100; ++i) EXPECT_LT(a.below(3), 3U);
}

TEST(Clock, FormatsUtc) {
  EXPECT_EQ(format_utc(0), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(format_utc(1795224645123), "2026-11-21T01:30:45.123Z");
}

TEST(Result, CarriesErrorsOn) {
  auto inner = []() -> Status { return Error(ErrorCode::no_space, "disk"); };
  auto outer = [&]() -> Result<int> {
    TRY(inner());
    return 1;
  };
  const Result<int> r = outer();
  ASSERT_FALSE(r.ok());
  EXPECT_EQ(r.error().code, ErrorCode::no_space);
  EXPECT_EQ(r.error().disposition, Disposition::no_space);
  EXPECT_EQ(r.error().message(), "no_space: disk");
}

TEST(PosixFileSystem, WritesReadsAndReportsErrors) {
  ScratchDirectory scratch(scratch_parent());
  PosixFileSystem files;
  const std::string path = scratch.path() + "/a";
  auto file = files.open(path, OpenMode::create);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->write_at(3, as_view("data")).ok());
  ASSERT_TRUE((*file)->sync().ok());
  EXPECT_EQ(*(*file)->size(), 7U);
  Buffer back(4);
  ASSERT_TRUE((*file)->read_at(3, back).ok());
  EXPECT_EQ(as_text(back), "data");
  Buffer beyond(10);
  EXPECT_EQ((*file)->read_at(0, beyond).error().code, ErrorCode::corrupt);
  EXPECT_EQ(files.open(path, OpenMode::create).error().code, ErrorCode::exists);
  EXPECT_EQ(files.open(path + "x", OpenMode::read).error().code, ErrorCode::not_found);
  EXPECT_FALSE(*files.exists(path + "x"));
}

TEST(PosixFileSystem, WritesPiecesOneAfterTheOther) {
  ScratchDirectory scratch(scratch_parent());
  PosixFileSystem files;
  auto file = files.open(scratch.path() + "/a", OpenMode::create);
  ASSERT_TRUE(file.ok());
  // More than one call of the system takes, empty ones between.
  std::vector<Buffer> parts;
  Buffer expected;
  for (size_t i = 0; i < 300; ++i) {
    parts.emplace_back(i % 7 == 0 ? 0 : i, static_cast<std::byte>(i));
    append(expected, parts.back());
  }
  const std::vector<ByteView> pieces(parts.begin(), parts.end());
  ASSERT_TRUE((*file)->write_pieces_at(5, pieces).ok());
  EXPECT_EQ(*(*file)->size(), 5 + expected.size());
  Buffer back(expected.size());
  ASSERT_TRUE((*file)->read_at(5, back).ok());
  EXPECT_EQ(back, expected);
  ASSERT_TRUE((*file)->write_pieces_at(0, {}).ok());
  auto read_only = files.open(scratch.path() + "/a", OpenMode::read);
  ASSERT_TRUE(read_only.ok());
  EXPECT_EQ((*read_only)->write_pieces_at(0, pieces).error().code, ErrorCode::io);
}

TEST(PosixFileSystem, ReplacesAFileWhole) {
  ScratchDirectory scratch(scratch_parent());
  PosixFileSystem files;
  const std::string path = scratch.path() + "/state";
  ASSERT_TRUE(files.replace_file(path, as_view("one")).ok());
  ASSERT_TRUE(files.replace_file(path, as_view("two")).ok());
  EXPECT_EQ(as_text(*files.read_file(path)), "two");
  EXPECT_EQ(files.read_file(path, 2).error().code, ErrorCode::out_of_range);
  EXPECT_EQ(files.list(scratch.path())->size(), 1U);
}

TEST(PosixFileSystem, ALockIsHeldOnce) {
  ScratchDirectory scratch(scratch_parent());
  PosixFileSystem files;
  const std::string path = scratch.path() + "/lock";
  auto first = files.lock(path);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(files.lock(path).error().code, ErrorCode::busy);
  first->reset();
  EXPECT_TRUE(files.lock(path).ok());
}

TEST(PosixFileSystem, CreatesDirectoriesWithParents) {
  ScratchDirectory scratch(scratch_parent());
  PosixFileSystem files;
  ASSERT_TRUE(files.create_directories(scratch.path() + "/a/b/c").ok());
  EXPECT_TRUE(files.info(scratch.path() + "/a/b/c")->is_directory);
  ASSERT_TRUE(files.replace_file(scratch.path() + "/f", as_view("x")).ok());
  EXPECT_EQ(files.create_directories(scratch.path() + "/f").error().code, ErrorCode::exists);
}

TEST(WorkerPool, RunsEverythingBeforeItEnds) {
  std::atomic<int> done{0};
  {
    WorkerPool pool(3);
    for (int i = 0; i < 1000; ++i) pool.submit([&done] { done.fetch_add(1); });
  }
  EXPECT_EQ(done.load(), 1000);
}

TEST(BufferPool, ReusesAndStaysWithinItsLimit) {
  auto pool = BufferPool::create(1 * MiB);
  const std::byte* first = nullptr;
  {
    auto a = pool->take(1 * MiB);
    first = a->data();
    EXPECT_EQ(a->size(), 1 * MiB);
  }
  auto again = pool->take(1 * MiB - 100);
  EXPECT_EQ(again->data(), first);
  auto outlives = pool->take(100);
  pool.reset();
  outlives->back() = std::byte{1};
}

TEST(Secret, IsComparedInConstantTimeAndMoved) {
  Secret a("twelve-bytes");
  EXPECT_TRUE(constant_time_equal(a.reveal_bytes(), as_view("twelve-bytes")));
  EXPECT_FALSE(constant_time_equal(a.reveal_bytes(), as_view("twelve-byteS")));
  EXPECT_FALSE(constant_time_equal(a.reveal_bytes(), as_view("twelve")));
  const Secret b = std::move(a);
  EXPECT_EQ(b.reveal(), "twelve-bytes");
}

TEST(Log, WritesTextAndJson) {
  std::string line;
  capture_log([&line](std::string_view l) { line = l; });
  log_info("uploader", "segment uploaded", {{"bytes", 7}, {"why", "a \"b\""}});
  EXPECT_THAT(line,
              testing::HasSubstr("info uploader: segment uploaded bytes=7 why=\"a \\\"b\\\"\""));
  configure_log(LogLevel::warning, true);
  line.clear();
  log_info("x", "not written");
  EXPECT_EQ(line, "");
  log_error("disk", "failed", {{"code", "io"}});
  EXPECT_THAT(line,
              testing::HasSubstr("\"component\":\"disk\",\"event\":\"failed\",\"code\":\"io\"}"));
  configure_log(LogLevel::info, false);
  capture_log(nullptr);
}

}  // namespace
}  // namespace coldshelf
