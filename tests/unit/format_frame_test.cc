// Frames: round trips, sizes at the borders, what a damaged or invented one meets.
#include <gtest/gtest.h>

#include "base/coding.h"
#include "base/crc32c.h"
#include "tests/support/segment_builder.h"

namespace coldshelf {
namespace {

class FormatFrame : public ::testing::Test {
 protected:
  std::shared_ptr<BufferPool> pool = BufferPool::create(8 * MiB);
  FrameCipher cipher{test_key(7), 3, 9};

  static FrameHeader records(std::vector<RecordRun> runs) {
    FrameHeader h;
    h.frame_index = 5;
    h.first_block = 1000;
    h.first_filemark = 3;
    h.runs = std::move(runs);
    return h;
  }
  EncodedFrame encode(FrameHeader h, Buffer plain, const FrameCipher* with, bool compress = true) {
    CompressionOptions options;
    options.enabled = compress;
    auto frame = encode_frame(std::move(h), std::make_shared<const Buffer>(std::move(plain)),
                              options, with, *pool);
    CHECK(frame.ok());
    return std::move(frame).value();
  }
  Result<std::shared_ptr<const Buffer>> decode(const EncodedFrame& frame, const FrameCipher* with) {
    ASSIGN_OR_RETURN(const FrameHeader h, decode_frame_header(frame.header_bytes));
    return decode_frame_payload(h, frame.header_bytes,
                                std::make_shared<const Buffer>(to_buffer(frame.payload)), with,
                                *pool);
  }
  void expect_round_trip(const FrameHeader& h, const Buffer& plain) {
    for (const FrameCipher* with :
         {static_cast<const FrameCipher*>(nullptr), static_cast<const FrameCipher*>(&cipher)}) {
      const EncodedFrame frame = encode(h, plain, with);
      auto header = decode_frame_header(frame.header_bytes);
      ASSERT_TRUE(header.ok()) << header.error().message();
      EXPECT_EQ(header->runs, h.runs);
      EXPECT_EQ(header->first_block, h.first_block);
      EXPECT_EQ(header->first_filemark, h.first_filemark);
      EXPECT_EQ(header->frame_index, h.frame_index);
      EXPECT_EQ(header->record_size, h.record_size);
      EXPECT_EQ(header->block_count(), h.block_count());
      EXPECT_EQ(header->encrypted, with != nullptr);
      EXPECT_EQ(header->stored_size, frame.payload.size());
      auto back = decode(frame, with);
      ASSERT_TRUE(back.ok()) << back.error().message();
      EXPECT_TRUE(equal(**back, plain));
    }
  }
  // `change` on a copy of the header, its checksum made right again.
  static Result<FrameHeader> decode_changed(const EncodedFrame& frame, size_t at, uint8_t value) {
    Buffer bytes = frame.header_bytes;
    bytes[at] = static_cast<std::byte>(value);
    const ByteView view = bytes;
    store_le(bytes.data() + 60, crc32c(view.subspan(64), crc32c(view.first(60))));
    return decode_frame_header(bytes);
  }
};

TEST_F(FormatFrame, RoundTripsAtTheBorders) {
  SeededRandom random(1);
  expect_round_trip(records({{1, 1}}), random_bytes(random, 1));
  expect_round_trip(records({{512, 2048}}), random_bytes(random, 1 * MiB));
  expect_round_trip(records({{512, 2048}}), text_bytes(1 * MiB));
  expect_round_trip(records({{1048576, 1}}), text_bytes(1 * MiB));
  expect_round_trip(records({{1, 1048576}}), text_bytes(1 * MiB));
  expect_round_trip(records({{65536, 3}, {100, 1}, {65536, 2}}),
                    random_bytes(random, 5 * 65536 + 100));
}

TEST_F(FormatFrame, RoundTripsPartsOfABigRecord) {
  FrameHeader part = records({{1048576, 1}});
  part.record_size = 8 * MiB;
  part.continues_next = true;
  EXPECT_EQ(part.block_count(), 0U);
  expect_round_trip(part, text_bytes(1 * MiB));
  part.continues_previous = true;
  expect_round_trip(part, text_bytes(1 * MiB));
  part.continues_next = false;
  EXPECT_EQ(part.block_count(), 1U);
  expect_round_trip(part, text_bytes(1 * MiB));
}

TEST_F(FormatFrame, RoundTripsTheMostRuns) {
  std::vector<RecordRun> runs;
  size_t total = 0;
  for (uint32_t i = 0; i < kMaxFrameRuns; ++i) {
    runs.push_back({1 + i % 2, 1});
    total += 1 + i % 2;
  }
  expect_round_trip(records(runs), text_bytes(total));
  runs.push_back({1, 1});
  auto too_many = encode_frame(records(runs), std::make_shared<const Buffer>(text_bytes(total + 1)),
                               {}, nullptr, *pool);
  ASSERT_FALSE(too_many.ok());
  EXPECT_EQ(too_many.error().code, ErrorCode::invalid_argument);
}

TEST_F(FormatFrame, RandomShapesRoundTrip) {
  const uint64_t seed = 20261121;
  RecordProperty("seed", std::to_string(seed));
  SeededRandom random(seed);
  for (int turn = 0; turn < 60; ++turn) {
    std::vector<RecordRun> runs;
    Buffer plain;
    const uint64_t count = 1 + random.below(40);
    for (uint64_t i = 0; i < count; ++i) {
      const auto length = static_cast<uint32_t>(1 + random.below(3000));
      const auto times = static_cast<uint32_t>(1 + random.below(5));
      runs.push_back({length, times});
      append(plain,
             random.one_in(2) ? random_bytes(random, length * times) : text_bytes(length * times));
    }
    expect_round_trip(records(std::move(runs)), plain);
    if (HasFailure()) FAIL() << "seed " << seed << " turn " << turn;
  }
}

TEST_F(FormatFrame, FilemarksCarryNothingButATag) {
  FrameHeader h;
  h.kind = FrameKind::filemarks;
  h.filemark_count = 3;
  auto plain = encode_frame(h, nullptr, {}, nullptr, *pool);
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(plain->payload.size(), 0U);
  EXPECT_EQ(plain->header.block_count(), 3U);
  EXPECT_TRUE(decode(*plain, nullptr).ok());

  auto sealed = encode_frame(h, nullptr, {}, &cipher, *pool);
  ASSERT_TRUE(sealed.ok());
  EXPECT_EQ(sealed->payload.size(), kFrameTagSize);
  EXPECT_TRUE(decode(*sealed, &cipher).ok());
  // Another count with the checksum made right: the tag finds it.
  Buffer bytes = sealed->header_bytes;
  bytes[32] = std::byte{4};
  store_le(bytes.data() + 60,
           crc32c(ByteView(bytes).subspan(64), crc32c(ByteView(bytes).first(60))));
  auto forged = decode_frame_header(bytes);
  ASSERT_TRUE(forged.ok());
  auto result = decode_frame_payload(
      *forged, bytes, std::make_shared<const Buffer>(to_buffer(sealed->payload)), &cipher, *pool);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::corrupt);
}

TEST_F(FormatFrame, IncompressibleDataIsNotCopied) {
  SeededRandom random(2);
  auto plain = std::make_shared<const Buffer>(random_bytes(random, 1 * MiB));
  auto frame = encode_frame(records({{65536, 16}}), plain, {}, nullptr, *pool);
  ASSERT_TRUE(frame.ok());
  EXPECT_EQ(frame->header.codec, FrameCodec::none);
  EXPECT_EQ(frame->payload.data(), plain->data());
  EXPECT_EQ(frame->owner.get(), plain.get());
}

TEST_F(FormatFrame, CompressibleDataIsFoundBySamples) {
  SeededRandom random(3);
  EXPECT_EQ(encode(records({{65536, 16}}), text_bytes(1 * MiB), nullptr).header.codec,
            FrameCodec::zstd);
  // Half random, half zeros, in pieces of 2 KiB: 2:1.
  Buffer half = random_bytes(random, 1 * MiB);
  for (size_t i = 0; i < half.size(); ++i) {
    if (i / 2048 % 2 == 1) half[i] = std::byte{0};
  }
  const EncodedFrame frame = encode(records({{65536, 16}}), half, nullptr);
  EXPECT_EQ(frame.header.codec, FrameCodec::zstd);
  EXPECT_LT(frame.payload.size(), 6 * MiB / 10);
  EXPECT_EQ(encode(records({{65536, 16}}), text_bytes(1 * MiB), nullptr, false).header.codec,
            FrameCodec::none);
  // Small ones are simply tried.
  EXPECT_EQ(encode(records({{1000, 1}}), text_bytes(1000), nullptr).header.codec, FrameCodec::zstd);
  EXPECT_EQ(encode(records({{1000, 1}}), random_bytes(random, 1000), nullptr).header.codec,
            FrameCodec::none);
}

TEST_F(FormatFrame, EveryByteOfAFrameIsCovered) {
  SeededRandom random(4);
  for (const FrameCipher* with :
       {static_cast<const FrameCipher*>(nullptr), static_cast<const FrameCipher*>(&cipher)}) {
    for (bool text : {true, false}) {
      EncodedFrame frame = encode(records({{100, 3}, {7, 1}}),
                                  text ? text_bytes(307) : random_bytes(random, 307), with);
      for (size_t i = 0; i < frame.header_bytes.size(); ++i) {
        for (int bit : {0x01, 0x80}) {
          Buffer kept = frame.header_bytes;
          frame.header_bytes[i] ^= static_cast<std::byte>(bit);
          EXPECT_FALSE(decode(frame, with).ok()) << "header byte " << i;
          frame.header_bytes = kept;
        }
      }
      const Buffer stored = to_buffer(frame.payload);
      for (size_t i = 0; i < stored.size(); ++i) {
        Buffer changed = stored;
        changed[i] ^= std::byte{0x10};
        EncodedFrame damaged{frame.header, frame.header_bytes, changed, nullptr};
        EXPECT_FALSE(decode(damaged, with).ok()) << "payload byte " << i;
      }
    }
  }
}

TEST_F(FormatFrame, WrongKeyEpochSequenceOrIndexIsFound) {
  const EncodedFrame frame = encode(records({{100, 3}}), text_bytes(300), &cipher);
  EXPECT_TRUE(decode(frame, &cipher).ok());
  auto none = decode(frame, nullptr);
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().code, ErrorCode::key_missing);
  for (FrameCipher other : {FrameCipher{test_key(8), 3, 9}, FrameCipher{test_key(7), 4, 9},
                            FrameCipher{test_key(7), 3, 10}}) {
    auto result = decode(frame, &other);
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().code, ErrorCode::corrupt);
  }
}

