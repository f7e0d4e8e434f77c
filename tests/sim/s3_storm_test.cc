// Tapes through the real cartridge and shelf, on threads and a real disk, into the S3 store, while
// the server and the way to it fail in every way the imposter knows. What was written comes back
// bit-identical, nothing is lost, and no segment leaves the disk before the server has its bytes.
//
// COLDSHELF_STORM_MIB: data for each tape (100). COLDSHELF_STORM_SEED: of storm and data.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "base/log.h"
#include "tape/cartridge/cartridge.h"
#include "tests/support/process.h"
#include "tests/support/s3_rig.h"
#include "tests/support/watched_file_system.h"
#include "uploader/shelf.h"

namespace coldshelf::test {

namespace {

constexpr uint64_t kSegmentBytes = 4 * MiB;
constexpr size_t kRecordBytes = 256 * KiB;
constexpr int64_t kPatienceMs = 120'000;  // far above what a storm takes

uint64_t number_of(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

class StormTest : public testing::Test {
 protected:
  StormTest()
      : seed_(number_of("COLDSHELF_STORM_SEED", 1)),
        tape_bytes_(number_of("COLDSHELF_STORM_MIB", 100) * MiB),
        scratch_(std::filesystem::temp_directory_path()),
        files_(disk_, [this](const char* op, const std::string& path) { on_file(op, path); }) {
    std::printf("seed %llu\n", static_cast<unsigned long long>(seed_));
  }

  void SetUp() override {
    S3RigOptions options;
    options.imposter.slow_bytes_per_s = 4 * MiB;
    options.imposter.expedited_delay_ms = 300;
    options.imposter.standard_delay_ms = 600;
    options.retry.base_ms = 5;
    options.retry.longest_ms = 50;
    options.retry.max_attempts = 4;
    options.retry.budget = 500;
    options.store.prefix = "";
    rig_ = std::make_unique<S3Rig>(options);
    rig_->warm_up();
    auto opened = Catalog::open(scratch_.path() + "/catalog");
    ASSERT_TRUE(opened.ok());
    catalog_ = std::move(opened).value();
    ASSERT_TRUE(catalog_->put_pool({"glacier", "GLACIER"}).ok());
    ASSERT_TRUE(catalog_->put_pool({"standard", "STANDARD"}).ok());
    start();
  }
  void TearDown() override {
    if (shelf_) shelf_->stop();
    shelf_.reset();
  }

  void start() {
    ShelfOptions options;
    options.cartridges_directory = scratch_.path() + "/cartridges";
    options.cache_limit_bytes = 8 * kSegmentBytes;
    options.restore_poll_ms = 100;
    options.manifest_interval_ms = 200;
    options.stop_grace_ms = 100;
    ASSERT_TRUE(disk_.create_directories(options.cartridges_directory).ok());
    Shelf::Env env;
    env.files = &files_;
    env.clock = &clock_;
    env.catalog = catalog_.get();
    env.store = &rig_->retrying();
    env.buffers = BufferPool::create(64 * MiB);
    shelf_ = std::make_unique<Shelf>(env, options, StatusListener());
    ASSERT_TRUE(shelf_->reconcile().ok());
    shelf_->start();
  }

  CartridgeEnv cartridge_env() {
    CartridgeEnv env;
    env.files = &disk_;
    env.clock = &clock_;
    env.random = &random_;
    env.workers = &workers_;
    env.sealers = &sealers_;
    env.buffers = buffers_;
    env.source = shelf_.get();
    env.observer = shelf_.get();
    return env;
  }
  static CartridgeOptions cartridge_options() {
    CartridgeOptions options;
    options.segment_bytes = kSegmentBytes;
    return options;
  }
  std::string directory(const Uuid& id) const {
    return scratch_.path() + "/cartridges/" + id.to_string();
  }

  Uuid create(const std::string& barcode, const std::string& pool) {
    NewCartridge what;
    what.uuid = Uuid::generate(random_);
    what.label = barcode;
    what.medium = "LTO-8";
    what.capacity_bytes = 1 * TiB;
    what.properties = {{"pool", pool}};
    auto made = Cartridge::create(cartridge_env(), cartridge_options(), directory(what.uuid), what);
    EXPECT_TRUE(made.ok());
    EXPECT_TRUE((*made)->close().ok());
    EXPECT_TRUE(shelf_->adopt((*made)->manifest(), pool, TapeStatus::available).ok());
    return what.uuid;
  }

  Buffer record(const Uuid& id, uint64_t number) const {
    SeededRandom random(seed_ * 1'000'003 + number + static_cast<uint64_t>(id.bytes[0]) * 7919);
    Buffer out(kRecordBytes);
    random.fill(out);
    return out;
  }
  void write(const Uuid& id, uint64_t from, uint64_t to) {
    auto opened = Cartridge::open(cartridge_env(), cartridge_options(), directory(id));
    ASSERT_TRUE(opened.ok()) << opened.error().message();
    Position at = (*opened)->end_of_data(0);
    ASSERT_EQ(at.block, from);
    for (uint64_t i = from; i < to; ++i) {
      const Status written = (*opened)->write_record(at, record(id, i));
      ASSERT_TRUE(written.ok()) << written.error().message();
    }
    const Status closed = (*opened)->close();
    ASSERT_TRUE(closed.ok()) << closed.error().message();
  }
  // Every record compared. A reader tries again what passes, as backup software does.
  void read_all(const Uuid& id, uint64_t count) {
    auto opened = Cartridge::open(cartridge_env(), cartridge_options(), directory(id));
    ASSERT_TRUE(opened.ok()) << opened.error().message();
    Position at;
    for (uint64_t i = 0; i < count; ++i) {
      auto object = (*opened)->read(at);
      const int64_t end = clock_.unix_ms() + kPatienceMs;
      while (!object.ok() && object.error().disposition == Disposition::retry &&
             clock_.unix_ms() < end) {
        clock_.sleep_ms(20);
        object = (*opened)->read(at);
      }
      ASSERT_TRUE(object.ok()) << "record " << i << ": " << object.error().message();
      ASSERT_EQ(object->kind, TapeObject::Kind::record);
      ASSERT_TRUE(equal(object->record.flatten(), record(id, i))) << "record " << i;
    }
    auto end = (*opened)->read(at);
    ASSERT_TRUE(end.ok()) << end.error().message();
    EXPECT_EQ(end->kind, TapeObject::Kind::end_of_data);
    ASSERT_TRUE((*opened)->close().ok());
  }
  void finish(const Result<int64_t>& job) {
    ASSERT_TRUE(job.ok()) << job.error().message();
    const auto row = shelf_->wait(*job, kPatienceMs);
    ASSERT_TRUE(row.ok()) << row.error().message();
    EXPECT_EQ(row->state, JobState::succeeded) << row->error;
  }
  // What the bucket holds of the tape is what its manifest names, in `wanted`.
  void expect_stored(const Uuid& id, const std::string& wanted) {
    auto opened = Cartridge::open(cartridge_env(), cartridge_options(), directory(id));
    ASSERT_TRUE(opened.ok());
    const Manifest manifest = (*opened)->manifest();
    EXPECT_FALSE(manifest.partitions[0].segments.empty());
    for (const SegmentEntry& e : manifest.partitions[0].segments) {
      const auto object = rig_->server().object("tapes", segment_key(id, e.sequence, e.epoch));
      ASSERT_TRUE(object.has_value());
      EXPECT_EQ(object->bytes.size(), e.stored_bytes);
      EXPECT_EQ(object->storage_class, wanted);
    }
  }

  // The heart of it: a segment that leaves the disk while the tape lives is, byte for byte, on the
  // server. Runs on the shelf's threads.
  void on_file(const std::string& op, const std::string& path) {
    if (op != "remove" || !path.ends_with(".seg")) return;
    const auto local = disk_.read_file(path);
    if (!local.ok()) return;                           // not there: nothing goes
    const size_t begin = scratch_.path().size() + 12;  // "/cartridges/"
    const std::string stem = path.substr(path.rfind('/') + 1);
    const std::string key = "cartridges/" + path.substr(begin, 36) + "/segments/" + stem;
    const auto object = rig_->server().object("tapes", key);
    ++evicted_;
    EXPECT_TRUE(object.has_value()) << "evicted and not on the server: " << key;
    if (object) {
      EXPECT_TRUE(equal(object->bytes, *local)) << "evicted and other bytes there: " << key;
    }
  }

  const uint64_t seed_;
  const uint64_t tape_bytes_;
  SystemClock clock_;
  SystemRandom random_;
  ScratchDirectory scratch_;
  PosixFileSystem disk_;
  WatchedFileSystem files_;
  std::atomic<uint64_t> evicted_{0};
  std::unique_ptr<S3Rig> rig_;
  WorkerPool workers_{2};
  WorkerPool sealers_{2};
  std::shared_ptr<BufferPool> buffers_ = BufferPool::create(128 * MiB);
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<Shelf> shelf_;
};

TEST_F(StormTest, TapesComeBackBitIdentical) {
  const uint64_t records = tape_bytes_ / kRecordBytes;
  const Uuid staged = create("STORM1", "glacier");
  const Uuid plain = create("STORM2", "standard");
  rig_->server().set_storm({seed_, 6, all_s3_faults()});
  rig_->server().set_list_lag_ms(2'000);
  rig_->server().set_latency_ms(1);

  // 1. Two tapes at once, far more data than the cache holds; the shelf is stopped and started anew
  //    in the middle; the server's clock jumps.
  std::thread other([&] { write(plain, 0, records / 2); });
  write(staged, 0, records / 2);
  other.join();
  shelf_->stop();
  shelf_.reset();
  rig_->restart();  // a store that was given up stays so
  start();
  rig_->server().set_clock_skew_ms(3'600'000);
  write(plain, records / 2, records);
  write(staged, records / 2, records);
  EXPECT_GT(evicted_, 0U) << "the cache's limit made room";

  // 2. Everything back, mostly from the server.
  read_all(plain, records);
  read_all(staged, records);

  // 3. Onto the shelf and back.
  finish(shelf_->archive(staged));
  expect_stored(staged, "GLACIER");
  finish(shelf_->retrieve(staged, RestoreTier::expedited, 1));
  read_all(staged, records);

  for (const Uuid& id : {staged, plain}) EXPECT_EQ((*catalog_->tape(id))->problem, "");

  // Everything that was tried was tried under way, and nobody sent what a server refuses.
  EXPECT_GT(rig_->server().faults_done(), 20U);
  std::printf("%llu requests, %llu faults, %llu evictions\n",
              static_cast<unsigned long long>(rig_->server().requests()),
              static_cast<unsigned long long>(rig_->server().faults_done()),
              static_cast<unsigned long long>(evicted_.load()));
  for (const std::string& rejection : rig_->server().rejections()) {
    const bool probe = rejection.find("/probe-") != std::string::npos;  // it lies to find out
    EXPECT_TRUE(probe) << rejection;
  }
}

}  // namespace
}  // namespace coldshelf::test
