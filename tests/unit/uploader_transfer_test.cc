// How the shelf moves segments: in parts, standing back for writers, ending in time, keeping pins.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>

#include "base/random.h"
#include "tape/cartridge/segment_listing.h"
#include "tests/support/shelf_rig.h"
#include "tests/support/watched_file_system.h"
#include "uploader/segment_download.h"

namespace coldshelf::test {
namespace {

// A store of which a test needs only some calls.
class MemoryStoreBase : public ObjectStore {
 public:
  Result<ObjectInfo> put(const std::string&, const PutSource&, const PutOptions&) override {
    return none();
  }
  Result<ObjectInfo> head(const std::string&) override { return none(); }
  Result<ListPage> list(const std::string&, const std::string&, size_t) override { return none(); }
  Result<FolderPage> list_folders(const std::string&, const std::string&, size_t) override {
    return none();
  }
  Status remove(const std::string&) override { return none(); }
  Result<ObjectInfo> change_class(const std::string&, StorageClass) override { return none(); }
  Status restore(const std::string&, RestoreTier, unsigned) override { return none(); }
  Status set_lock(const std::string&, const ObjectLock&) override { return none(); }
  Result<ObjectLock> lock_of(const std::string&) override { return none(); }
  Result<StoreCapabilities> capabilities() override { return none(); }
  Result<size_t> abort_unfinished(const std::string&, int64_t) override { return size_t{0}; }
  std::string describe() const override { return "test"; }