TEST_F(FormatFrame, LengthsAreNeverBelieved) {
  const EncodedFrame frame = encode(records({{100, 3}}), text_bytes(300), nullptr);
  // A valid checksum over impossible fields: header size, plain, stored, record size, run count,
  // reserved, kind, codec, flags.
  for (size_t at : {8U, 11U, 37U, 39U, 41U, 43U, 44U, 48U, 51U, 52U, 55U, 5U, 6U, 7U, 32U}) {
    const auto result = decode_changed(frame, at, 0xff);
    ASSERT_FALSE(result.ok()) << at;
    EXPECT_EQ(result.error().code, ErrorCode::corrupt) << at;
  }
  auto newer = decode_changed(frame, 4, 2);
  ASSERT_FALSE(newer.ok());
  EXPECT_EQ(newer.error().code, ErrorCode::unsupported_version);
  for (size_t size = 0; size < frame.header_bytes.size(); ++size) {
    EXPECT_FALSE(decode_frame_header(ByteView(frame.header_bytes).first(size)).ok());
  }
}

TEST_F(FormatFrame, ZstdThatHoldsMoreThanItSaysIsCorrupt) {
  // The payload of a long frame under the header of a short one, checksums right.
  const EncodedFrame big = encode(records({{100000, 1}}), text_bytes(100000), nullptr);
  EncodedFrame small = encode(records({{5000, 1}}), text_bytes(5000), nullptr);
  ASSERT_LT(big.payload.size(), 5000U);
  store_le(small.header_bytes.data() + 40, static_cast<uint32_t>(big.payload.size()));
  store_le(small.header_bytes.data() + 56, crc32c(big.payload));
  const ByteView view = small.header_bytes;
  store_le(small.header_bytes.data() + 60, crc32c(view.subspan(64), crc32c(view.first(60))));
  small.payload = big.payload;
  auto result = decode(small, nullptr);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::corrupt);
}

