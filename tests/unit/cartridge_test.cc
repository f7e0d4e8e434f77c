#include "tape/cartridge/cartridge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tape/cartridge/segment_listing.h"
#include "tape/format/keys.h"
#include "tests/support/cartridge_fixture.h"

namespace coldshelf {
namespace {

using test::make_record;

// Runs with threads (true) and single-threaded (false), as the daemon and the simulations do.
class CartridgeTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    env_.files = &files_;
    env_.clock = &clock_;
    env_.random = &random_;
    env_.buffers = BufferPool::create(64 * MiB);
    env_.observer = &observer_;
    if (GetParam()) {
      workers_ = std::make_unique<WorkerPool>(3);
      sealers_ = std::make_unique<WorkerPool>(1);
    } else {
      workers_ = std::make_unique<InlineExecutor>();
      sealers_ = std::make_unique<InlineExecutor>();
    }
    env_.workers = workers_.get();
    env_.sealers = sealers_.get();
    options_.segment_bytes = 3 * MiB;
    what_.uuid = Uuid::generate(random_);
    what_.label = "TST001L8";
    what_.medium = "LTO-8";
    what_.capacity_bytes = 10 * GiB;
    ASSERT_TRUE(files_.create_directories("/t").ok());
  }

  std::unique_ptr<Cartridge> create() {
    auto made = Cartridge::create(env_, options_, "/t/c", what_);
    EXPECT_TRUE(made.ok()) << made.error().message();
    return std::move(made).value();
  }
  std::unique_ptr<Cartridge> open() {
    auto opened = Cartridge::open(env_, options_, "/t/c");
    EXPECT_TRUE(opened.ok()) << opened.error().message();
    return std::move(opened).value();
  }
  // Writes records number [from, to) of `size` bytes at the position.
  void write(Cartridge& c, Position& at, uint64_t from, uint64_t to, size_t size) {
    for (uint64_t i = from; i < to; ++i) {
      const Status done = c.write_record(at, make_record(i, size));
      ASSERT_TRUE(done.ok()) << done.error().message();
    }
  }
  void filemarks(Cartridge& c, Position& at, uint64_t count) {
    const Status done = c.write_filemarks(at, count);
    ASSERT_TRUE(done.ok()) << done.error().message();
  }
  void expect_record(Cartridge& c, Position& at, uint64_t seed, size_t size) {
    const Position before = at;
    auto object = c.read(at);
    ASSERT_TRUE(object.ok()) << object.error().message();
    ASSERT_EQ(object->kind, TapeObject::Kind::record) << "block " << before.block;
    EXPECT_EQ(at.block, before.block + 1);
    EXPECT_TRUE(equal(object->record.flatten(), make_record(seed, size)))
        << "block " << before.block;
  }
  void expect_kind(Cartridge& c, Position& at, TapeObject::Kind kind) {
    auto object = c.read(at);
    ASSERT_TRUE(object.ok()) << object.error().message();
    EXPECT_EQ(object->kind, kind) << "block " << at.block;
  }
  size_t count_files(const std::string& suffix) {
    size_t count = 0;
    for (const std::string& path : files_.all_files()) count += path.ends_with(suffix) ? 1 : 0;
    return count;
  }

  test::SimFileSystem files_;
  test::StillClock clock_;
  SeededRandom random_{42};
  test::RecordingObserver observer_;
  std::unique_ptr<Executor> workers_;
  std::unique_ptr<Executor> sealers_;
  CartridgeEnv env_;
  CartridgeOptions options_;
  NewCartridge what_;
};

TEST_P(CartridgeTest, EmptyCartridge) {
  auto c = create();
  EXPECT_EQ(c->label(), "TST001L8");
  EXPECT_EQ(c->partition_count(), 1U);
  EXPECT_EQ(c->partition_capacity(0), 10 * GiB);
  Position at;
  EXPECT_EQ(c->end_of_data(0), at);
  expect_kind(*c, at, TapeObject::Kind::end_of_data);
  EXPECT_EQ(at, Position{});
  EXPECT_EQ(Cartridge::create(env_, options_, "/t/c", what_).error().code, ErrorCode::exists);
  ASSERT_TRUE(c->close().ok());
  c = open();
  EXPECT_EQ(c->end_of_data(0), Position{});
  EXPECT_TRUE(c->manifest().partitions[0].segments.empty());
}

