// Volumes through the real shelf: writes, recovery points, clones, eviction and reading by range, a
// store that fails, and a gateway that dies at any of its operations. After each death every synced
// write is there, and what the store holds is a beginning of what was written, at every moment.
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>

#include "base/coding.h"
#include "base/log.h"
#include "tests/support/image_rig.h"
#include "tests/support/sim_seeds.h"
#include "uploader/bucket_check.h"

namespace coldshelf::test {
namespace {

constexpr uint32_t kBlock = 4096;

ShelfOptions options_of(uint64_t seed) {
  SeededRandom random(seed * 31 + 5);
  ShelfOptions options;
  options.image_interval_ms = 500;
  options.manifest_interval_ms = 2'000;
  options.cache_limit_bytes = random.one_in(3) ? 0 : 1 * MiB + random.below(4 * MiB);
  return options;
}

class ImageSim {
 public:
  using Tags = std::vector<uint64_t>;  // of each block; 0: zeroes

  enum class Puts { at_once, late_too };

  ImageSim(uint64_t seed, Puts puts)
      : seed_(seed),
        late_(puts == Puts::late_too),
        random_(seed),
        rig_(seed, options_of(seed), {"sgw-A", nullptr, nullptr}) {
    rig_.volume_options.map_interval_bytes = random_.one_in(2) ? 600 * KiB : 3 * MiB;
    rig_.volume_options.compact_percent = 20 + static_cast<unsigned>(random_.below(40));
    rig_.on_evicted = [this](const Uuid& id, uint64_t sequence, uint64_t epoch) {
      for (Image& image : images_) {
        if (image.volume) image.volume->segment_evicted(id, sequence, epoch);
      }
    };
    rig_.run_once();
    Image& first = images_.emplace_back();
    first.blocks = 64 + random_.below(600);
    first.volume = rig_.make_image("v", first.blocks * kBlock, random_.one_in(4) ? "stored" : "");
    first.id = first.volume->uuid();
  }

  void run() {
    const uint64_t lives = 3 + random_.below(3);
    for (uint64_t life = 0; life < lives && !failed(); ++life) {
      StoreFaults faults;
      if (random_.one_in(2)) faults.error_one_in = 10;
      if (random_.one_in(2)) faults.lost_one_in = 15;
      if (late_) faults.late_one_in = 3 + random_.below(10);
      rig_.set_faults(faults);
      const uint64_t operations = 5 + random_.below(60);
      for (uint64_t i = 0; i < operations && !failed(); ++i) {
        operate();
        if (!shelf_goes_on(random_.below(6))) break;
      }
      if (failed()) return;
      check_store();
      die();
    }
    if (!failed()) settle();
  }

 private:
  struct Op {
    uint64_t first = 0, count = 0, tag = 0;
    std::optional<Tags> whole;
  };
  struct Image {
    Uuid id;
    uint64_t blocks = 0;
    std::unique_ptr<Volume> volume;
    Tags base;  // of a clone
    std::vector<Op> ops;
    size_t synced = 0;
    size_t stored = 0;  // the store had at least so many
    std::map<Uuid, Tags> points;
    std::optional<std::pair<size_t, Uuid>> source;  // of a clone: image and point
    bool gone = false;
  };

  static bool failed() { return testing::Test::HasFailure(); }

