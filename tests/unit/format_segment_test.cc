// Segments: sealed, unsealed, torn, damaged; and what the index costs.
#include <gtest/gtest.h>

#include "base/coding.h"
#include "base/crc32c.h"
#include "tests/support/memory_file.h"
#include "tests/support/segment_builder.h"

namespace coldshelf {
namespace {

SegmentHeader header_of_test() {
  SegmentHeader h;
  h.cartridge = test_uuid(0x10);
  h.partition = 1;
  h.epoch = 3;
  h.sequence = 18;
  h.first_block = 1000;
  h.first_filemark = 7;
  h.created_unix_ms = 1'790'000'000'123;
  return h;
}

// Records, runs, filemarks, a record of three frames: about 5 KiB plain but for the big record.
BuiltSegment build(SegmentBuilder& builder, bool with_big_record = true) {
  SeededRandom random(11);
  for (int i = 0; i < 4; ++i) builder.record(text_bytes(512));
  builder.record(random_bytes(random, 100));
  builder.filemarks(1);
  builder.record(random_bytes(random, 700));
  builder.record(text_bytes(1500));
  builder.filemarks(2);
  if (with_big_record) builder.record(text_bytes(2 * MiB + 4097));
  builder.record(text_bytes(10));
  return builder.seal();
}

TEST(FormatSegment, HeaderRoundTripsAndEveryBitIsCovered) {
  SegmentHeader h = header_of_test();
  for (bool encrypted : {false, true}) {
    h.encrypted = encrypted;
    Buffer bytes = encode_segment_header(h);
    ASSERT_EQ(bytes.size(), kSegmentHeaderSize);
    auto back = decode_segment_header(bytes);
    ASSERT_TRUE(back.ok()) << back.error().message();
    EXPECT_EQ(*back, h);
    for (size_t i = 0; i < bytes.size() * 8; ++i) {
      bytes[i / 8] ^= static_cast<std::byte>(1U << (i % 8));
      EXPECT_FALSE(decode_segment_header(bytes).ok()) << i;
      bytes[i / 8] ^= static_cast<std::byte>(1U << (i % 8));
    }
  }
  h.version = 2;
  auto newer = decode_segment_header(encode_segment_header(h));
  ASSERT_FALSE(newer.ok());
  EXPECT_EQ(newer.error().code, ErrorCode::unsupported_version);
  EXPECT_NE(newer.error().context.find("newer"), std::string::npos);
}

TEST(FormatSegment, ReservedBytesMustBeZero) {
  Buffer bytes = encode_segment_header(header_of_test());
  for (size_t at : {36U, 80U, 123U}) {
    Buffer changed = bytes;
    changed[at] = std::byte{1};
    store_le(changed.data() + 124, crc32c(ByteView(changed).first(124)));
    EXPECT_FALSE(decode_segment_header(changed).ok()) << at;
  }
}

class FormatSegmentKinds : public ::testing::TestWithParam<bool> {
 protected:
  FormatSegmentKinds() : key(test_key(1)), data_key(GetParam() ? &key : nullptr) {}
  Secret key;
  const Secret* data_key;
  std::shared_ptr<BufferPool> pool = BufferPool::create(8 * MiB);
};

TEST_P(FormatSegmentKinds, SealedRoundTrip) {
  SegmentBuilder builder(header_of_test(), data_key);
  const BuiltSegment built = build(builder);
  MemoryFile file(built.bytes);
  auto map = read_segment_map(file);
  ASSERT_TRUE(map.ok()) << map.error().message();
  EXPECT_EQ(file.reads(), 3U);
  EXPECT_EQ(map->header, builder.header());
  EXPECT_EQ(map->index.frames, built.index.frames);
  EXPECT_EQ(map->trailer.sha256, built.sha256);
  EXPECT_EQ(map->file_size, built.bytes.size());
  auto verified = verify_segment(file, test_uuid(0x10), data_key, *pool);
  EXPECT_TRUE(verified.ok()) << verified.error().message();
  EXPECT_TRUE(verify_segment(file, test_uuid(0x10), nullptr, *pool).ok());  // as far as it can
  EXPECT_FALSE(verify_segment(file, test_uuid(0x11), data_key, *pool).ok());

  Buffer plain;
  for (const FrameIndexEntry& entry : map->index.frames) {
    auto frame = read_frame(file, entry, builder.cipher(), *pool);
    ASSERT_TRUE(frame.ok()) << frame.error().message();
    if (frame->plain) append(plain, *frame->plain);
  }
  EXPECT_EQ(plain.size(), 4 * 512 + 100 + 700 + 1500 + 2 * MiB + 4097 + 10);
  EXPECT_TRUE(equal(ByteView(plain).last(10), text_bytes(10)));
}

TEST_P(FormatSegmentKinds, Searches) {
  SegmentBuilder builder(header_of_test(), data_key);
  const SegmentIndex index = build(builder).index;
  // 1000-1004 records | 1005 filemark 7 | 1006 1007 | 1008 1009 filemarks 8 9 | 1010 in three
  // frames | 1011
  ASSERT_EQ(index.frames.size(), 8U);
  const auto frame_of = [&](uint64_t block) {
    const auto* f = index.find_block(block);
    return f == nullptr ? -1 : static_cast<int>(f - index.frames.data());
  };
  const int expected[] = {0, 0, 0, 0, 0, 1, 2, 2, 3, 3, 4, 7};
  for (uint64_t i = 0; i < std::size(expected); ++i) EXPECT_EQ(frame_of(1000 + i), expected[i]);
  EXPECT_EQ(frame_of(999), -1);
  EXPECT_EQ(frame_of(1012), -1);
  EXPECT_EQ(index.find_filemark(6), nullptr);
  EXPECT_EQ(index.find_filemark(7), &index.frames[1]);
  EXPECT_EQ(index.find_filemark(8), &index.frames[3]);
  EXPECT_EQ(index.find_filemark(9), &index.frames[3]);
  EXPECT_EQ(index.find_filemark(10), nullptr);
}

TEST_P(FormatSegmentKinds, EveryFlippedByteIsNoticed) {
  SegmentBuilder builder(header_of_test(), data_key);
  const BuiltSegment built = build(builder, false);
  ASSERT_LT(built.bytes.size(), 8192U);
  MemoryFile file(built.bytes);
  ASSERT_TRUE(verify_segment(file, test_uuid(0x10), data_key, *pool).ok());
  for (size_t i = 0; i < built.bytes.size(); ++i) {
    for (int change : {0x01, 0x80, 0xff}) {
      file.bytes()[i] ^= static_cast<std::byte>(change);
      EXPECT_FALSE(verify_segment(file, test_uuid(0x10), data_key, *pool).ok()) << "byte " << i;
      EXPECT_FALSE(verify_segment(file, test_uuid(0x10), nullptr, *pool).ok()) << "byte " << i;
      file.bytes()[i] ^= static_cast<std::byte>(change);
    }
  }
}

TEST_P(FormatSegmentKinds, EveryTruncationIsNoticed) {
  SegmentBuilder builder(header_of_test(), data_key);
  const BuiltSegment built = build(builder, false);
  for (size_t size = 0; size < built.bytes.size(); ++size) {
    MemoryFile file(ByteView(built.bytes).first(size));
    EXPECT_FALSE(verify_segment(file, test_uuid(0x10), data_key, *pool).ok()) << size;
  }
  Buffer longer = built.bytes;
  longer.push_back(std::byte{0});
  MemoryFile file(longer);
  EXPECT_FALSE(verify_segment(file, test_uuid(0x10), data_key, *pool).ok());
}

TEST_P(FormatSegmentKinds, ScanKeepsWholeFramesOfATornFile) {
  SegmentBuilder builder(header_of_test(), data_key);
  const BuiltSegment built = build(builder, false);
  const Buffer unsealed = [&] {
    const auto& last = built.index.frames.back();
    return to_buffer(
        ByteView(built.bytes).first(last.offset + last.header_size + last.stored_size));
  }();
  for (size_t size = kSegmentHeaderSize; size <= unsealed.size(); ++size) {
    for (bool garbage : {false, true}) {  // what a torn write leaves: nothing, or zeros
      MemoryFile file(ByteView(unsealed).first(size));
      if (garbage) file.bytes().resize(unsealed.size() + 100, std::byte{0});
      auto scan = scan_segment(file, builder.cipher(), *pool);
      ASSERT_TRUE(scan.ok()) << scan.error().message();
      uint64_t expected_end = kSegmentHeaderSize;
      size_t expected_frames = 0;
      for (const FrameIndexEntry& f : built.index.frames) {
        const uint64_t end = f.offset + f.header_size + f.stored_size;
        if (end > size) {
          // Zeros may be what was there anyway: then the frame is whole after all.
          break;
        }
        expected_end = end;
        ++expected_frames;
      }
      if (garbage && scan->valid_end > expected_end) {
        EXPECT_TRUE(equal(ByteView(file.bytes()).first(scan->valid_end),
                          ByteView(unsealed).first(scan->valid_end)));
        continue;
      }
      EXPECT_EQ(scan->valid_end, expected_end) << size;
      EXPECT_EQ(scan->index.frames.size(), expected_frames);
      EXPECT_EQ(scan->clean, file.bytes().size() == expected_end);
    }
  }
  for (size_t size = 0; size < kSegmentHeaderSize; ++size) {
    MemoryFile file(ByteView(unsealed).first(size));
    auto scan = scan_segment(file, builder.cipher(), *pool);
    ASSERT_FALSE(scan.ok());
    EXPECT_EQ(scan.error().code, ErrorCode::corrupt);
  }
}

TEST_P(FormatSegmentKinds, AScannedSegmentIsSealedByTheSameBytes) {
  SegmentBuilder builder(header_of_test(), data_key);
  const BuiltSegment built = build(builder);
  const uint64_t end = [&] {
    const auto& last = built.index.frames.back();
    return last.offset + last.header_size + last.stored_size;
  }();
  MemoryFile file(ByteView(built.bytes).first(end));
  auto scan = scan_segment(file, builder.cipher(), *pool);
  ASSERT_TRUE(scan.ok());
  EXPECT_TRUE(scan->clean);
  Sha256Digest digest{};
  const Buffer rest = encode_segment_end(scan->index, scan->valid_end, scan->running, digest);
  EXPECT_TRUE(equal(rest, ByteView(built.bytes).subspan(end)));
  EXPECT_EQ(digest, built.sha256);
}

TEST_P(FormatSegmentKinds, FileErrorsAreNotTakenForDamage) {
  SegmentBuilder builder(header_of_test(), data_key);
  const BuiltSegment built = build(builder, false);
  for (size_t n = 0;; ++n) {
    MemoryFile file(built.bytes);
    file.fail_read(n);
    auto scan = scan_segment(file, builder.cipher(), *pool);
    if (file.reads() <= n) break;  // all of them have failed once
    ASSERT_FALSE(scan.ok()) << n;
    EXPECT_EQ(scan.error().code, ErrorCode::io) << n;
    MemoryFile again(built.bytes);
    again.fail_read(n);
    auto verified = verify_segment(again, test_uuid(0x10), data_key, *pool);
    if (again.reads() > n) {
      ASSERT_FALSE(verified.ok());
      EXPECT_EQ(verified.error().code, ErrorCode::io) << n;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(PlainAndEncrypted, FormatSegmentKinds, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "encrypted" : "plain"; });

TEST(FormatSegment, WrongKeyIsNoticedAndNeverTakenForATornTail) {
  const Secret key = test_key(1);
  const Secret other = test_key(2);
  SegmentBuilder builder(header_of_test(), &key);
  const BuiltSegment built = build(builder, false);
  auto pool = BufferPool::create(1 * MiB);
  MemoryFile file(built.bytes);
  EXPECT_FALSE(verify_segment(file, test_uuid(0x10), &other, *pool).ok());
  const FrameCipher wrong{other, 3, 18};
  auto scan = scan_segment(file, &wrong, *pool);
  ASSERT_FALSE(scan.ok());
  EXPECT_EQ(scan.error().code, ErrorCode::corrupt);
  auto frame = read_frame(file, built.index.frames[0], nullptr, *pool);
  ASSERT_FALSE(frame.ok());
  EXPECT_EQ(frame.error().code, ErrorCode::key_missing);
}

TEST(FormatSegment, PlainFramesCannotBeSlippedIntoAnEncryptedCartridge) {
  SegmentBuilder builder(header_of_test(), nullptr);
  const BuiltSegment built = build(builder, false);
  auto pool = BufferPool::create(1 * MiB);
  MemoryFile file(built.bytes);
  const FrameCipher cipher{test_key(1), 3, 18};
  for (const FrameIndexEntry& entry : built.index.frames) {
    EXPECT_FALSE(read_frame(file, entry, &cipher, *pool).ok());
  }
}

TEST(FormatSegment, FramesOutOfSequenceEndTheScan) {
  auto pool = BufferPool::create(1 * MiB);
  const auto frames_kept = [&](auto change) {
    SegmentBuilder builder(header_of_test(), nullptr);
    builder.record(text_bytes(100));
    builder.flush();
    FrameHeader h = builder.next(FrameKind::records);
    h.runs = {{50, 1}};
    change(h);
    builder.add(std::move(h), std::make_shared<const Buffer>(text_bytes(50)));
    MemoryFile file(builder.unsealed());
    auto scan = scan_segment(file, nullptr, *pool);
    CHECK(scan.ok());
    return scan->index.frames.size();
  };
  EXPECT_EQ(frames_kept([](FrameHeader&) {}), 2U);
  EXPECT_EQ(frames_kept([](FrameHeader& h) { ++h.frame_index; }), 1U);
  EXPECT_EQ(frames_kept([](FrameHeader& h) { ++h.first_block; }), 1U);
  EXPECT_EQ(frames_kept([](FrameHeader& h) { ++h.first_filemark; }), 1U);
  EXPECT_EQ(frames_kept([](FrameHeader& h) {
              h.continues_previous = true;
              h.record_size = 70;
            }),
            1U);
}

TEST(FormatSegment, ARecordMayGoOnFromTheSegmentBefore) {
  auto pool = BufferPool::create(1 * MiB);
  SegmentBuilder builder(header_of_test(), nullptr);
  FrameHeader h = builder.next(FrameKind::records);
  h.runs = {{50, 1}};
  h.continues_previous = true;
  h.record_size = 70;
  builder.add(std::move(h), std::make_shared<const Buffer>(text_bytes(50)));
  builder.record(text_bytes(30));
  const BuiltSegment built = builder.seal();
  MemoryFile file(built.bytes);
  auto verified = verify_segment(file, test_uuid(0x10), nullptr, *pool);
  EXPECT_TRUE(verified.ok()) << verified.error().message();
  EXPECT_EQ(built.index.find_block(1000), &built.index.frames[0]);
  EXPECT_EQ(built.index.find_block(1001), &built.index.frames[1]);
}

TEST(FormatSegment, AnEmptySegmentIsASegment) {
  SegmentBuilder builder(header_of_test(), nullptr);
  const BuiltSegment built = builder.seal();
  auto pool = BufferPool::create(1 * MiB);
  MemoryFile file(built.bytes);
  EXPECT_TRUE(verify_segment(file, test_uuid(0x10), nullptr, *pool).ok());
  EXPECT_EQ(built.index.find_block(1000), nullptr);
}

TEST(FormatSegment, FooterLengthsAreNeverBelieved) {
  SegmentBuilder builder(header_of_test(), nullptr);
  const BuiltSegment built = build(builder, false);
  const size_t trailer_at = built.bytes.size() - kSegmentTrailerSize;
  auto pool = BufferPool::create(1 * MiB);
  for (size_t at : {15U, 19U, 23U, 24U, 27U, 31U}) {  // frame count, footer offset, footer size
    MemoryFile file(built.bytes);
    std::byte* trailer = file.bytes().data() + trailer_at;
    trailer[at] = std::byte{0x7f};
    store_le(trailer + 44, crc32c({trailer, 44}));
    auto map = read_segment_map(file);
    ASSERT_FALSE(map.ok()) << at;
    EXPECT_EQ(map.error().code, ErrorCode::corrupt);
  }
}

// What is not data in a segment of `plain` bytes: headers of frames, footer, header, trailer.
double overhead(const BuiltSegment& built) {
  const double plain = static_cast<double>(built.index.plain_bytes());
  return (static_cast<double>(built.bytes.size()) - plain) / plain;
}

TEST(FormatSegment, TheIndexStaysSmall) {
  SeededRandom random(5);
  CompressionOptions raw;
  raw.enabled = false;
  const auto segment = [&](auto length) {
    SegmentBuilder builder(header_of_test(), nullptr, raw);
    const Buffer data = random_bytes(random, 256 * KiB);
    for (uint64_t total = 0; total < 8 * MiB;) {
      const size_t n = length();
      builder.record(ByteView(data).first(n));
      total += n;
    }
    return builder.seal();
  };
  // The limits are the design's; they hold for the whole segment, not for its footer alone.
  EXPECT_LT(overhead(segment([] { return size_t{64 * KiB}; })), 0.001);
  EXPECT_LT(overhead(segment([&] { return 60 * KiB + random.below(8 * KiB); })), 0.001);
  EXPECT_LT(overhead(segment([] { return size_t{512}; })), 0.001);
  EXPECT_LT(overhead(segment([&] { return 1 + random.below(1023); })), 0.03);
}

TEST(FormatSegment, NamesOfFiles) {
  EXPECT_EQ(segment_file_stem(18, 3), "0000000000000012-00000003");
  EXPECT_LT(segment_file_stem(9, 7), segment_file_stem(10, 1));
  for (uint64_t sequence : {0ULL, 1ULL, 0xffffffffULL}) {
    auto name = parse_segment_file_stem(segment_file_stem(sequence, 0xffffffff));
    ASSERT_TRUE(name.has_value());
    EXPECT_EQ(name->sequence, sequence);
    EXPECT_EQ(name->epoch, 0xffffffffU);
  }
  for (const char* bad :
       {"", "0000000000000012", "0000000000000012-0000000", "x", "000000000000001G-00000003",
        "000000000000001A-00000003", "0000000000000012_00000003", "0000000000000012-00000003 "}) {
    EXPECT_FALSE(parse_segment_file_stem(bad).has_value()) << bad;
  }
}

}  // namespace
}  // namespace coldshelf