TEST_F(FormatFrame, ImpossibleHeadersAreNotWritten) {
  const auto refused = [&](FrameHeader h, size_t bytes) {
    auto result = encode_frame(std::move(h), std::make_shared<const Buffer>(text_bytes(bytes)), {},
                               nullptr, *pool);
    return !result.ok() && result.error().code == ErrorCode::invalid_argument;
  };
  EXPECT_TRUE(refused(records({}), 0));
  EXPECT_TRUE(refused(records({{0, 5}}), 0));
  EXPECT_TRUE(refused(records({{5, 0}}), 0));
  EXPECT_TRUE(refused(records({{100, 3}}), 299));
  EXPECT_TRUE(refused(records({{1 << 20, 2}}), 2 << 20));
  FrameHeader part = records({{100, 1}});
  part.continues_next = true;
  EXPECT_TRUE(refused(part, 100));  // no record size
  part.record_size = 100;
  EXPECT_TRUE(refused(part, 100));  // nothing left to go on with
  part.record_size = kMaxRecordBytes + 1;
  EXPECT_TRUE(refused(part, 100));
  part.record_size = 200;
  part.runs = {{50, 2}};
  EXPECT_TRUE(refused(part, 100));
  part = records({{100, 1}});
  part.record_size = 200;
  EXPECT_TRUE(refused(part, 100));  // a size, but no part
  FrameHeader mark;
  mark.kind = FrameKind::filemarks;
  EXPECT_TRUE(refused(mark, 0));
  mark.filemark_count = 1;
  EXPECT_TRUE(refused(mark, 1));
}

