// Volumes with a recovery point and a clone: their gateway is lost at any of its operations, and
// rebuilt by a recovery that is itself cut short at any of its own and run again.
#include <gtest/gtest.h>

#include <iostream>

#include "gateway/recover.h"
#include "tests/support/image_rig.h"
#include "tests/support/process.h"
#include "uploader/inventory_document.h"

namespace coldshelf::test {
namespace {

constexpr uint64_t kStep = 64 * KiB;
constexpr uint64_t kSteps = 64;  // of the disk

ShelfOptions quick() {
  ShelfOptions options;
  options.manifest_interval_ms = 2'000;
  return options;
}

Buffer step_of(uint64_t seed, uint64_t step) {
  SeededRandom random(seed * 1'000 + step);
  Buffer out(kStep);
  random.fill(out);
  return out;
}

// A disk is written step after step, so that a beginning of the writes is a beginning of the disk.
class Lost {
 public:
  explicit Lost(uint64_t seed) : rig(seed, quick(), {"sgw-A", &store_disk, &clock}) {}

  void write(Volume& volume, uint64_t seed, uint64_t from, uint64_t to) {
    for (uint64_t s = from; s < to; ++s) {
      ASSERT_TRUE(volume.write(s * kStep, step_of(seed, s), s % 5 == 0).ok());
      rig.run_once();
    }
  }
  void live() {
    rig.run_once();
    InventoryDocument document;
    document.gateway = "sgw-A";
    document.pools = *rig.catalog().pools();
    rig.shelf().put_document(inventory_key("sgw-A"), encode_inventory_document(document));
    disk = rig.make_image("disk", kSteps * kStep);
    source = disk->uuid();
    write(*disk, 1, 0, 20);
    auto point = disk->create_point("p");
    ASSERT_TRUE(point.ok());
    point_id = point->id;
    write(*disk, 1, 20, 30);
    auto made = rig.clone_image(*disk, point_id, "copy");
    ASSERT_TRUE(made.ok()) << made.error().message();
    copy = std::move(*made);
    clone = copy->uuid();
    write(*copy, 2, 20, 34);
    write(*disk, 1, 30, 40);
    ASSERT_TRUE(disk->collect().ok());
    ASSERT_TRUE(disk->close().ok());
    ASSERT_TRUE(copy->close().ok());
    done = rig.run_until([&] { return rig.all_stored(source) && rig.all_stored(clone); });
    ASSERT_TRUE(done) << rig.describe_stored(source) << rig.describe_stored(clone);
  }
  // What is in memory and on the disk is gone.
  void die() {
    copy.reset();
    disk.reset();
    rig.kill_after(0);
    clock.advance_ms(10 * 60'000);
  }

  SimClock clock;
  SimFileSystem store_disk;
  ImageRig rig;
  std::unique_ptr<Volume> disk, copy;
  Uuid source, clone, point_id;
  bool done = false;
};

// Segments come from the store, as after any recovery.
class FromStore final : public SegmentSource, public ImageDirectory {
 public:
  FromStore(ObjectStore& store, std::string data) : store_(store), data_(std::move(data)) {}
  Result<std::unique_ptr<File>> fetch(const Uuid&, const SegmentEntry&, int64_t) override {
    return Error(ErrorCode::unavailable, "by range only");
  }
  Status fetch_range(const Uuid& image, const SegmentEntry& entry, uint64_t offset,
                     MutableBytes out, int64_t) override {
    ASSIGN_OR_RETURN(const Buffer all,
                     store_.get_all(segment_key(image, entry.sequence, entry.epoch)));
    if (offset + out.size() > all.size()) return Error(ErrorCode::corrupt, "beyond the end");
    std::memcpy(out.data(), all.data() + offset, out.size());
    return {};
  }
  void will_need(const Uuid&, std::span<const SegmentEntry>) override {}
  Result<std::string> directory_of(const Uuid& image) override {
    return join_path(data_, "cartridges/" + image.to_string());
  }

 private:
  ObjectStore& store_;
  const std::string data_;
};

// `base` steps of the disk it began with, then a beginning of its own up to `most`.
void check_disk(BlockDevice& disk, uint64_t seed, uint64_t base, uint64_t least, uint64_t most) {
  uint64_t steps = 0;
  bool ended = false;
  for (uint64_t s = 0; s < kSteps; ++s) {
    Buffer read(kStep);
    ASSERT_TRUE(disk.read(s * kStep, read).ok());
    const bool empty = equal(read, Buffer(kStep, std::byte{0}));
    if (!empty) {
      ASSERT_FALSE(ended) << "step " << s << " is there, and one before it is not";
      ASSERT_TRUE(equal(read, step_of(s < base ? 1 : seed, s))) << "step " << s;
      ++steps;
    }
    ended = empty;
  }
  EXPECT_GE(steps, least);
  EXPECT_LE(steps, most);
}

// Everything that came back can be opened, and is a state that it once had.
void check_rebuilt(Lost& lost, const std::string& data, size_t& images) {
  images = 0;
  PosixFileSystem files;
  InlineExecutor inline_executor;
  SeededRandom random(1);
  FromStore source(lost.rig.store(), data);
  VolumeEnv env;
  env.cartridge.files = &files;
  env.cartridge.clock = &lost.clock;
  env.cartridge.random = &random;
  env.cartridge.workers = env.cartridge.sealers = &inline_executor;
  env.cartridge.buffers = BufferPool::create(8 * MiB);
  env.cartridge.source = &source;
  env.images = &source;
  auto catalog = Catalog::open(join_path(data, "catalog.db"));
  ASSERT_TRUE(catalog.ok());
  const auto rows = (*catalog)->images();
  ASSERT_TRUE(rows.ok());
  for (const TapeRow& row : *rows) {
    SCOPED_TRACE(row.barcode);
    ASSERT_EQ(row.kind, RowKind::image);
    EXPECT_EQ(row.status, TapeStatus::available);
    const std::string where = *source.directory_of(row.uuid);
    auto opened = Volume::open(env, lost.rig.volume_options, where);
    ASSERT_TRUE(opened.ok()) << opened.error().message();
    ++images;
    const bool whole = lost.done;
    if (row.uuid == lost.clone || row.barcode == "copy") {
      check_disk(**opened, 2, 20, whole ? 34 : 20, 34);
    } else {
      check_disk(**opened, 1, 40, whole ? 40 : 0, 40);
      const auto points = (*opened)->points();
      ASSERT_TRUE(points.ok());
      if (whole) {
        EXPECT_EQ(points->size(), 1U);
      }
      for (const RecoveryPoint& point : *points) {
        auto view = (*opened)->open_point(point.id);
        ASSERT_TRUE(view.ok()) << view.error().message();
        check_disk(**view, 1, 20, 20, 20);
        view->reset();
        const bool held = !clones_of((*opened)->manifest()).empty();
        if (whole) {
          EXPECT_TRUE(held);
        }
        const Status gone = (*opened)->delete_point(point.id);
        EXPECT_EQ(gone.ok(), !held);
      }
    }
    // It goes on.
    ASSERT_TRUE((*opened)->write(50 * kStep, step_of(3, 50), true).ok());
    ASSERT_TRUE((*opened)->close().ok());
  }
}

RecoverEnv environment(Lost& lost, ObjectStore& store, PosixFileSystem& files, Random& random) {
  RecoverEnv env;
  env.files = &files;
  env.clock = &lost.clock;
  env.random = &random;
  env.store = &store;
  env.threads = 1;
  return env;
}

TEST(RecoverImages, AGatewayLostAtAnyOperationComesBack) {
  uint64_t cut = 1;
  size_t moments = 0;
  for (bool whole = false; !whole; cut += cut < 40 ? 3 : 11) {
    SCOPED_TRACE("cut at event " + std::to_string(cut));
    Lost lost(21);
    lost.rig.kill_after(cut);
    try {
      lost.live();
      whole = lost.done;
    } catch (const Killed&) {
    }
    lost.die();
    ScratchDirectory root(testing::TempDir());
    PosixFileSystem files;
    SeededRandom random(cut);
    RecoverRequest request;
    request.data_dir = join_path(root.path(), "data");
    const auto report =
        recover_gateway(environment(lost, lost.rig.store(), files, random), request);
    if (!report.ok()) {
      // Before its first lease nothing is known of a gateway.
      EXPECT_EQ(report.error().code, ErrorCode::not_found) << report.error().message();
      EXPECT_LT(cut, 30U);
      continue;
    }
    size_t images = 0;
    check_rebuilt(lost, request.data_dir, images);
    if (whole) {
      EXPECT_EQ(images, 2U);
      EXPECT_TRUE(report->lost.empty());
    }
    ++moments;
    if (testing::Test::HasFailure()) return;
  }
  std::cout << "lost at " << moments << " moments\n";
}

TEST(RecoverImages, ARecoveryCutShortAnywhereIsRunAgain) {
  uint64_t complete = 0;
  for (uint64_t cut = 1; complete == 0; ++cut) {
    SCOPED_TRACE("cut at call " + std::to_string(cut));
    Lost lost(22);
    lost.live();
    ASSERT_TRUE(lost.done);
    lost.die();
    ScratchDirectory root(testing::TempDir());
    PosixFileSystem files;
    SeededRandom random(cut);
    SeededRandom faults(cut);
    FaultyStore store(lost.rig.store(), lost.clock, faults);
    uint64_t calls = 0;
    store.watch([&](const char*, const std::string&, bool) {
      if (++calls == cut) throw Killed{};
    });
    RecoverRequest request;
    request.data_dir = join_path(root.path(), "data");
    try {
      const auto first = recover_gateway(environment(lost, store, files, random), request);
      ASSERT_TRUE(first.ok()) << first.error().message();
      complete = cut;
    } catch (const Killed&) {
      store.watch({});
      const auto again = recover_gateway(environment(lost, store, files, random), request);
      ASSERT_TRUE(again.ok()) << again.error().message();
      EXPECT_TRUE(again->lost.empty());
    }
    size_t images = 0;
    check_rebuilt(lost, request.data_dir, images);
    EXPECT_EQ(images, 2U);
    if (testing::Test::HasFailure()) return;
  }
  std::cout << "cut short at each of " << complete - 1 << " moments\n";
}

}  // namespace
}  // namespace coldshelf::test
