// A shelf on a simulated disk, clock and store, with real cartridges on it. Everything the shelf
// does to the disk and the store passes by watchers that check what must always hold, and that can
// end the "program" at a chosen moment.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tape/cartridge/cartridge.h"
#include "tests/support/faulty_store.h"
#include "tests/support/sim_clock.h"
#include "tests/support/sim_file_system.h"
#include "tests/support/watched_file_system.h"
#include "uploader/cloud/local_directory_store.h"
#include "uploader/shelf.h"

namespace coldshelf::test {

struct Killed {};  // thrown out of the shelf by a watcher

// A gateway among others: they share the store's disk and the clock.
struct Sharing {
  std::string gateway;                  // empty: alone, and nothing is put under a condition
  SimFileSystem* store_disk = nullptr;  // null: its own
  SimClock* clock = nullptr;
  LatePuts* late_puts = nullptr;
};

class ShelfRig {
 public:
  explicit ShelfRig(uint64_t seed, ShelfOptions options = {}, Sharing sharing = {})
      : sharing_(std::move(sharing)),
        random_(seed),
        store_random_(seed + 1),
        key_random_(seed + 2),
        options_(std::move(options)),
        clock_(sharing_.clock != nullptr ? *sharing_.clock : own_clock_),
        store_disk_(sharing_.store_disk != nullptr ? *sharing_.store_disk : own_store_disk_) {
    instance_ = Uuid::generate(key_random_).to_string();
    options_.cartridges_directory = "/data/cartridges";
    options_.start_check_threads = 1;
    EXPECT_TRUE(disk_.create_directories(options_.cartridges_directory).ok());
    open_catalog();
    files_ = std::make_unique<WatchedFileSystem>(
        disk_, [this](const char* op, const std::string& path) { on_file(op, path); });
    start();
  }
  ~ShelfRig() { shelf_.reset(); }

  // -- the program
  void start() {
    LocalDirectoryOptions local;
    local.root = "/store";
    if (restore_ms_ != 0) {
      local.expedited_delay_ms = local.standard_delay_ms = local.bulk_delay_ms = restore_ms_;
    }
    auto opened = LocalDirectoryStore::open(store_disk_, clock_, local);
    ASSERT_TRUE(opened.ok());
    store_ = std::move(opened).value();
    faulty_ = std::make_unique<FaultyStore>(*store_, clock_, store_random_);
    faulty_->set_late_puts(sharing_.late_puts != nullptr ? sharing_.late_puts : &late_puts_);
    faulty_->set_faults(faults);
    faulty_->watch(
        [this](const char* op, const std::string& key, bool after) { on_store(op, key, after); });
    Shelf::Env env;
    env.files = files_.get();
    env.clock = &clock_;
    env.catalog = catalog_.get();
    env.store = faulty_.get();
    env.buffers = BufferPool::create(16 * MiB);
    env.on_evicted = [this](const Uuid& id, uint64_t sequence, uint64_t epoch) {
      if (on_evicted) on_evicted(id, sequence, epoch);
    };
    if (!sharing_.gateway.empty()) {
      ownership_ = std::make_unique<Ownership>(
          Ownership::Env{faulty_.get(), &clock_},
          GatewayIdentity{sharing_.gateway, "sim", "host", instance_}, Ownership::Options{});
      env.ownership = ownership_.get();
      env.on_fenced = [this](const Uuid& id, const Error&) { fenced_.insert(id); };
    }
    shelf_ = std::make_unique<Shelf>(
        env, options_, [this](const TapeRow& row, TapeStatus) { told_.push_back(row.status); });
  }
  // Ends the shelf as a kill or a power loss would, and starts it anew.
  void restart(bool power_loss) {
    kill_after_ = 0;
    shelf_.reset();
    ownership_.reset();
    const bool own_store = sharing_.store_disk == nullptr;  // else others go on with it
    if (power_loss) {
      disk_.crash(random_);
      if (own_store) store_disk_.crash(random_);
    } else {
      disk_.kill();
      if (own_store) store_disk_.kill();
    }
    start();
    ++restarts_;
  }
  void kill_after(uint64_t events) { kill_after_ = events; }
  // From here on, in every tier.
  void restore_takes_ms(int64_t ms) {
    restore_ms_ = ms;
    restart(false);
  }
  // The program ends and starts with an empty catalog that knows the pools alone.
  void lose_catalog() {
    shelf_.reset();
    open_catalog();
    start();
  }