  // -- the model
  static uint64_t mark(uint64_t tag, uint64_t block) { return tag * 1'000'003 + block + 1; }
  static void apply(Tags& tags, const Op& op) {
    if (op.whole) {
      tags = *op.whole;
      return;
    }
    for (uint64_t b = op.first; b < op.first + op.count; ++b) {
      tags[b] = op.tag == 0 ? 0 : mark(op.tag, b);
    }
  }
  static Tags start_of(const Image& image) {
    return image.base.empty() ? Tags(image.blocks, 0) : image.base;
  }
  static Tags now_of(const Image& image) {
    Tags tags = start_of(image);
    for (const Op& op : image.ops) apply(tags, op);
    return tags;
  }
  // The fewest and the most operations that make `found`.
  static std::optional<std::pair<size_t, size_t>> find(const Image& image, const Tags& found) {
    std::optional<std::pair<size_t, size_t>> out;
    Tags tags = start_of(image);
    for (size_t k = 0;; ++k) {
      if (tags == found) out = {out ? out->first : k, k};
      if (k == image.ops.size()) return out;
      apply(tags, image.ops[k]);
    }
  }
  static Buffer content(uint64_t first, uint64_t count, uint64_t tag) {
    Buffer out(count * kBlock);
    for (uint64_t b = 0; b < count; ++b) {
      for (size_t i = 0; i < kBlock; i += 8) {
        store_le(out.data() + b * kBlock + i, mark(tag, first + b) ^ (i * 0x9e3779b97f4a7c15U));
      }
    }
    return out;
  }
  static Tags read_all(BlockDevice& disk) {
    Tags tags(disk.size_bytes() / kBlock, 0);
    Buffer all(disk.size_bytes());
    const Status done = disk.read(0, all);
    EXPECT_TRUE(done.ok()) << (done.ok() ? "" : done.error().message());
    if (!done.ok()) return tags;
    for (uint64_t b = 0; b < tags.size(); ++b) {
      tags[b] = load_le<uint64_t>(all.data() + b * kBlock);
      if (tags[b] == 0) continue;
      const Buffer expected = content(b, 1, (tags[b] - b - 1) / 1'000'003);
      EXPECT_TRUE(equal(ByteView(all).subspan(b * kBlock, kBlock), expected)) << "a torn block";
    }
    return tags;
  }

  // -- the volumes, on a store that answers: the shelf's own work meets the faults
  void operate() {
    rig_.faulty().set_faults({});
    Image& image = images_[random_.below(images_.size())];
    if (!image.gone) operate_on(image);
    rig_.faulty().set_faults(rig_.faults);
  }

  void operate_on(Image& image) {
    Volume& v = *image.volume;
    const uint64_t kind = random_.below(100);
    const uint64_t first = random_.below(image.blocks);
    const uint64_t count = 1 + random_.below(std::min<uint64_t>(image.blocks - first, 250));
    if (kind < 50) {
      image.ops.push_back({first, count, next_tag_++, std::nullopt});
      const bool durable = random_.one_in(8);
      expect(v.write(first * kBlock, content(first, count, image.ops.back().tag), durable));
      if (durable) image.synced = image.ops.size();
    } else if (kind < 58) {
      image.ops.push_back({first, count, 0, std::nullopt});
      expect(v.unmap(first * kBlock, count * kBlock));
    } else if (kind < 66) {
      expect(v.flush());
      image.synced = image.ops.size();
    } else if (kind < 74) {
      EXPECT_EQ(read_all(v), now_of(image));
    } else if (kind < 80) {
      const auto point = v.create_point("p");
      ASSERT_TRUE(point.ok()) << point.error().message();
      image.points[point->id] = now_of(image);
      image.synced = image.ops.size();
    } else if (kind < 83) {
      drop_point(image);
    } else if (kind < 85 && !image.points.empty()) {
      const auto at = any_point(image);
      image.ops.push_back({0, 0, 0, at->second});
      expect(v.roll_back(at->first));
      image.synced = image.ops.size();
    } else if (kind < 88) {
      make_clone(image);
    } else if (kind < 90) {
      delete_clone();
    } else if (kind < 94) {
      expect(v.collect());
    } else if (kind < 98) {
      expect(v.seal());
      image.synced = image.ops.size();
    } else {
      expect(v.set_property(std::string(kPropertyMode), random_.one_in(2) ? "stored" : "cached"));
    }
  }