 private:
  static Error none() { return Error(ErrorCode::not_supported, "not in this test"); }
};

// -- on the simulated rig

TEST(ShelfTransfers, UploadsStandBackWhileDrivesWrite) {
  ShelfOptions options;
  options.uploads_yield = true;
  ShelfRig rig(21, options);
  const Uuid id = rig.create("YLD001");
  rig.run_until([] { return false; }, 5'000);
  const uint64_t puts = rig.faulty().calls("put");
  rig.write(id, 0, 40);
  for (int i = 0; i < 20; ++i) rig.shelf().run_once();
  EXPECT_TRUE(rig.all_in_state(id, SegmentState::sealed));
  EXPECT_EQ(rig.faulty().calls("put"), puts);
  rig.clock().advance_ms(1'100);
  EXPECT_TRUE(rig.run_until([&] { return rig.all_in_state(id, SegmentState::verified); }, 5'000));
}

TEST(ShelfTransfers, TheyDoNotStandBackForLongNorForMuch) {
  ShelfOptions options;
  options.uploads_yield = true;
  options.longest_yield_ms = 3'000;
  options.most_yield_bytes = 1 * GiB;
  ShelfRig rig(22, options);
  const Uuid id = rig.create("YLD002");
  bool any = false;
  for (int i = 0; i < 10 && !any; ++i) {  // a drive that writes all the time
    rig.write(id, SIZE_MAX, 12);
    rig.run_until([] { return false; }, 500);
    any = !rig.all_in_state(id, SegmentState::sealed);
    EXPECT_EQ(any, i >= 6) << i;
  }
  EXPECT_TRUE(any);

  options.most_yield_bytes = 64 * KiB;
  options.longest_yield_ms = 3'600'000;
  ShelfRig other(23, options);
  const Uuid much = other.create("YLD003");
  other.write(much, 0, 60);
  EXPECT_TRUE(
      other.run_until([&] { return !other.all_in_state(much, SegmentState::sealed); }, 900));
}

TEST(ShelfTransfers, AnArchiveJobDoesNotWaitForWriters) {
  ShelfOptions options;
  options.uploads_yield = true;
  ShelfRig rig(24, options);
  const Uuid id = rig.create("YLD004");
  rig.write(id, 0, 20);
  const auto job = rig.shelf().archive(id);
  ASSERT_TRUE(job.ok()) << job.error().message();
  EXPECT_TRUE(rig.run_until([&] { return rig.all_in_state(id, SegmentState::verified); }, 800));
}

TEST(ShelfTransfers, TheBufferIsCountedOverARestart) {
  ShelfOptions options;
  options.buffer_limit_bytes = 100 * MiB;
  ShelfRig rig(25, options);
  const Uuid id = rig.create("BUF001");
  rig.faulty().fail_next("put", Error(ErrorCode::unavailable, "away"), 1000);
  rig.write_calmly(id, 0, 40);
  rig.run_until([] { return false; }, 2'000);
  const uint64_t bytes = rig.manifest(id).stored_bytes();
  EXPECT_EQ(rig.shelf().statistics().buffer.bytes, bytes);
  rig.restart(false);
  ASSERT_TRUE(rig.shelf().reconcile().ok());
  EXPECT_EQ(rig.shelf().statistics().buffer.bytes, bytes);
  rig.faulty().fail_next("put", Error(ErrorCode::unavailable, "away"), 0);
  EXPECT_TRUE(rig.run_until([&] { return rig.shelf().statistics().buffer.bytes == 0; }));
  EXPECT_TRUE(rig.all_in_state(id, SegmentState::verified));
}

TEST(ShelfTransfers, LeftoversAreLookedForAtTheStartAndDaily) {
  ShelfRig rig(26);
  rig.run_until([] { return false; }, 10'000);
  EXPECT_EQ(rig.faulty().calls("abort_unfinished"), 1U);
  rig.clock().advance_ms(25 * 3'600'000);
  rig.run_until([] { return false; }, 10'000);
  EXPECT_EQ(rig.faulty().calls("abort_unfinished"), 2U);
}

TEST(ShelfTransfers, PinnedSegmentsStayAndComeBack) {
  ShelfOptions options;
  options.cache_limit_bytes = 96 * KiB;
  ShelfRig rig(27, options);
  const auto set_pinned = [&](const Uuid& id, const char* value) {
    auto opened = Cartridge::open(rig.cartridge_env(), rig.cartridge_options(), rig.directory(id));
    ASSERT_TRUE(opened.ok());
    ASSERT_TRUE((*opened)->set_property(std::string(kPinnedProperty), value).ok());
    ASSERT_TRUE((*opened)->close().ok());
  };
  const Uuid kept = rig.create("PIN001", "standard");
  const Uuid other = rig.create("PIN002", "standard");
  rig.write(kept, 0, 12);
  const size_t all = rig.manifest(kept).partitions[0].segments.size();
  ASSERT_GE(all, 2U);
  rig.write(other, 0, 80);
  ASSERT_TRUE(rig.run_until([&] { return rig.local_segments(kept) == 0; })) << "the oldest first";
  set_pinned(kept, "true");
  EXPECT_TRUE(rig.shelf().is_pinned(kept));
  EXPECT_TRUE(rig.run_until([&] { return rig.local_segments(kept) == all; }));
  rig.write(other, 0, 80);
  ASSERT_TRUE(rig.run_until(
      [&] { return rig.shelf().statistics().cache_bytes <= options.cache_limit_bytes; }));
  EXPECT_EQ(rig.local_segments(kept), all);
  // Known again after a restart, from the manifest.
  rig.restart(false);
  ASSERT_TRUE(rig.shelf().reconcile().ok());
  EXPECT_TRUE(rig.shelf().is_pinned(kept));
  set_pinned(kept, "false");
  rig.write(other, 0, 80);
  EXPECT_TRUE(rig.run_until([&] { return rig.local_segments(kept) == 0; })) << "as any other";
}

TEST(ShelfTransfers, LocalReadsCountAsUse) {
  ShelfOptions options;
  options.cache_limit_bytes = 100 * KiB;
  ShelfRig rig(28, options);
  const Uuid first = rig.create("USE001", "standard");
  const Uuid second = rig.create("USE002", "standard");
  rig.write(first, 0, 10);
  rig.clock().advance_ms(5'000);
  rig.write(second, 0, 10);
  ASSERT_TRUE(rig.run_until([&] { return rig.all_in_state(second, SegmentState::verified); }));
  const size_t all = rig.local_segments(first);
  const size_t before = rig.local_segments(second);
  rig.clock().advance_ms(5'000);
  ASSERT_TRUE(rig.read_all(first).ok());  // older, and used since
  rig.run_until([] { return false; }, 3'000);
  const Uuid third = rig.create("USE003", "standard");
  rig.write(third, 0, 20);
  ASSERT_TRUE(rig.run_until(
      [&] { return rig.shelf().statistics().cache_bytes <= options.cache_limit_bytes; }, 60'000));
  EXPECT_LT(rig.local_segments(second), before);
  EXPECT_EQ(rig.local_segments(first), all);
}

// -- a segment in parts

class PartsStore final : public MemoryStoreBase {
 public:
  explicit PartsStore(Buffer content) : content_(std::move(content)) {}
  Status get(const std::string&, uint64_t offset, MutableBytes out) override {
    if (offset + out.size() > content_.size()) return Error(ErrorCode::out_of_range, "short");
    std::copy_n(content_.begin() + static_cast<std::ptrdiff_t>(offset), out.size(), out.begin());
    return {};
  }

 private:
  Buffer content_;
};

Buffer segment_of(uint64_t size, uint64_t seed, SegmentEntry& entry) {
  Buffer content(size);
  SeededRandom random(seed);
  random.fill(content);
  entry.stored_bytes = size;
  entry.sha256 = Sha256::of(ByteView(content).first(size - sizeof(Sha256Digest)));
  std::copy(entry.sha256.begin(), entry.sha256.end(), content.end() - sizeof(Sha256Digest));
  return content;
}

TEST(SegmentDownload, PartsInAnyOrderMakeTheSegment) {
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    SeededRandom random(seed);
    SegmentEntry entry;
    const uint64_t size = 1 + 5 * SegmentDownload::kPartBytes - random.below(4 * MiB);
    const Buffer content = segment_of(size, seed, entry);
    PartsStore store(content);
    SimFileSystem disk;
    auto file = disk.open("/part", OpenMode::create);
    ASSERT_TRUE(file.ok());
    SegmentDownload download(store, "key", "segment", entry, std::move(file).value(),
                             BufferPool::create(16 * MiB));
    std::vector<size_t> parts;
    while (const auto part = download.take()) parts.push_back(*part);
    ASSERT_GE(parts.size(), 4U);
    for (size_t i = parts.size(); i > 1; --i) std::swap(parts[i - 1], parts[random.below(i)]);
    EXPECT_FALSE(download.settled());
    for (const size_t part : parts) EXPECT_GT(download.run(part), 0U);
    EXPECT_TRUE(download.settled());
    Sha256Digest digest{};
    const Status done = download.finish(digest);
    ASSERT_TRUE(done.ok()) << done.error().message();
    EXPECT_EQ(digest, Sha256::of(content));
    EXPECT_TRUE(equal(*disk.content("/part"), content));
  }
}

TEST(SegmentDownload, DamagedOrShortIsCorrupt) {
  SegmentEntry entry;
  Buffer content = segment_of(9 * MiB, 5, entry);
  const auto result = [&](const Buffer& stored) {
    PartsStore store(stored);
    SimFileSystem disk;
    SegmentDownload download(store, "key", "segment", entry,
                             std::move(disk.open("/part", OpenMode::create)).value(),
                             BufferPool::create(16 * MiB));
    while (const auto part = download.take()) download.run(*part);
    Sha256Digest digest{};
    return download.finish(digest);
  };
  EXPECT_TRUE(result(content).ok());
  content[7 * MiB] ^= std::byte{1};
  EXPECT_EQ(result(content).error().code, ErrorCode::corrupt);
  content.resize(8 * MiB);
  EXPECT_EQ(result(content).error().code, ErrorCode::corrupt);
}

// -- with threads

// Holds puts until it is told to give up, and the first gets of segments until three are there at
// once.
class SlowStore final : public MemoryStoreBase {
 public:
  explicit SlowStore(ObjectStore& inner) : inner_(inner) {}
  Result<ObjectInfo> put(const std::string& key, const PutSource& source,
                         const PutOptions& options) override {
    if (!hang_puts) return inner_.put(key, source, options);
    std::unique_lock lock(mutex_);
    ++hanging;
    changed_.wait(lock, [this] { return gave_up_; });
    return Error(ErrorCode::cancelled, "given up");
  }
  Status get(const std::string& key, uint64_t offset, MutableBytes out) override {
    if (!gather_gets) return inner_.get(key, offset, out);
    std::unique_lock lock(mutex_);
    most_gets = std::max(most_gets, ++gets_);
    changed_.notify_all();
    changed_.wait_for(lock, std::chrono::seconds(10), [this] { return most_gets >= 3; });
    --gets_;
    lock.unlock();
    return inner_.get(key, offset, out);
  }
  Result<ObjectInfo> head(const std::string& key) override { return inner_.head(key); }
  void give_up() override {
    const std::lock_guard lock(mutex_);
    gave_up_ = true;
    changed_.notify_all();
  }
  std::atomic<bool> hang_puts{false};
  std::atomic<bool> gather_gets{false};
  std::atomic<int> hanging{0};
  int most_gets = 0;

 private:
  ObjectStore& inner_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool gave_up_ = false;
  int gets_ = 0;
};

// Holds the sync of what came down until it is told to go on.
class SlowDisk {
 public:
  void hold(const char* operation, const std::string& path) {
    if (std::string_view(operation) != "sync" || !path.ends_with(".part")) return;
    std::unique_lock lock(mutex_);
    ++held;
    changed_.wait(lock, [this] { return go_on_; });
  }
  void go_on() {
    const std::lock_guard lock(mutex_);
    go_on_ = true;
    changed_.notify_all();
  }
  std::atomic<int> held{0};

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool go_on_ = false;
};

TEST(ShelfThreads, AColdSegmentComesOverSeveralConnectionsAndAStopGivesUp) {
  PosixFileSystem posix;
  SlowDisk disk;
  WatchedFileSystem files(
      posix, [&](const char* operation, const std::string& path) { disk.hold(operation, path); });
  SystemClock clock;
  SystemRandom random;
  const std::string root =
      testing::TempDir() + "/shelf-transfers-" + Uuid::generate(random).to_string();
  ShelfOptions options;
  options.cartridges_directory = root + "/cartridges";
  options.stop_grace_ms = 300;
  ASSERT_TRUE(files.create_directories(options.cartridges_directory).ok());
  auto catalog = Catalog::open(":memory:");
  ASSERT_TRUE(catalog.ok());
  ASSERT_TRUE((*catalog)->put_pool({"standard", "STANDARD"}).ok());
  LocalDirectoryOptions local;
  local.root = root + "/store";
  auto inner = LocalDirectoryStore::open(files, clock, local);
  ASSERT_TRUE(inner.ok());
  SlowStore store(**inner);
  WorkerPool workers(2);
  const auto buffers = BufferPool::create(64 * MiB);
  Shelf shelf({&files, &clock, catalog->get(), &store, buffers}, options, nullptr);
  shelf.start();
  CartridgeEnv env{&files, &clock, &random, &workers, &workers, buffers, &shelf, &shelf};
  CartridgeOptions cartridge_options;
  NewCartridge what;
  what.uuid = Uuid::generate(random);
  what.label = "THR001";
  what.medium = "LTO-8";
  what.capacity_bytes = 1 * GiB;
  const std::string directory = options.cartridges_directory + "/" + what.uuid.to_string();
  auto made = Cartridge::create(env, cartridge_options, directory, what);
  ASSERT_TRUE(made.ok()) << made.error().message();
  ASSERT_TRUE(shelf.adopt((*made)->manifest(), "standard", TapeStatus::available).ok());
  Buffer record(1 * MiB);
  SeededRandom content(3);
  content.fill(record);
  Position at;
  for (int i = 0; i < 20; ++i) ASSERT_TRUE((*made)->write_record(at, record).ok());
  ASSERT_TRUE((*made)->close().ok());
  made->reset();
  const auto evicted = [&] {
    const auto rows = *(*catalog)->segments(what.uuid);
    return !rows.empty() && std::all_of(rows.begin(), rows.end(), [](const SegmentRow& row) {
      return row.state == SegmentState::evicted;
    });
  };
  const auto job = shelf.archive(what.uuid);
  ASSERT_TRUE(job.ok()) << job.error().message();
  ASSERT_TRUE(shelf.wait(*job, 20'000).ok());
  ASSERT_TRUE(evicted());
  const Manifest manifest = [&] {
    auto image = files.read_file(directory + "/manifest");
    return decode_manifest(*image, true)->manifest;
  }();
  const SegmentEntry entry = manifest.partitions[0].segments.at(0);
  store.gather_gets = true;
  auto file = shelf.fetch(what.uuid, entry, 60'000);
  ASSERT_TRUE(file.ok()) << file.error().message();
  EXPECT_GE(store.most_gets, 3) << "five parts of 4 MiB";
  EXPECT_EQ(*(*file)->size(), entry.stored_bytes);

  // Readers need not wait for the disk: it is not durable yet, and has no name.
  for (int i = 0; i < 500 && disk.held == 0; ++i) clock.sleep_ms(20);
  EXPECT_EQ(disk.held, 1);
  const std::string path = segment_path(directory, entry.sequence, entry.epoch);
  EXPECT_FALSE(*files.exists(path));
  auto again = shelf.fetch(what.uuid, entry, 10'000);
  ASSERT_TRUE(again.ok()) << again.error().message();
  EXPECT_EQ(disk.held, 1) << "it was not fetched a second time";
  disk.go_on();
  for (int i = 0; i < 500 && !*files.exists(path); ++i) clock.sleep_ms(20);
  EXPECT_TRUE(*files.exists(path));

  // A store that does not answer any more.
  store.hang_puts = true;
  shelf.put_document("library/inventory", to_buffer(as_view("x")));
  for (int i = 0; i < 100 && store.hanging == 0; ++i) clock.sleep_ms(20);
  ASSERT_GT(store.hanging, 0);
  shelf.stop();  // comes back, though the store never answers
}

}  // namespace
}  // namespace coldshelf::test