  // Runs the shelf until `done`, letting time pass when it has nothing to do. True: reached. In the
  // worst storm half of the calls succeed: of a manifest's five in a row one in twenty, a minute of
  // backoff apart, and the lease lapses.
  template <typename Done>
  bool run_until(const Done& done, int64_t limit_ms = 7 * 60 * 60'000) {
    const int64_t end = clock_.elapsed_ms() + limit_ms;
    for (int steps = 0; steps < 1'000'000 && clock_.elapsed_ms() < end; ++steps) {
      if (done()) return true;
      if (!run_once()) clock_.advance_ms(25);
    }
    return done();
  }
  bool run_once() {
    const bool renewed = ownership_ != nullptr && ownership_->tick();
    return shelf_->run_once() || renewed;
  }

  // What is asked of the store at once: an operator tries again.
  template <typename Call>
  void patiently(const Call& call) {
    Status done = status_of(call());
    for (int again = 0; again < 500 && !done.ok(); ++again) {
      if (done.error().disposition != Disposition::retry) break;
      run_until([] { return false; }, 500);
      done = status_of(call());
    }
    EXPECT_TRUE(done.ok()) << done.error().message();
  }
  template <typename T>
  static Status status_of(const Result<T>& result) {
    if (result.ok()) return {};
    return result.error();
  }