  void expect(const Status& done) {
    EXPECT_TRUE(done.ok()) << "seed " << seed_ << ": " << (done.ok() ? "" : done.error().message());
  }
  std::map<Uuid, Tags>::iterator any_point(Image& image) {
    auto at = image.points.begin();
    std::advance(at, static_cast<std::ptrdiff_t>(random_.below(image.points.size())));
    return at;
  }
  void drop_point(Image& image) {
    if (image.points.empty()) return;
    const auto at = any_point(image);
    const Status done = image.volume->delete_point(at->first);
    if (!done.ok()) {
      EXPECT_EQ(done.error().code, ErrorCode::busy);
      return;
    }
    image.points.erase(at);
  }
  void make_clone(Image& from) {
    if (from.points.empty() || images_.size() >= 4) return;
    const auto at = any_point(from);
    auto made = rig_.clone_image(*from.volume, at->first, "c" + std::to_string(next_tag_++));
    ASSERT_TRUE(made.ok()) << made.error().message();
    Image clone;
    clone.id = (*made)->uuid();
    clone.blocks = from.blocks;
    clone.volume = std::move(*made);
    clone.base = at->second;
    clone.source = {static_cast<size_t>(&from - images_.data()), at->first};
    EXPECT_EQ(read_all(*clone.volume), clone.base);
    images_.push_back(std::move(clone));
  }
  // The last one, if it is a clone that nothing stands on: first it, then what held it.
  void delete_clone() {
    Image& last = images_.back();
    if (images_.size() < 2 || last.gone || !last.source) return;
    rig_.faulty().set_faults({});
    rig_.faulty().carry_out_all();  // a first manifest that comes later still would be there again
    last.volume.reset();
    const auto job = rig_.shelf().remove(last.id);
    ASSERT_TRUE(job.ok()) << job.error().message();
    ASSERT_TRUE(
        rig_.run_until([&] { return (*rig_.catalog().job(*job))->state >= JobState::succeeded; }));
    EXPECT_EQ((*rig_.catalog().job(*job))->state, JobState::succeeded)
        << (*rig_.catalog().job(*job))->error;
    expect(images_[last.source->first].volume->release_clone(last.id));
    images_.pop_back();
  }

