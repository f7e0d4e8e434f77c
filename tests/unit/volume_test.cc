#include <atomic>
#include <thread>

#include "base/coding.h"
#include "tests/support/volume_fixture.h"
#include "tests/support/watched_file_system.h"

namespace coldshelf::test {
namespace {

TEST_F(VolumeTest, ReadsZeroesThenWhatWasWritten) {
  auto v = create();
  EXPECT_EQ(read(*v, 0, 8192), Buffer(8192, std::byte{0}));
  const Buffer a = pattern(1, 3 * 4096);
  ASSERT_TRUE(v->write(4096, a, false).ok());
  Buffer expected(4096, std::byte{0});
  append(expected, a);
  expected.resize(6 * 4096, std::byte{0});
  EXPECT_EQ(read(*v, 0, 6 * 4096), expected);
  EXPECT_EQ(v->run_at(0, 8192)->length, 4096U);
  EXPECT_EQ(v->run_at(4096, 65536)->length, 3U * 4096);
  EXPECT_TRUE(v->run_at(4096, 65536)->mapped);
  ASSERT_TRUE(v->unmap(8192, 4096).ok());
  std::fill(expected.begin() + 8192, expected.begin() + 12288, std::byte{0});
  EXPECT_EQ(read(*v, 0, 6 * 4096), expected);
  EXPECT_EQ(v->usage().mapped_bytes, 8192U);
  ASSERT_TRUE(v->close().ok());
  v = open();
  EXPECT_EQ(read(*v, 0, 6 * 4096), expected);
}

TEST_F(VolumeTest, RefusesWhatIsNoRange) {
  auto v = create();
  Buffer b(4096);
  EXPECT_EQ(v->read(512, b).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(v->read(kBlocks * 4096, b).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(v->write(UINT64_MAX - 4095, b, false).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(v->unmap(0, kBlocks * 4096 + 4096).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(Volume::create(env, options, "/w", {Uuid{}, "w", 1000, 4096}).error().code,
            ErrorCode::invalid_argument);
  EXPECT_EQ(Volume::create(env, options, "/v", {Uuid{}, "v", 4096, 4096}).error().code,
            ErrorCode::exists);
  EXPECT_EQ(v->resize(4096).error().code, ErrorCode::invalid_argument);
}

// Writes that were prepared on other threads: what compresses is compressed, in one frame each.
TEST_F(VolumeTest, PreparedWritesAreFramesOfTheLog) {
  auto v = create(512);
  std::vector<std::shared_ptr<PreparedWrite>> writes(8);
  std::vector<Buffer> expected;
  for (unsigned i = 0; i < 8; ++i) {
    expected.push_back(i % 2 == 0 ? pattern(i, 512 * KiB) : Buffer(512 * KiB, std::byte{3}));
  }
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      auto begun = v->begin_write(i * 512 * KiB, 512 * KiB);
      ASSERT_TRUE(begun.ok());
      std::memcpy((*begun)->data().data(), expected[i].data(), expected[i].size());
      v->finish_write(**begun);
      writes[i] = *begun;
    });
  }
  for (std::thread& t : threads) t.join();
  for (unsigned i = 8; i-- > 0;) ASSERT_TRUE(v->write(*writes[i]).ok());
  EXPECT_EQ(v->counters().written_bytes, 4 * MiB);
  EXPECT_LT(v->counters().log_bytes, 2 * MiB + 64 * KiB);
  EXPECT_EQ(v->map_statistics().extents, 8U);
  for (int round = 0; round < 2; ++round) {
    for (unsigned i = 0; i < 8; ++i) {
      EXPECT_EQ(read(*v, i * 512 * KiB, 512 * KiB), expected[i]) << i;
    }
    EXPECT_TRUE(v->run_at(0, 4 * MiB)->mapped);
    EXPECT_EQ(v->run_at(0, 8 * MiB)->length, 4 * MiB);
    ASSERT_TRUE(v->close().ok());
    v = open();
  }
  EXPECT_EQ(v->begin_write(0, 1 * MiB).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(v->begin_write(kBlocks * 4096 - 512, 1024).error().code, ErrorCode::invalid_argument);
}

// Properties that go with a recovery point are there when it is, and leave with it.
TEST_F(VolumeTest, PropertiesComeAndGoWithARecoveryPoint) {
  auto v = create();
  ASSERT_TRUE(v->set_properties({{"a", "1"}, {"b", "2"}}).ok());
  ASSERT_TRUE(v->write(0, pattern(1, 4096), false).ok());
  const auto point = v->create_point("p", [](const Uuid& id) {
    return Volume::Properties{{"of." + id.to_string(), "here"}, {"a", ""}};
  });
  ASSERT_TRUE(point.ok());
  v.reset();
  SeededRandom r(1);
  files.crash(r);
  v = open();
  auto properties = v->manifest().properties;
  EXPECT_EQ(properties.count("a"), 0U);
  EXPECT_EQ(properties.at("b"), "2");
  EXPECT_EQ(properties.at("of." + point->id.to_string()), "here");
  ASSERT_TRUE(v->delete_point(point->id, {{"of." + point->id.to_string(), ""}}).ok());
  EXPECT_EQ(v->manifest().properties.count("of." + point->id.to_string()), 0U);
}

TEST_F(VolumeTest, GrowsForGood) {
  auto v = create();
  ASSERT_TRUE(v->resize((kBlocks + 10) * 4096).ok());
  const Buffer a = pattern(3, 4096);
  ASSERT_TRUE(v->write(kBlocks * 4096, a, true).ok());
  v.reset();
  SeededRandom r(1);
  files.crash(r);
  v = open();
  EXPECT_EQ(v->size_bytes(), (kBlocks + 10) * 4096);
  EXPECT_EQ(read(*v, kBlocks * 4096, 4096), a);
}

// Every byte of every file damaged in turn: an error or the right bytes, never others.
TEST_F(VolumeTest, DamagedBytesAreNeverReturned) {
  for (const uint32_t block_bytes : {512U, 4096U}) {
    SimFileSystem fresh;
    env.cartridge.files = &fresh;
    auto v = create(block_bytes);
    const Buffer a = pattern(4, 6 * block_bytes);
    const Buffer b = pattern(5, 3 * block_bytes);
    ASSERT_TRUE(v->write(0, a, false).ok());
    ASSERT_TRUE(v->write(2 * block_bytes, b, false).ok());
    ASSERT_TRUE(v->close().ok());
    Buffer expected = a;
    std::copy(b.begin(), b.end(), expected.begin() + 2 * block_bytes);
    uint64_t refused = 0;
    for (const std::string& path : fresh.all_files()) {
      if (!path.ends_with(".seg")) continue;
      const size_t size = fresh.content(path)->size();
      for (size_t at = 0; at < size; at += 1 + at / 2000) {
        ASSERT_TRUE(fresh.flip(path, at, at % 8).ok());
        Buffer out(expected.size());
        const Status done = v->read(0, out);
        if (done.ok()) {
          ASSERT_EQ(out, expected) << path << " byte " << at;
        } else {
          const ErrorCode code = done.error().code;  // a flipped version looks like a newer one
          EXPECT_TRUE(code == ErrorCode::corrupt || code == ErrorCode::unsupported_version);
          ++refused;
        }
        ASSERT_TRUE(fresh.flip(path, at, at % 8).ok());
      }
    }
    EXPECT_GT(refused, 1000U);
  }
}

TEST_F(VolumeTest, OverwritingGivesSpaceBackAndMovesWhatLives) {
  auto v = create();
  const Buffer keep = pattern(8, 4096);
  for (int round = 0; round < 20; ++round) {
    ASSERT_TRUE(v->write(static_cast<uint64_t>(1000 + round) * 4096, keep, false).ok());
    for (uint64_t at = 0; at < 2 * MiB; at += 256 * KiB) {
      ASSERT_TRUE(v->write(at, pattern(at + static_cast<uint64_t>(round), 256 * KiB), false).ok());
    }
  }
  ASSERT_TRUE(v->collect().ok());
  const VolumeCounters c = v->counters();
  EXPECT_GT(c.moved_bytes, 0U);
  EXPECT_LE(v->usage().stored_bytes, 5 * MiB);  // of 40 written, 2 live
  EXPECT_GE(c.dropped_bytes, 30 * MiB);
  EXPECT_FALSE(observer.dropped().empty());
  EXPECT_LE(segment_files(), 6U);
  v = open();
  for (uint64_t round = 0; round < 20; ++round) {
    EXPECT_EQ(read(*v, (1000 + round) * 4096, 4096), keep);
  }
  EXPECT_EQ(read(*v, 256 * KiB, 256 * KiB), pattern(256 * KiB + 19, 256 * KiB));
}

// What is dead all at once is not moved all at once while the disk is in use.
TEST_F(VolumeTest, CompactionKeepsStepWithTheUsers) {
  options.compact_bytes_per_s = 256 * KiB;
  auto v = create();
  for (uint64_t at = 0; at < kBlocks * 4096; at += 1 * MiB) {
    ASSERT_TRUE(v->write(at, pattern(at, 1 * MiB), false).ok());
  }
  for (uint64_t block = 0; block < kBlocks; block += 4) {
    ASSERT_TRUE(v->unmap((block + 1) * 4096, 3 * 4096).ok());
  }
  ASSERT_TRUE(v->seal().ok());
  const uint64_t at_once = v->counters().moved_bytes;
  EXPECT_LT(at_once, 256 * KiB);  // of 2 MiB and more that are to be moved
  for (uint64_t second = 1; second <= 3; ++second) {
    v->go_on();
    read(*v, 0, 4096);  // in use
    EXPECT_GT(v->counters().moved_bytes, at_once + second * 128 * KiB);
    EXPECT_LT(v->counters().moved_bytes, at_once + second * 320 * KiB);
  }
  const uint64_t in_use = v->counters().moved_bytes;
  v->go_on();
  v->go_on();  // idle
  const uint64_t idle = v->counters().moved_bytes;
  EXPECT_GT(idle, in_use + 512 * KiB);
  for (uint64_t block = 0; block < kBlocks; block += 4) {
    const uint64_t at = block * 4096;
    const Buffer wrote = pattern(at / MiB * MiB, 1 * MiB);
    ASSERT_TRUE(equal(read(*v, at, 4096), ByteView(wrote).subspan(at % MiB, 4096)));
  }
}

TEST_F(VolumeTest, ARestartReplaysAtMostAnInterval) {
  options.map_interval_bytes = 3 * MiB;
  auto v = create();
  SeededRandom r(4);
  for (int i = 0; i < 8000; ++i) {
    ASSERT_TRUE(v->write(r.below(kBlocks) * 4096, pattern(r.next(), 4096), false).ok());
  }
  ASSERT_TRUE(v->close().ok());
  const Buffer before = read(*v, 0, kBlocks * 4096);
  v = open();
  EXPECT_EQ(read(*v, 0, kBlocks * 4096), before);
  EXPECT_LT(v->counters().replayed_frames, 1300U);
}

TEST_F(VolumeTest, PointsClonesAndTheWayBack) {
  auto v = create();
  const Buffer a = pattern(10, 512 * KiB);
  const Buffer b = pattern(11, 512 * KiB);
  ASSERT_TRUE(v->write(0, a, false).ok());
  auto point = v->create_point("first");
  ASSERT_TRUE(point.ok());
  EXPECT_EQ(v->points()->at(0).name, "first");
  ASSERT_TRUE(v->write(0, b, false).ok());
  auto view = v->open_point(point->id);
  ASSERT_TRUE(view.ok());
  EXPECT_EQ(read(**view, 0, a.size()), a);
  EXPECT_EQ((*view)->write(0, a, false).error().code, ErrorCode::read_only);
  EXPECT_EQ(v->delete_point(point->id).error().code, ErrorCode::busy);
  view->reset();

  const Uuid id = Uuid::generate(random);
  auto clone = Volume::clone(*v, point->id, "/c", {id, "clone"});
  ASSERT_TRUE(clone.ok()) << clone.error().message();
  EXPECT_EQ(read(**clone, 0, a.size()), a);
  ASSERT_TRUE((*clone)->write(4096, ByteView(b).first(4096), true).ok());
  EXPECT_EQ(read(*v, 0, b.size()), b);
  ASSERT_TRUE(v->collect().ok());  // what the clone needs stays
  EXPECT_EQ(read(**clone, 8192, 4096), to_buffer(ByteView(a).subspan(8192, 4096)));
  EXPECT_EQ(v->delete_point(point->id).error().code, ErrorCode::busy);

  ASSERT_TRUE(v->roll_back(point->id).ok());
  EXPECT_EQ(read(*v, 0, a.size()), a);
  v = open();
  EXPECT_EQ(read(*v, 0, a.size()), a);
  clone->reset();
  ASSERT_TRUE(v->release_clone(id).ok());
  ASSERT_TRUE(v->delete_point(point->id).ok());
  EXPECT_TRUE(v->points()->empty());
  EXPECT_EQ(v->open_point(point->id).error().code, ErrorCode::not_found);
}

TEST_F(VolumeTest, WithoutItsKeyItIsNotOpened) {
  auto key = KeyEncryptionKey::parse(std::string(64, '1'));
  auto other = KeyEncryptionKey::parse(std::string(64, '2'));
  options.key = &*key;
  auto v = create();
  const Buffer secret = to_buffer(as_view(std::string(4096, 'S')));
  ASSERT_TRUE(v->write(0, secret, true).ok());
  ASSERT_TRUE(v->collect().ok());
  v.reset();
  for (const std::string& path : files.all_files()) {
    EXPECT_EQ(as_text(*files.content(path)).find("SSSSSSSS"), std::string_view::npos) << path;
  }
  options.key = nullptr;
  EXPECT_EQ(Volume::open(env, options, "/v").error().code, ErrorCode::key_missing);
  options.key = &*other;
  EXPECT_EQ(Volume::open(env, options, "/v").error().code, ErrorCode::key_mismatch);
  options.key = &*key;
  EXPECT_EQ(read(*open(), 0, 4096), secret);
}

// A sync serves everybody whose bytes were written when it began, however much is written
// meanwhile.
TEST_F(VolumeTest, OneSyncServesAllWhoWait) {
  create().reset();
  TailSegment tail;
  std::atomic<unsigned> syncs{0};
  WatchedFileSystem watched(files, [&](const char* operation, const std::string&) {
    if (std::string_view(operation) != "sync") return;
    ++syncs;
    tail.written_bytes += 4096;  // somebody always writes
  });
  tail.file = *watched.open("/v/tail", OpenMode::create);
  auto log = ManifestLog::open(files, "/v/manifest");
  ASSERT_TRUE(log.ok());
  VolumeState state(env, options, "/v", std::move(*log), Secret(), 4096);
  tail.written_bytes = 8192;
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 8; ++t) {
    threads.emplace_back([&] { EXPECT_TRUE(state.sync_tail(tail, 8192).ok()); });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(syncs, 1U);
  EXPECT_TRUE(state.sync_tail(tail, 12288).ok());  // written after it began
  EXPECT_EQ(syncs, 2U);
}

// Many threads, each with blocks of its own, while segments are sealed and compacted behind them.
TEST_F(VolumeTest, ThreadsSeeTheirOwnWrites) {
  WorkerPool sealers(1);
  env.cartridge.sealers = &sealers;
  options.map_interval_bytes = 2 * MiB;
  auto v = create();
  std::atomic<bool> bad{false};
  std::vector<std::thread> threads;
  std::vector<std::vector<uint64_t>> expected(6, std::vector<uint64_t>(64, 0));
  for (uint64_t t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      SeededRandom r(t);
      Buffer out(4096);
      for (uint64_t i = 1; i < 1200 && !bad; ++i) {
        const uint64_t block = r.below(64);
        const uint64_t at = (t + 6 * block) * 4096;
        if (r.one_in(3)) {
          bad = bad || !v->read(at, out).ok() ||
                load_le<uint64_t>(out.data() + 4088) != expected[t][block];
        } else {
          Buffer in(4096);
          store_le(in.data() + 4088, i);
          bad = bad || !v->write(at, in, r.one_in(50)).ok();
          expected[t][block] = i;
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  ASSERT_FALSE(bad);
  ASSERT_TRUE(v->collect().ok());
  v = open();
  for (uint64_t t = 0; t < 6; ++t) {
    for (uint64_t block = 0; block < 64; ++block) {
      const Buffer out = read(*v, (t + 6 * block) * 4096, 4096);
      ASSERT_EQ(load_le<uint64_t>(out.data() + 4088), expected[t][block]);
    }
  }
}

// A number goes to one volume and then to the other, over and over, while both are kept at one
// moment, over and over.
TEST_F(VolumeTest, PointsOfSeveralAreOfOneMoment) {
  WorkerPool sealers(2);
  env.cartridge.sealers = &sealers;
  std::vector<std::unique_ptr<Volume>> volumes;
  std::vector<Volume*> bare;
  for (const char* name : {"/one", "/two"}) {
    auto made = Volume::create(env, options, name, {Uuid::generate(random), name, 1 * MiB, 512});
    ASSERT_TRUE(made.ok());
    volumes.push_back(std::move(*made));
    bare.push_back(volumes.back().get());
  }
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    Buffer block(512);
    for (uint64_t n = 1; !stop; ++n) {
      store_le(block.data(), n);
      for (const auto& volume : volumes) ASSERT_TRUE(volume->write(0, block, false).ok());
    }
  });
  std::vector<RecoveryPoint> made;
  int passed = 0;
  for (int i = 0; i < 30; ++i) {
    const auto points = Volume::create_points(bare, {"p", "{}", [&] { ++passed; }});
    ASSERT_TRUE(points.ok()) << points.error().message();
    ASSERT_EQ(points->size(), 2U);
    EXPECT_EQ((*points)[0].id, (*points)[1].id);
    EXPECT_EQ((*points)[0].about, "{}");
    made.push_back(points->front());
  }
  stop = true;
  writer.join();
  EXPECT_EQ(passed, 30);
  for (const RecoveryPoint& point : made) {
    uint64_t seen[2] = {};
    for (size_t v = 0; v < 2; ++v) {
      const auto disk = volumes[v]->open_point(point.id);
      ASSERT_TRUE(disk.ok());
      seen[v] = load_le<uint64_t>(read(**disk, 0, 512).data());
    }
    EXPECT_TRUE(seen[0] == seen[1] || seen[0] == seen[1] + 1) << seen[0] << " " << seen[1];
  }
}

// One of two cannot: neither has it, and whoever was held still is let go.
TEST_F(VolumeTest, PointsOfSeveralAreAllOrNone) {
  auto one = create();
  auto two = Volume::create(env, options, "/w", {Uuid::generate(random), "w", 1 * MiB, 512});
  ASSERT_TRUE(two.ok());
  (*two)->stop_writes(Error(ErrorCode::conflict, "another gateway has it"));
  int passed = 0;
  for (const bool first : {true, false}) {
    std::vector<Volume*> bare = {one.get(), two->get()};
    if (first) std::swap(bare[0], bare[1]);
    EXPECT_FALSE(Volume::create_points(bare, {"p", "", [&] { ++passed; }}).ok());
    EXPECT_TRUE(one->points()->empty());
  }
  EXPECT_EQ(passed, 2);
  EXPECT_TRUE(one->write(0, pattern(1, 4096), false).ok());
  EXPECT_EQ((*two)->write(0, pattern(1, 512), false).error().code, ErrorCode::read_only);
  EXPECT_TRUE(one->create_point("later").ok());
}

TEST_F(VolumeTest, WhatIsErasedIsNowhere) {
  auto v = create();
  const Buffer secret = to_buffer(as_view(std::string(64 * KiB, 'S')));
  for (uint64_t at = 0; at < 4 * MiB; at += secret.size()) {
    ASSERT_TRUE(v->write(at, secret, false).ok());
  }
  auto point = v->create_point("holds it");
  ASSERT_TRUE(point.ok());
  EXPECT_FALSE(v->can_erase(BlockDevice::Erasure::blocks));
  EXPECT_FALSE(v->erase(BlockDevice::Erasure::blocks).ok());
  ASSERT_TRUE(v->delete_point(point->id).ok());
  EXPECT_TRUE(v->can_erase(BlockDevice::Erasure::blocks));
  EXPECT_FALSE(v->can_erase(BlockDevice::Erasure::key));
  ASSERT_TRUE(v->erase(BlockDevice::Erasure::blocks).ok());
  EXPECT_EQ(read(*v, 0, secret.size()), Buffer(secret.size(), std::byte{0}));
  for (const std::string& path : files.all_files()) {
    EXPECT_EQ(as_text(*files.content(path)).find("SSSSSSSS"), std::string_view::npos) << path;
  }
  ASSERT_TRUE(v->write(0, pattern(1, 4096), true).ok());
  v = open();
  EXPECT_EQ(read(*v, 0, 4096), pattern(1, 4096));
  EXPECT_EQ(read(*v, 4096, 4096), Buffer(4096, std::byte{0}));
}

TEST_F(VolumeTest, PropertiesAreForOthersAndTheKeyCanBeWrappedAnew) {
  auto old_key = KeyEncryptionKey::parse(std::string(64, '1'));
  auto new_key = KeyEncryptionKey::parse(std::string(64, '2'));
  options.key = &*old_key;
  auto v = create();
  ASSERT_TRUE(v->write(0, pattern(1, 4096), true).ok());
  ASSERT_TRUE(v->set_properties({{"mode", "stored"}, {"x", "1"}}).ok());
  ASSERT_TRUE(v->set_properties({{"x", ""}}).ok());
  for (const char* own : {"point.x", "map.1", "hold.2", "volume.blocks", "about.x"}) {
    EXPECT_EQ(v->set_properties({{own, "1"}}).error().code, ErrorCode::invalid_argument) << own;
  }
  const WrappedKey before = v->manifest().key;
  const auto plain = old_key->unwrap(before, v->uuid());
  ASSERT_TRUE(plain.ok());
  const auto after = new_key->wrap(*plain, v->uuid(), random);
  ASSERT_TRUE(after.ok());
  ASSERT_TRUE(v->set_wrapped_key(before, *after).ok());
  EXPECT_EQ(v->set_wrapped_key(before, *after).error().code, ErrorCode::busy);
  v.reset();
  options.key = &*new_key;
  v = open();
  ASSERT_NE(v, nullptr);
  EXPECT_EQ(v->manifest().properties.at("mode"), "stored");
  EXPECT_FALSE(v->manifest().properties.contains("x"));
  EXPECT_EQ(read(*v, 0, 4096), pattern(1, 4096));
}

}  // namespace
}  // namespace coldshelf::test