  // -- cartridges
  CartridgeEnv cartridge_env() {
    CartridgeEnv env;
    env.files = &disk_;
    env.clock = &clock_;
    env.random = &key_random_;
    env.workers = &inline_;
    env.sealers = &inline_;
    env.buffers = buffers_;
    env.source = shelf_.get();
    env.observer = shelf_.get();
    env.gate = shelf_.get();
    return env;
  }
  CartridgeOptions cartridge_options() {
    CartridgeOptions options;
    options.segment_bytes = 16 * KiB;
    return options;
  }
  std::string directory(const Uuid& id) const {
    return options_.cartridges_directory + "/" + id.to_string();
  }
  Uuid create(const std::string& barcode, const std::string& pool = "glacier") {
    NewCartridge what;
    what.uuid = Uuid::generate(key_random_);
    what.label = barcode;
    what.medium = "LTO-8";
    what.capacity_bytes = 1 * GiB;
    what.properties = {{"pool", pool}};
    auto made = Cartridge::create(cartridge_env(), cartridge_options(), directory(what.uuid), what);
    EXPECT_TRUE(made.ok());
    EXPECT_TRUE((*made)->close().ok());
    EXPECT_TRUE(shelf_->adopt((*made)->manifest(), pool, TapeStatus::available).ok());
    return what.uuid;
  }
  static Buffer record_content(uint64_t seed) {
    SeededRandom random(seed);
    Buffer content(1 + random.below(6 * KiB));
    random.fill(content);
    return content;
  }
  // Drops what is behind `keep` records and writes `count` more; closes. Without faults: writing in
  // the middle may read an evicted segment, and the writer here does not try again.
  void write(const Uuid& id, size_t keep, size_t count) {
    faulty_->set_faults({});
    write_calmly(id, keep, count);
    faulty_->set_faults(faults);
  }
  void write_calmly(const Uuid& id, size_t keep, size_t count) {
    auto opened = Cartridge::open(cartridge_env(), cartridge_options(), directory(id));
    ASSERT_TRUE(opened.ok()) << opened.error().message();
    auto& records = records_[id];
    records.resize(std::min(keep, records.size()));
    const auto found = (*opened)->position_of(0, records.size());
    ASSERT_TRUE(found.ok()) << found.error().message();
    Position at = *found;
    ASSERT_EQ(at.block, records.size());
    for (size_t i = 0; i < count; ++i) {
      records.push_back(next_record_++);
      ASSERT_TRUE((*opened)->write_record(at, record_content(records.back())).ok());
      // Ends the frame, so that segments end near their limit, which is far below a frame's.
      if (i % 4 == 3) {
        ASSERT_TRUE((*opened)->sync().ok());
      }
    }
    ASSERT_EQ((*opened)->end_of_data(0).block, records.size());
    ASSERT_TRUE((*opened)->close().ok());
  }
  // Reads all of it back. The first error that is still there after so many more attempts at the
  // same record, or nothing.
  Status read_all(const Uuid& id, int retries = 0) {
    auto opened = Cartridge::open(cartridge_env(), cartridge_options(), directory(id));
    if (!opened.ok()) return std::move(opened).error();
    EXPECT_EQ((*opened)->end_of_data(0).block, records_[id].size());
    Position at;
    for (const uint64_t seed : records_[id]) {
      auto object = (*opened)->read(at);
      for (int again = 0; !object.ok() && again < retries; ++again) {
        clock_.advance_ms(1'000);
        object = (*opened)->read(at);
      }
      if (!object.ok()) return std::move(object).error();
      EXPECT_EQ(object->kind, TapeObject::Kind::record);
      EXPECT_TRUE(equal(object->record.flatten(), record_content(seed)));
    }
    ASSIGN_OR_RETURN(const TapeObject end, (*opened)->read(at));
    EXPECT_EQ(end.kind, TapeObject::Kind::end_of_data);
    return (*opened)->close();
  }

  // Reads these records as a drive that was positioned there.
  Status read_range(const Uuid& id, uint64_t first, uint64_t last) {
    ASSIGN_OR_RETURN(auto opened,
                     Cartridge::open(cartridge_env(), cartridge_options(), directory(id)));
    ASSIGN_OR_RETURN(Position at, opened->position_of(0, first));
    for (uint64_t n = first; n <= last; ++n) {
      ASSIGN_OR_RETURN(const TapeObject object, opened->read(at));
      EXPECT_TRUE(equal(object.record.flatten(), record_content(records_[id][n])));
    }
    return opened->close();
  }

  // -- looking
  Manifest manifest(const Uuid& id) {
    auto image = disk_.content(directory(id) + "/manifest");
    EXPECT_TRUE(image.ok());
    auto replayed = decode_manifest(*image, true);
    EXPECT_TRUE(replayed.ok());
    return replayed->manifest;
  }
  std::optional<Manifest> stored_manifest(const Uuid& id) {
    auto image = store_->get_all(manifest_key(id));
    if (!image.ok()) return std::nullopt;
    auto replayed = decode_manifest(*image, false);
    EXPECT_TRUE(replayed.ok());
    return replayed->manifest;
  }
  // DELETED: it is not known, or not any more.
  TapeStatus status(const Uuid& id) {
    const std::optional<TapeRow> row = *catalog_->tape(id);
    return row ? row->status : TapeStatus::deleted;
  }
  size_t local_segments(const Uuid& id) {
    size_t count = 0;
    for (const std::string& path : disk_.all_files()) {
      if (path.starts_with(directory(id)) && path.ends_with(".seg")) ++count;
    }
    return count;
  }
  bool all_in_state(const Uuid& id, SegmentState state) {
    const std::vector<SegmentRow> rows = *catalog_->segments(id);
    for (const SegmentRow& row : rows) {
      if (row.state != state) return false;
    }
    return true;
  }
  // Every segment of the manifest is in the store with the digest the manifest has, in `wanted`.
  void expect_stored(const Uuid& id, StorageClass wanted) {
    const Manifest m = manifest(id);
    const auto stored = stored_manifest(id);
    ASSERT_TRUE(stored.has_value());
    EXPECT_EQ(*stored, m);
    for (const SegmentEntry& e : m.partitions[0].segments) {
      const std::string key = segment_key(id, e.sequence, e.epoch);
      const auto head = store_->head(key);
      ASSERT_TRUE(head.ok()) << head.error().message();
      EXPECT_EQ(head->storage_class, wanted);
      EXPECT_EQ(head->size, e.stored_bytes);
      EXPECT_EQ(sealed_digest_[key], *head->sha256);
    }
    // Nothing else is left over.
    const auto page = store_->list("cartridges/" + id.to_string() + "/segments/", "", 10'000);
    ASSERT_TRUE(page.ok());
    EXPECT_EQ(page->objects.size(), m.partitions[0].segments.size());
  }

  Shelf& shelf() { return *shelf_; }
  Ownership& ownership() { return *ownership_; }
  bool fenced(const Uuid& id) const { return fenced_.contains(id); }
  // Another rig's tape, for read_all().
  void knows(const Uuid& id, std::vector<uint64_t> records) { records_[id] = std::move(records); }
  const std::vector<uint64_t>& records(const Uuid& id) { return records_[id]; }
  Catalog& catalog() { return *catalog_; }
  SimClock& clock() { return clock_; }
  SimFileSystem& disk() { return disk_; }
  LocalDirectoryStore& store() { return *store_; }
  FaultyStore& faulty() { return *faulty_; }
  SeededRandom& random() { return random_; }
  const std::vector<TapeStatus>& told() const { return told_; }
  uint64_t restarts() const { return restarts_; }
  void set_faults(const StoreFaults& f) {
    faults = f;
    faulty_->set_faults(f);
  }
  size_t record_count(const Uuid& id) { return records_[id].size(); }

  StoreFaults faults;
  std::function<void(const Uuid&, uint64_t, uint64_t)> on_evicted;  // a segment's file went

 private:
  void open_catalog() {
    auto opened = Catalog::open(":memory:");
    ASSERT_TRUE(opened.ok());
    catalog_ = std::move(opened).value();
    EXPECT_TRUE(catalog_->put_pool({"glacier", "GLACIER"}).ok());
    EXPECT_TRUE(catalog_->put_pool({"deep", "DEEP_ARCHIVE"}).ok());
    EXPECT_TRUE(catalog_->put_pool({"standard", "STANDARD"}).ok());
  }
  void event() {
    if (kill_after_ != 0 && --kill_after_ == 0) throw Killed{};
  }

  static std::optional<std::pair<Uuid, SegmentName>> segment_of(const std::string& path,
                                                                const std::string& parent) {
    if (!path.starts_with(parent) || !path.ends_with(".seg")) return std::nullopt;
    const auto id = Uuid::parse(path.substr(parent.size(), 36));
    const std::string name = path.substr(path.rfind('/') + 1);
    const auto stem = parse_segment_file_stem(std::string_view(name).substr(0, name.size() - 4));
    if (!id || !stem) return std::nullopt;
    return std::pair(*id, *stem);
  }
  static bool names(const Manifest& m, const SegmentName& name) {
    for (const Partition& p : m.partitions) {
      for (const SegmentEntry& e : p.segments) {
        if (e.sequence == name.sequence && e.epoch == name.epoch) return true;
      }
    }
    return false;
  }

  // A local segment goes only when the store has it, or when nobody wants it any more.
  void on_file(const std::string& op, const std::string& path) {
    const auto segment = segment_of(path, options_.cartridges_directory + "/");
    if (op == "remove" && segment && disk_.content(path).ok()) {
      const auto& [id, name] = *segment;
      const TapeStatus now = status(id);
      const Manifest local = manifest(id);
      const auto stored = stored_manifest(id);
      // Its new owner may have dropped it, or deleted all.
      const bool taken = stored ? stored->epoch > local.epoch : !shelf_->check_owned(id).ok();
      if (now != TapeStatus::deleting && now != TapeStatus::deleted && !taken &&
          names(local, name)) {
        const auto head = store_->head(segment_key(id, name.sequence, name.epoch));
        EXPECT_TRUE(head.ok()) << "evicted and not in the store: " << path;
        if (head.ok()) {
          EXPECT_EQ(*head->sha256, Sha256::of(*disk_.content(path))) << path;
        }
      }
    }
    event();
  }

  // The store never holds a manifest that names a segment which is not there.
  void on_store(const std::string& op, const std::string& key, bool after) {
    if (after && op == "put" && key.ends_with(".seg")) {
      const auto head = store_->head(key);  // a put may have been refused
      if (head.ok()) sealed_digest_.emplace(key, *head->sha256);
    }
    if (after && (op == "put" || op == "remove") && key.starts_with("cartridges/")) {
      const auto id = Uuid::parse(key.substr(11, 36));
      ASSERT_TRUE(id.has_value());
      const auto stored = stored_manifest(*id);
      if (stored) {
        for (const Partition& p : stored->partitions) {
          for (const SegmentEntry& e : p.segments) {
            EXPECT_TRUE(store_->head(segment_key(*id, e.sequence, e.epoch)).ok())
                << "after " << op << " of " << key << " the store's manifest names segment "
                << e.sequence << ", which is not there";
          }
        }
      }
    }
    event();
  }

  const Sharing sharing_;
  std::string instance_;
  std::set<Uuid> fenced_;
  SeededRandom random_;
  SeededRandom store_random_;
  SeededRandom key_random_;
  ShelfOptions options_;
  SimClock own_clock_;
  SimClock& clock_;
  SimFileSystem disk_;
  SimFileSystem own_store_disk_;
  SimFileSystem& store_disk_;
  InlineExecutor inline_;
  std::shared_ptr<BufferPool> buffers_ = BufferPool::create(16 * MiB);
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<WatchedFileSystem> files_;
  std::unique_ptr<LocalDirectoryStore> store_;
  LatePuts late_puts_;
  std::unique_ptr<FaultyStore> faulty_;
  std::unique_ptr<Ownership> ownership_;
  std::unique_ptr<Shelf> shelf_;
  std::vector<TapeStatus> told_;
  std::map<Uuid, std::vector<uint64_t>> records_;
  std::map<std::string, Sha256Digest> sealed_digest_;
  uint64_t next_record_ = 1;
  uint64_t kill_after_ = 0;
  int64_t restore_ms_ = 0;
  uint64_t restarts_ = 0;
};

}  // namespace coldshelf::test