  // -- the shelf. False: it was killed.
  bool shelf_goes_on(uint64_t steps) {
    if (random_.one_in(12)) rig_.kill_after(1 + random_.below(12));
    bool alive = true;
    try {
      for (uint64_t i = 0; i < steps; ++i) {
        if (!rig_.run_once()) rig_.clock().advance_ms(200);
      }
    } catch (const Killed&) {
      alive = false;
    }
    rig_.kill_after(0);
    if (random_.one_in(5)) rig_.clock().advance_ms(static_cast<int64_t>(random_.below(3'000)));
    return alive;
  }

  void die() {
    const bool power = random_.one_in(2);
    for (Image& image : images_) image.volume.reset();
    rig_.set_faults({});
    rig_.restart(power);
    if (random_.one_in(5)) rig_.lose_catalog();
    rig_.run_once();
    expect(rig_.shelf().reconcile());
    for (Image& image : images_) {
      auto opened = rig_.open_image(image.id);
      ASSERT_TRUE(opened.ok()) << "seed " << seed_ << ": " << opened.error().message();
      image.volume = std::move(*opened);
      const auto k = find(image, read_all(*image.volume));
      ASSERT_TRUE(k && k->second >= image.synced)
          << "seed " << seed_ << ": a synced write is lost, of " << image.synced;
      ASSERT_GE(k->second, image.stored) << "the store had more";
      image.ops.resize(k->second);
      image.synced = image.ops.size();
      check_points(image, *image.volume, true);
    }
  }

  void check_points(const Image& image, Volume& volume, bool all) {
    const auto points = volume.points();
    ASSERT_TRUE(points.ok());
    if (all) {
      EXPECT_EQ(points->size(), image.points.size());
    }
    for (const RecoveryPoint& point : *points) {
      const auto known = image.points.find(point.id);
      if (known == image.points.end()) continue;  // deleted since
      auto view = volume.open_point(point.id);
      ASSERT_TRUE(view.ok()) << view.error().message();
      EXPECT_EQ(read_all(**view), known->second) << "seed " << seed_ << ": a recovery point";
    }
  }

  // What the store holds is a disk that once was, and never an older one than before.
  void check_store() {
    for (Image& image : images_) {
      if (!rig_.stored_manifest(image.id)) continue;
      const auto stored = rig_.open_stored(image.id);
      ASSERT_NE(stored, nullptr) << "seed " << seed_;
      const auto k = find(image, read_all(*stored->volume));
      ASSERT_TRUE(k.has_value()) << "seed " << seed_ << ": the store holds no beginning";
      ASSERT_GE(k->second, image.stored) << "seed " << seed_ << ": the store went back";
      image.stored = std::max(image.stored, k->first);
      check_points(image, *stored->volume, false);
    }
  }

  // A good store and time: all of it is there, and nothing else.
  void settle() {
    rig_.set_faults({});
    for (Image& image : images_) expect(image.volume->seal());
    ASSERT_TRUE(rig_.run_until(
        [&] {
          return std::all_of(images_.begin(), images_.end(),
                             [&](const Image& image) { return rig_.all_stored(image.id); });
        },
        10 * 60'000))
        << "seed " << seed_ << describe();
    for (Image& image : images_) {
      const auto stored = rig_.open_stored(image.id);
      ASSERT_NE(stored, nullptr);
      EXPECT_EQ(read_all(*stored->volume), now_of(image)) << "seed " << seed_;
      check_points(image, *stored->volume, true);
    }
    rig_.faulty().carry_out_all();
    const auto buffers = BufferPool::create(1 * MiB);
    StoreCheckOptions deep;
    deep.threads = 1;
    deep.deep = true;
    const auto report = check_store_of(*buffers, deep);
    EXPECT_EQ(report.problems_total, 0U)
        << "seed " << seed_ << ": " << report.problems.front().what;
    StoreGcOptions gc;
    gc.threads = 1;
    gc.min_age_ms = 0;
    rig_.clock().advance_ms(1'000);
    const auto collected = collect_store_garbage(rig_.store(), rig_.clock(), gc);
    ASSERT_TRUE(collected.ok()) << collected.error().message();
    EXPECT_EQ(check_store_of(*buffers, deep).problems_total, 0U);
    // What a lost catalog had forgotten is found by the collector.
    EXPECT_TRUE(rig_.run_until(
        [&] {
          return std::all_of(images_.begin(), images_.end(),
                             [&](const Image& image) { return rig_.stored_exactly(image.id); });
        },
        10 * 60'000))
        << "seed " << seed_ << describe();
    for (Image& image : images_) EXPECT_EQ(read_all(*image.volume), now_of(image));
  }
  std::string describe() {
    std::string out;
    for (const Image& image : images_) out += "\n" + rig_.describe_stored(image.id);
    return out;
  }
  StoreCheckReport check_store_of(BufferPool& buffers, const StoreCheckOptions& deep) {
    const auto report = coldshelf::check_store(rig_.store(), rig_.clock(), buffers, deep);
    EXPECT_TRUE(report.ok());
    return report.ok() ? *report : StoreCheckReport();
  }

  const uint64_t seed_;
  const bool late_;  // puts that were given up are carried out all the same, later
  SeededRandom random_;
  ImageRig rig_;
  std::vector<Image> images_;
  uint64_t next_tag_ = 1;
};

class ImageSimTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (std::getenv("COLDSHELF_SIM_LOG") == nullptr) capture_log([](std::string_view) {});
  }
  static void TearDownTestSuite() { capture_log(nullptr); }
};

void run_life(uint64_t seed, ImageSim::Puts puts = ImageSim::Puts::at_once) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  ImageSim sim(seed, puts);
  sim.run();
}

// Of the long runs, each fails without what mended it: a lost catalog that made the store's
// manifest name less, of the disk as it is (283) and of an earlier one (332), and a manifest whose
// put lost its answer, taken for another gateway's (920).
TEST_F(ImageSimTest, LivesThatFoundSomething) {
  for (const uint64_t seed : {283U, 332U, 920U}) run_life(seed);
}

// A manifest of the same bytes, and so the same ETag, as one before: what had been put on top of
// that one, and was given up, came after it and named a segment that was gone.
TEST_F(ImageSimTest, LatePutsThatFoundSomething) {
  run_life(207851000683U, ImageSim::Puts::late_too);
}

TEST_F(ImageSimTest, RandomLives) {
  for (const uint64_t seed : sim_seeds(40)) {
    run_life(seed);
    if (HasFailure()) break;
  }
}

TEST_F(ImageSimTest, LivesWithPutsCarriedOutLate) {
  for (const uint64_t seed : sim_seeds(20, 1'000'001)) {
    run_life(seed, ImageSim::Puts::late_too);
    if (HasFailure()) break;
  }
}

}  // namespace
}  // namespace coldshelf::test