TEST_F(FormatFrame, OtherKindsCarryAnOpaquePayload) {
  for (FrameKind kind :
       {FrameKind::extents, FrameKind::holes, FrameKind::truncate, FrameKind::reference}) {
    FrameHeader h;
    h.kind = kind;
    EXPECT_EQ(h.block_count(), 0U);
    expect_round_trip(h, text_bytes(5000));
  }
}

TEST_F(FormatFrame, BuiltInPlaceItIsTheSameFrame) {
  for (const bool encrypted : {false, true}) {
    FrameCipher cipher{test_key(1), 7, 9};
    const FrameCipher* with = encrypted ? &cipher : nullptr;
    FrameHeader h;
    h.kind = FrameKind::extents;
    h.frame_index = 5;
    const Buffer plain = text_bytes(4711);
    auto pool = BufferPool::create(MiB);
    auto whole = encode_frame(h, std::make_shared<const Buffer>(plain), {false, 1}, with, *pool);
    ASSERT_TRUE(whole.ok());
    Buffer frame(kFrameHeaderFixedSize + plain.size() + (encrypted ? kFrameTagSize : 0));
    std::copy(plain.begin(), plain.end(), frame.begin() + kFrameHeaderFixedSize);
    ASSERT_TRUE(encode_frame_in_place(h, with, frame).ok());
    Buffer expected = whole->header_bytes;
    append(expected, whole->payload);
    EXPECT_TRUE(equal(frame, expected));
    EXPECT_EQ(h.payload_crc, whole->header.payload_crc);
    // The payload's end elsewhere.
    const size_t here = kFrameHeaderFixedSize + 700;
    const ByteView rest = ByteView(plain).subspan(700);
    const Status split = encode_frame_in_place(h, with, MutableBytes(frame).first(here), rest);
    EXPECT_EQ(split.ok(), !encrypted);
    if (!encrypted) {
      frame.resize(here);
      append(frame, rest);
      EXPECT_TRUE(equal(frame, expected));
      EXPECT_EQ(h.stored_size, plain.size());
    }
    h.runs = {{1, 1}};
    EXPECT_FALSE(encode_frame_in_place(h, with, frame).ok());
  }
}

}  // namespace
}  // namespace coldshelf