TEST_P(CartridgeTest, WritesAndReadsBack) {
  auto c = create();
  Position at;
  write(*c, at, 0, 40, 100'000);
  filemarks(*c, at, 1);
  filemarks(*c, at, 1);
  write(*c, at, 40, 60, 512);
  EXPECT_EQ(at.block, 62U);
  EXPECT_EQ(at.filemark, 2U);
  EXPECT_EQ(c->end_of_data(0), at);

  for (const bool reopened : {false, true}) {
    if (reopened) {
      ASSERT_TRUE(c->close().ok());
      c = open();
      EXPECT_EQ(c->end_of_data(0).block, 62U);
      EXPECT_EQ(c->end_of_data(0).filemark, 2U);
    }
    Position r;
    for (uint64_t i = 0; i < 40; ++i) expect_record(*c, r, i, 100'000);
    expect_kind(*c, r, TapeObject::Kind::filemark);
    EXPECT_EQ(r.filemark, 1U);
    expect_kind(*c, r, TapeObject::Kind::filemark);
    EXPECT_EQ(r.filemark, 2U);
    for (uint64_t i = 40; i < 60; ++i) expect_record(*c, r, i, 512);
    expect_kind(*c, r, TapeObject::Kind::end_of_data);
    EXPECT_EQ(r.block, 62U);
  }
  EXPECT_EQ(observer_.sealed().size(), c->manifest().partitions[0].segments.size());
  // What the observer is told of a file's digest is the digest of the file.
  const auto sealed = observer_.sealed();
  const auto digests = observer_.file_digests();
  for (size_t i = 0; i < sealed.size(); ++i) {
    if (!digests[i]) continue;
    const auto file = files_.read_file(segment_path("/t/c", sealed[i].sequence, sealed[i].epoch));
    ASSERT_TRUE(file.ok());
    EXPECT_EQ(Sha256::of(*file), *digests[i]);
  }
  EXPECT_EQ(count_files(".open"), 0U);
}

TEST_P(CartridgeTest, CompressionCanBeSwitchedOffAndOn) {
  const auto stored_of = [&](bool on) {
    auto c = create();
    c->set_compression(on);
    Position at;
    const Buffer zeros(1 * MiB, std::byte{0});
    for (int i = 0; i < 4; ++i) EXPECT_TRUE(c->write_record(at, zeros).ok());
    EXPECT_TRUE(c->close().ok());
    const uint64_t stored = c->counters().stored_bytes_written;
    for (const std::string& name : *files_.list("/t/c")) {
      EXPECT_TRUE(files_.remove("/t/c/" + name).ok());
    }
    EXPECT_TRUE(files_.remove_directory("/t/c").ok());
    return stored;
  };
  EXPECT_LT(stored_of(true), 64 * KiB);
  EXPECT_GT(stored_of(false), 4 * MiB);
}

TEST_P(CartridgeTest, PositionsAndCapacity) {
  auto c = create();
  Position at;
  uint64_t block = 0;
  std::vector<uint64_t> marks;
  uint64_t bytes = 0;
  std::vector<uint64_t> before;  // plain bytes before each block
  for (uint64_t file = 0; file < 12; ++file) {
    for (uint64_t i = 0; i < 7; ++i) {
      const size_t size = 70'001 + 13 * (i % 3);
      write(*c, at, i, i + 1, size);
      before.push_back(bytes);
      bytes += size;
      ++block;
    }
    filemarks(*c, at, file % 3 + 1);
    for (uint64_t m = 0; m <= file % 3; ++m) {
      marks.push_back(block++);
      before.push_back(bytes);
    }
  }
  for (const bool reopened : {false, true}) {
    if (reopened) {
      ASSERT_TRUE(c->close().ok());
      c = open();
    }
    for (uint64_t n = 0; n < marks.size(); ++n) {
      auto found = c->filemark_block(0, n);
      ASSERT_TRUE(found.ok()) << found.error().message();
      EXPECT_EQ(found->value_or(0), marks[n]) << n;
    }
    EXPECT_FALSE(c->filemark_block(0, marks.size())->has_value());
    for (uint64_t b = 0; b < block; ++b) {
      auto found = c->position_of(0, b);
      ASSERT_TRUE(found.ok()) << found.error().message();
      EXPECT_EQ(found->block, b);
      EXPECT_EQ(
          found->filemark,
          static_cast<uint64_t>(std::lower_bound(marks.begin(), marks.end(), b) - marks.begin()))
          << b;
      EXPECT_EQ(*c->bytes_before(*found), before[b]) << b;
    }
    EXPECT_EQ(c->position_of(0, block + 5)->block, block);
    EXPECT_EQ(*c->bytes_before(c->end_of_data(0)), bytes);
    EXPECT_EQ(c->manifest().plain_bytes(), reopened ? bytes : c->manifest().plain_bytes());
  }
}

TEST_P(CartridgeTest, SplitRecords) {
  auto c = create();
  Position at;
  const std::vector<size_t> sizes = {1, MiB - 1, MiB, MiB + 1, 3 * MiB, 8 * MiB, 5, 2 * MiB + 7};
  for (size_t i = 0; i < sizes.size(); ++i) write(*c, at, i, i + 1, sizes[i]);
  EXPECT_EQ(at.block, sizes.size());
  for (const bool reopened : {false, true}) {
    if (reopened) {
      ASSERT_TRUE(c->close().ok());
      c = open();
    }
    Position r;
    for (size_t i = 0; i < sizes.size(); ++i) expect_record(*c, r, i, sizes[i]);
    expect_kind(*c, r, TapeObject::Kind::end_of_data);
    for (size_t i = sizes.size(); i-- > 0;) {
      r = *c->position_of(0, i);
      expect_record(*c, r, i, sizes[i]);
    }
  }
  EXPECT_EQ(c->write_record(at, Buffer(kMaxRecordBytes + 1)).error().code,
            ErrorCode::invalid_argument);
  EXPECT_EQ(c->write_record(at, {}).error().code, ErrorCode::invalid_argument);
}

TEST_P(CartridgeTest, ReadsWithoutCopying) {
  auto c = create();
  Position at;
  write(*c, at, 0, 8, 64 * KiB);
  ASSERT_TRUE(c->seal().ok());
  Position r;
  auto first = c->read(r);
  auto second = c->read(r);
  ASSERT_TRUE(first.ok() && second.ok());
  ASSERT_EQ(first->record.parts.size(), 1U);
  // Neighbours in one decoded frame, alive after the cartridge.
  EXPECT_EQ(first->record.parts[0].data() + 64 * KiB, second->record.parts[0].data());
  ASSERT_TRUE(c->close().ok());
  c.reset();
  EXPECT_TRUE(equal(first->record.flatten(), make_record(0, 64 * KiB)));
}

TEST_P(CartridgeTest, AppendContinuesTheOpenSegment) {
  auto c = create();
  Position at;
  write(*c, at, 0, 3, 1000);
  const uint64_t epoch = c->manifest().epoch;
  Position r;
  for (uint64_t i = 0; i < 3; ++i) expect_record(*c, r, i, 1000);
  write(*c, r, 3, 5, 1000);
  EXPECT_EQ(c->manifest().epoch, epoch);
  EXPECT_EQ(count_files(".open"), 1U);
  ASSERT_TRUE(c->close().ok());
  EXPECT_EQ(c->manifest().partitions[0].segments.size(), 1U);
  // A new writer: a new epoch, durable before the first frame.
  c = open();
  Position end = c->end_of_data(0);
  write(*c, end, 5, 6, 1000);
  EXPECT_EQ(c->manifest().epoch, epoch + 1);
  Position again;
  for (uint64_t i = 0; i < 6; ++i) expect_record(*c, again, i, 1000);
}

TEST_P(CartridgeTest, OverwriteDropsWhatFollows) {
  for (const uint64_t cut : {0U, 1U, 17U, 40U, 41U, 42U, 59U}) {
    const std::string directory = "/t/cut" + std::to_string(cut);
    auto made = Cartridge::create(env_, options_, directory, what_);
    ASSERT_TRUE(made.ok());
    auto c = std::move(made).value();
    Position at;
    write(*c, at, 0, 40, 250'000);
    filemarks(*c, at, 2);
    write(*c, at, 42, 60, 1000);
    at = *c->position_of(0, cut);
    write(*c, at, 100, 103, 5000);
    EXPECT_EQ(c->end_of_data(0).block, cut + 3);
    const uint64_t bytes = *c->bytes_before(at);
    for (const bool reopened : {false, true}) {
      if (reopened) {
        ASSERT_TRUE(c->close().ok());
        auto opened = Cartridge::open(env_, options_, directory);
        ASSERT_TRUE(opened.ok()) << opened.error().message();
        c = std::move(opened).value();
      }
      Position r;
      for (uint64_t b = 0; b < cut; ++b) {
        if (b == 40 || b == 41) {
          expect_kind(*c, r, TapeObject::Kind::filemark);
        } else {
          expect_record(*c, r, b, b < 40 ? 250'000 : 1000);
        }
      }
      for (uint64_t i = 100; i < 103; ++i) expect_record(*c, r, i, 5000);
      expect_kind(*c, r, TapeObject::Kind::end_of_data);
      EXPECT_EQ(*c->bytes_before(r), bytes);
      EXPECT_EQ(c->end_of_data(0).filemark, cut > 41 ? 2U : cut > 40 ? 1U : 0U);
    }
    // No file stays that the manifest does not name.
    size_t files = 0;
    for (const std::string& path : files_.all_files()) {
      files += path.starts_with(directory + "/") ? 1 : 0;
    }
    EXPECT_EQ(files, 1 + c->manifest().partitions[0].segments.size()) << cut;
  }
  EXPECT_FALSE(observer_.dropped().empty());
}

TEST_P(CartridgeTest, EraseFormatAndSetCapacity) {
  auto c = create();
  Position at;
  write(*c, at, 0, 20, 300'000);
  ASSERT_TRUE(c->erase_from(*c->position_of(0, 7)).ok());
  EXPECT_EQ(c->end_of_data(0).block, 7U);
  ASSERT_TRUE(c->format({1 * GiB, 9 * GiB}).ok());
  EXPECT_EQ(c->partition_count(), 2U);
  EXPECT_EQ(c->partition_capacity(1), 9 * GiB);
  EXPECT_EQ(c->end_of_data(0).block, 0U);
  EXPECT_EQ(count_files(".seg") + count_files(".open"), 0U);
  at = {};
  write(*c, at, 0, 2, 1000);
  ASSERT_TRUE(c->set_capacity(5 * GiB).ok());
  EXPECT_EQ(c->partition_count(), 1U);
  EXPECT_EQ(c->partition_capacity(0), 5 * GiB);
  EXPECT_EQ(c->end_of_data(0), Position{});
  at = {};
  write(*c, at, 5, 9, 1000);
  ASSERT_TRUE(c->close().ok());
  c = open();
  Position r;
  for (uint64_t i = 5; i < 9; ++i) expect_record(*c, r, i, 1000);
}

TEST_P(CartridgeTest, TwoPartitions) {
  auto c = create();
  ASSERT_TRUE(c->format({1 * GiB, 1 * GiB}).ok());
  Position a{0, 0, 0};
  Position b{1, 0, 0};
  for (uint64_t round = 0; round < 5; ++round) {
    write(*c, a, 10 * round, 10 * round + 3, 90'000);
    filemarks(*c, b, 1);
    write(*c, b, 1000 + round, 1001 + round, 700'000);
  }
  // Overwriting one leaves the other alone.
  Position cut = *c->position_of(1, 4);
  write(*c, cut, 2000, 2001, 10);
  for (const bool reopened : {false, true}) {
    if (reopened) {
      ASSERT_TRUE(c->close().ok());
      c = open();
    }
    Position ra{0, 0, 0};
    Position rb{1, 0, 0};
    for (uint64_t round = 0; round < 5; ++round) {
      for (uint64_t i = 0; i < 3; ++i) expect_record(*c, ra, 10 * round + i, 90'000);
      if (round < 2) {
        expect_kind(*c, rb, TapeObject::Kind::filemark);
        expect_record(*c, rb, 1000 + round, 700'000);
      }
    }
    expect_record(*c, rb, 2000, 10);
    expect_kind(*c, ra, TapeObject::Kind::end_of_data);
    expect_kind(*c, rb, TapeObject::Kind::end_of_data);
    EXPECT_EQ(c->end_of_data(1).filemark, 2U);
  }
  Position none{2, 0, 0};
  EXPECT_EQ(c->read(none).error().code, ErrorCode::out_of_range);
}

TEST_P(CartridgeTest, WormTakesAppendsOnly) {
  what_.worm = true;
  auto c = create();
  Position at;
  write(*c, at, 0, 4, 1000);
  Position middle = *c->position_of(0, 2);
  EXPECT_EQ(c->write_record(middle, make_record(9, 10)).error().code, ErrorCode::write_protected);
  EXPECT_EQ(c->write_filemarks(middle, 1).error().code, ErrorCode::write_protected);
  EXPECT_EQ(c->erase_from(middle).error().code, ErrorCode::write_protected);
  EXPECT_EQ(c->format({1 * GiB}).error().code, ErrorCode::write_protected);
  EXPECT_EQ(c->set_capacity(1 * GiB).error().code, ErrorCode::write_protected);
  write(*c, at, 4, 6, 1000);
  Position r;
  for (uint64_t i = 0; i < 6; ++i) expect_record(*c, r, i, 1000);
}

TEST_P(CartridgeTest, WormLetsTheLastFilemarksGoButForTheFirst) {
  what_.worm = true;
  auto c = create();
  Position at;
  write(*c, at, 0, 4, 1000);
  ASSERT_TRUE(c->write_filemarks(at, 3).ok());
  for (const bool sealed : {false, true, true}) {  // at last they lie in a segment of their own
    SCOPED_TRACE(sealed);
    if (sealed) {
      ASSERT_TRUE(c->seal().ok());
    }
    const Position end = c->end_of_data(0);
    Position first = *c->position_of(0, end.block - 3);
    EXPECT_EQ(c->write_record(first, make_record(9, 10)).error().code, ErrorCode::write_protected);
    Position second = *c->position_of(0, end.block - 2);
    EXPECT_EQ(c->erase_from(second).error().code, ErrorCode::write_protected);
    at = second;
    write(*c, at, second.block, second.block + 1, 1000);
    if (sealed) {
      ASSERT_TRUE(c->seal().ok());
    }
    ASSERT_TRUE(c->write_filemarks(at, 3).ok());
    EXPECT_EQ(c->end_of_data(0), (Position{0, end.block + 2, end.filemark + 1}));
  }
  ASSERT_TRUE(c->close().ok());
  c = open();
  EXPECT_EQ(c->end_of_data(0), (Position{0, 13, 6}));
  Position r;
  for (uint64_t i = 0; i < 4; ++i) expect_record(*c, r, i, 1000);
  for (uint64_t i = 5; i < 10; i += 2) {
    expect_kind(*c, r, TapeObject::Kind::filemark);
    expect_record(*c, r, i, 1000);
  }
  for (int i = 0; i < 3; ++i) expect_kind(*c, r, TapeObject::Kind::filemark);
  expect_kind(*c, r, TapeObject::Kind::end_of_data);
}

TEST_P(CartridgeTest, WriteProtection) {
  auto c = create();
  Position at;
  write(*c, at, 0, 1, 1000);
  ASSERT_TRUE(c->set_write_protected(true).ok());
  EXPECT_EQ(c->check_writable().error().code, ErrorCode::write_protected);
  EXPECT_EQ(c->write_record(at, make_record(1, 10)).error().code, ErrorCode::write_protected);
  ASSERT_TRUE(c->set_write_protected(false).ok());
  write(*c, at, 1, 2, 1000);
  Position beyond{0, 7, 0};
  EXPECT_EQ(c->write_record(beyond, make_record(1, 10)).error().code, ErrorCode::out_of_range);
}

TEST_P(CartridgeTest, AttributesAreDurable) {
  auto c = create();
  const MamKey key{0, 0x0806};
  ASSERT_TRUE(c->set_mam(key, {1, to_buffer(as_view("label"))}).ok());
  ASSERT_TRUE(c->set_property("status", "AVAILABLE").ok());
  SeededRandom random(1);
  files_.crash(random);
  c = open();
  EXPECT_EQ(to_text(c->manifest().mam.at(key).value), "label");
  EXPECT_EQ(c->manifest().properties.at("status"), "AVAILABLE");
  ASSERT_TRUE(c->remove_mam(key).ok());
  EXPECT_EQ(c->remove_mam(key).error().code, ErrorCode::not_found);
  EXPECT_TRUE(c->manifest().mam.empty());
}

// What a client gets wrong does not end the cartridge's manifest log.
TEST_P(CartridgeTest, WrongEditsAreRefused) {
  auto c = create();
  const MamValue too_long{0, Buffer(16 * MiB)};
  EXPECT_EQ(c->set_mam({0, 0x0800}, too_long).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(c->set_mam({9, 0x0800}, {}).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(c->format({}).error().code, ErrorCode::invalid_argument);
  EXPECT_TRUE(c->check_writable().ok());
  Position at;
  EXPECT_TRUE(c->write_would_block(1000));  // the epoch comes first
  write(*c, at, 0, 3, 1000);
  EXPECT_FALSE(c->write_would_block(1000));
  EXPECT_TRUE(c->set_property("a", "b").ok());
}

TEST_P(CartridgeTest, Encryption) {
  auto kek = KeyEncryptionKey::parse(std::string(64, 'a'));
  auto other = KeyEncryptionKey::parse(std::string(64, 'b'));
  ASSERT_TRUE(kek.ok() && other.ok());
  options_.key = &*kek;
  auto c = create();
  Position at;
  write(*c, at, 0, 30, 200'000);
  const std::string secret(2000, 'S');
  ASSERT_TRUE(c->write_record(at, as_view(secret)).ok());
  ASSERT_TRUE(c->close().ok());
  c = open();
  Position r;
  for (uint64_t i = 0; i < 30; ++i) expect_record(*c, r, i, 200'000);
  auto object = c->read(r);
  ASSERT_TRUE(object.ok());
  EXPECT_EQ(to_text(object->record.flatten()), secret);
  c.reset();
  for (const std::string& path : files_.all_files()) {
    const Buffer content = *files_.content(path);
    EXPECT_EQ(as_text(content).find("SSSSSSSSSSSSSSSS"), std::string_view::npos) << path;
  }
  options_.key = nullptr;
  EXPECT_EQ(Cartridge::open(env_, options_, "/t/c").error().code, ErrorCode::key_missing);
  options_.key = &*other;
  EXPECT_EQ(Cartridge::open(env_, options_, "/t/c").error().code, ErrorCode::key_mismatch);
}

TEST_P(CartridgeTest, FullDisk) {
  auto c = create();
  Position at;
  ASSERT_NO_FATAL_FAILURE(write(*c, at, 0, 10, 100'000));
  ASSERT_TRUE(c->sync().ok());
  files_.set_capacity(4 * MiB);
  Status done;
  for (uint64_t i = 10; i < 200 && done.ok(); ++i) {
    done = c->write_record(at, make_record(2 * i, 100'000));
  }
  if (done.ok()) done = c->sync();
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().code, ErrorCode::no_space);
  EXPECT_EQ(c->check_writable().error().code, ErrorCode::no_space);
  EXPECT_EQ(c->sync().error().code, ErrorCode::no_space);
  EXPECT_EQ(observer_.failures().size(), 1U);
  const uint64_t end = c->end_of_data(0).block;
  EXPECT_GE(end, 10U);
  EXPECT_LT(end, 200U);
  const auto check = [&](uint64_t blocks) {
    Position r;
    for (uint64_t i = 0; i < blocks; ++i) expect_record(*c, r, i < 10 ? i : 2 * i, 100'000);
    expect_kind(*c, r, TapeObject::Kind::end_of_data);
  };
  check(end);
  EXPECT_EQ(c->close().error().code, ErrorCode::no_space);
  c.reset();
  files_.no_faults();
  c = open();
  EXPECT_GE(c->end_of_data(0).block, end);
  check(c->end_of_data(0).block);
  at = c->end_of_data(0);
  write(*c, at, 1, 2, 1000);
  EXPECT_TRUE(c->sync().ok());
}

TEST_P(CartridgeTest, SegmentsElsewhere) {
  auto c = create();
  Position at;
  for (uint64_t i = 0; i < 30; ++i) write(*c, at, 2 * i, 2 * i + 1, 700'000);
  ASSERT_TRUE(c->close().ok());
  const auto segments = c->manifest().partitions[0].segments;
  ASSERT_GE(segments.size(), 5U);
  ASSERT_TRUE(files_.create_directories("/store").ok());
  for (const SegmentEntry& entry : segments) {
    const std::string path = segment_path("/t/c", entry.sequence, entry.epoch);
    const Buffer content = *files_.content(path);
    ASSERT_TRUE(
        files_.replace_file(segment_path("/store", entry.sequence, entry.epoch), content).ok());
    ASSERT_TRUE(files_.remove(path).ok());
  }
  c = open();
  Position r;
  EXPECT_EQ(c->read(r).error().code, ErrorCode::not_found);
  c.reset();

  test::FakeSource source(files_, "/store");
  env_.source = &source;
  c = open();
  r = {};
  for (uint64_t i = 0; i < 30; ++i) expect_record(*c, r, 2 * i, 700'000);
  EXPECT_EQ(source.fetched, segments.size());
  c.reset();
  EXPECT_THAT(source.announced, ::testing::Contains(segments.back().sequence));

  source.cold = true;
  c = open();
  r = {};
  auto read = c->read(r);
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.error().code, ErrorCode::cold);
  EXPECT_EQ(read.error().disposition, Disposition::cold);
  EXPECT_EQ(r.block, 0U);
  // The beginning of a segment is known from the manifest alone.
  EXPECT_TRUE(c->position_of(0, segments[2].first_block).ok());
}

TEST_P(CartridgeTest, ReadyWhenDecoded) {
  auto c = create();
  Position at;
  for (uint64_t i = 0; i < 40; ++i) write(*c, at, i, i + 1, 400'000);
  ASSERT_TRUE(c->close().ok());
  c = open();
  EXPECT_FALSE(c->read_is_ready({0, 0, 0}));
  EXPECT_TRUE(c->read_is_ready({0, 40, 0}));
  Position r;
  expect_record(*c, r, 0, 400'000);
  EXPECT_TRUE(c->read_is_ready(r));  // in the same frame
  uint64_t ready = 0;
  for (uint64_t i = 1; i < 40; ++i) {
    ready += c->read_is_ready(r) ? 1 : 0;
    expect_record(*c, r, i, 400'000);
  }
  EXPECT_TRUE(GetParam() || ready > 30) << ready;
}

TEST_P(CartridgeTest, SmallRecordsHaveASmallIndex) {
  auto c = create();
  Position at;
  for (uint64_t i = 0; i < 8000; ++i) write(*c, at, 2 * i, 2 * i + 1, 512);
  // Lengths that change with every record end a frame before its header gets too long.
  for (uint64_t i = 0; i < 20'000; ++i) write(*c, at, i, i + 1, 1 + i % 2);
  ASSERT_TRUE(c->close().ok());
  c = open();
  Position r;
  for (uint64_t i = 0; i < 8000; ++i) expect_record(*c, r, 2 * i, 512);
  for (uint64_t i = 0; i < 20'000; ++i) expect_record(*c, r, i, 1 + i % 2);
  expect_kind(*c, r, TapeObject::Kind::end_of_data);
  const auto entry = c->manifest().partitions[0].segments.front();
  EXPECT_LT(static_cast<double>(entry.stored_bytes),
            1.01 * static_cast<double>(8000 * 512) + 300'000);
}

TEST_P(CartridgeTest, CountersCount) {
  auto c = create();
  Position at;
  write(*c, at, 0, 10, 2000);
  filemarks(*c, at, 3);
  Position r;
  for (uint64_t i = 0; i < 10; ++i) expect_record(*c, r, i, 2000);
  const Cartridge::Counters n = c->counters();
  EXPECT_EQ(n.records_written, 10U);
  EXPECT_EQ(n.filemarks_written, 3U);
  EXPECT_EQ(n.records_read, 10U);
  EXPECT_EQ(n.plain_bytes_written, 20'000U);
  EXPECT_EQ(n.plain_bytes_read, 20'000U);
  EXPECT_GT(n.stored_bytes_written, 0U);
}

INSTANTIATE_TEST_SUITE_P(Executors, CartridgeTest, ::testing::Bool(),
                         [](const auto& p) { return p.param ? "threads" : "inline"; });

}  // namespace
}  // namespace coldshelf
