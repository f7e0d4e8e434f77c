// Volumes, their recovery points and clones, that two gateways of one store hand to and fro, or
// take from each other, in a storm of the store: calls fail, answers are lost, puts that were given
// up are carried out late; gateways are killed, lose power and catalogs. Whoever has a volume has
// all that was written and synced, except for what the store had not got when it was taken; and a
// clone reads what its source was, whoever has the source.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <set>
#include <utility>

#include "base/coding.h"
#include "base/log.h"
#include "tests/support/image_rig.h"
#include "tests/support/sim_seeds.h"
#include "uploader/bucket_check.h"
#include "uploader/detached_document.h"

namespace coldshelf::test {
namespace {

constexpr uint64_t kBlock = 4 * KiB;
constexpr uint64_t kBlocks = 400;
constexpr size_t kMostImages = 3;

class Moves {
 public:
  explicit Moves(uint64_t seed)
      : random_(seed * 15'485'863),
        gc_random_(seed + 3),
        a_(seed, options(random_), {"sgw-A", &store_disk_, &clock_, &late_puts_}),
        b_(seed + 1'000'000, options(random_), {"sgw-B", &store_disk_, &clock_, &late_puts_}) {
    for (ImageRig* rig : {&a_, &b_}) {
      rig->volume_options.map_interval_bytes = 600 * KiB;
      rig->on_evicted = [this, rig](const Uuid& id, uint64_t sequence, uint64_t epoch) {
        for (Image& image : images_) {
          if (image.volume && image.owner == rig)
            image.volume->segment_evicted(id, sequence, epoch);
        }
      };
      rig->run_once();
    }
    Image& first = images_.emplace_back();
    first.name = "v";
    first.owner = &a_;
    first.volume = a_.make_image(first.name, kBlocks * kBlock);
    first.id = first.volume->uuid();
    for (ImageRig* rig : {&a_, &b_}) rig->set_faults(draw_storm(random_));
  }

  void run() {
    const uint64_t rounds = 3 + random_.below(8);
    for (uint64_t round = 0; round < rounds && !failed(); ++round) {
      write(any(), 1 + random_.below(4));
      if (failed()) return;
      if (!go_on(random_.below(40))) die(*killed_);
      if (failed()) return;
      if (gc_random_.one_in(3)) collect();
      if (failed()) return;
      if (random_.one_in(3)) die(random_.one_in(2) ? a_ : b_);
      if (failed()) return;
      if (random_.one_in(4)) make_clone(any());
      if (failed()) return;
      if (random_.one_in(6)) delete_clone();
      if (failed()) return;
      if (random_.one_in(6)) {
        shelve(any());
      } else if (random_.one_in(3)) {
        Image& image = any();
        image.shelved ? shelve(image) : hand_over(image);
      } else if (random_.one_in(3)) {
        seize(any());
      }
    }
    if (!failed()) settle();
  }

 private:
  using Tags = std::vector<uint64_t>;  // of each block; 0: zeroes
  struct Image {
    Uuid id;
    std::string name;
    ImageRig* owner = nullptr;
    std::unique_ptr<Volume> volume;  // null: on its way
    std::vector<Tags> states = {Tags(kBlocks, 0)};
    std::map<Uuid, Tags> points;
    std::map<Uuid, Tags> dropped;  // points that whoever takes it by force may find again
    std::optional<Uuid> source;    // of a clone
    bool shelved = false;          // it was on the shelf once, and is RETRIEVED
  };

  static ShelfOptions options(Random& random) {
    ShelfOptions options;
    options.cache_limit_bytes = random.one_in(2) ? 1 * MiB : 0;
    options.manifest_interval_ms = 2'000;
    return options;
  }
  static bool failed() { return testing::Test::HasFailure(); }
  Image& any() { return images_[random_.below(images_.size())]; }
  ImageRig& other(const ImageRig* rig) { return rig == &a_ ? b_ : a_; }
  bool has_clones(const Image& of) {
    return std::any_of(images_.begin(), images_.end(),
                       [&](const Image& image) { return image.source == of.id; });
  }
  // Runs `work` with a store that answers.
  template <typename Work>
  void calmly(ImageRig& rig, const Work& work) {
    rig.faulty().set_faults({});
    work();
    rig.faulty().set_faults(rig.faults);
  }

  // -- the volumes. Synced each time, so that only the store can have less.
  void write(Image& image, uint64_t batches) {
    calmly(*image.owner, [&] {
      for (uint64_t i = 0; i < batches; ++i) {
        write_some(image);
        if (random_.one_in(2)) expect(image.volume->seal());
        if (random_.one_in(8)) expect(image.volume->collect());
        if (random_.one_in(4)) change_points(image);
      }
    });
  }
  void write_some(Image& image) {
    const uint64_t first = random_.below(kBlocks);
    const uint64_t count = 1 + random_.below(std::min<uint64_t>(kBlocks - first, 200));
    Tags next = image.states.back();
    const uint64_t tag = next_tag_++;
    Buffer content(count * kBlock);
    for (uint64_t b = 0; b < count; ++b) {
      next[first + b] = tag;
      for (size_t k = 0; k < kBlock; k += 8) {
        store_le(content.data() + b * kBlock + k, tag * 1'000'003 + first + b + (k << 40));
      }
    }
    image.states.push_back(next);
    expect(image.volume->write(first * kBlock, content, true));
  }
  void change_points(Image& image) {
    const uint64_t kind = random_.below(4);
    if (kind < 2 || image.points.empty()) {
      const auto point = image.volume->create_point("p");
      ASSERT_TRUE(point.ok()) << point.error().message();
      image.points[point->id] = image.states.back();
      return;
    }
    const auto at = any_point(image);
    if (kind == 2) {
      image.states.push_back(at->second);
      expect(image.volume->roll_back(at->first));
      return;
    }
    const Status done = image.volume->delete_point(at->first);
    if (done.ok()) {
      image.dropped.insert(*at);
      image.points.erase(at);
    } else {
      EXPECT_EQ(done.error().code, ErrorCode::busy) << done.error().message();
    }
  }
  std::map<Uuid, Tags>::iterator any_point(Image& image) {
    return std::next(image.points.begin(),
                     static_cast<std::ptrdiff_t>(random_.below(image.points.size())));
  }
  void make_clone(Image& from) {
    // Restored copies expire, so that nothing is cloned from one.
    if (images_.size() == kMostImages || from.points.empty() || from.shelved) return;
    calmly(*from.owner, [&] {
      const auto at = any_point(from);
      Image clone;
      clone.name = "c" + std::to_string(next_tag_++);
      clone.owner = from.owner;
      clone.source = from.id;
      clone.states = {at->second};
      auto made = from.owner->clone_image(*from.volume, at->first, clone.name);
      ASSERT_TRUE(made.ok()) << made.error().message();
      clone.volume = std::move(*made);
      clone.id = clone.volume->uuid();
      images_.push_back(std::move(clone));
    });
  }
  // Then its source may give up the point it stood on, whoever has that.
  void delete_clone() {
    const auto at = std::find_if(images_.begin(), images_.end(), [&](const Image& image) {
      return image.source && !has_clones(image);
    });
    if (at == images_.end()) return;
    ImageRig& rig = *at->owner;
    rig.faulty().carry_out_all();  // a first manifest that comes later still would be there again
    at->volume.reset();
    calmly(rig, [&] {
      const auto job = rig.shelf().remove(at->id);
      ASSERT_TRUE(job.ok()) << job.error().message();
      ASSERT_TRUE(
          rig.run_until([&] { return (*rig.catalog().job(*job))->state >= JobState::succeeded; }));
      EXPECT_EQ((*rig.catalog().job(*job))->state, JobState::succeeded)
          << (*rig.catalog().job(*job))->error;
    });
    if (failed()) return;
    Image& source = *std::find_if(images_.begin(), images_.end(),
                                  [&](const Image& image) { return image.id == at->source; });
    calmly(*source.owner, [&] { expect(source.volume->release_clone(at->id)); });
    images_.erase(at);
  }

  static Tags read(BlockDevice& disk) {
    Tags tags(kBlocks, 0);
    Buffer all(disk.size_bytes());
    const Status done = disk.read(0, all);
    EXPECT_TRUE(done.ok()) << (done.ok() ? "" : done.error().message());
    if (!done.ok()) return tags;
    for (uint64_t b = 0; b < kBlocks; ++b) {
      const auto word = load_le<uint64_t>(all.data() + b * kBlock);
      if (word == 0) continue;
      tags[b] = (word - b) / 1'000'003;
      for (size_t k = 0; k < kBlock; k += 8) {
        const auto at = load_le<uint64_t>(all.data() + b * kBlock + k);
        EXPECT_EQ(at, tags[b] * 1'000'003 + b + (k << 40)) << "a torn block";
        if (at != tags[b] * 1'000'003 + b + (k << 40)) return tags;
      }
    }
    return tags;
  }
  static std::string differences(const Tags& a, const Tags& b) {
    std::string out;
    for (size_t i = 0; i < a.size(); ++i) {
      if (a[i] == b[i] || (i > 0 && a[i] == a[i - 1] && b[i] == b[i - 1])) continue;
      out += " " + std::to_string(i) + ": " + std::to_string(a[i]) + " not " + std::to_string(b[i]);
    }
    return out;
  }
  // The state that the disk is in, not older than `least`, with these recovery points at least.
  void open(Image& image, size_t least, const std::set<Uuid>& points) {
    calmly(*image.owner, [&] {
      auto opened = image.owner->open_image(image.id);
      ASSERT_TRUE(opened.ok()) << image.name << ": " << opened.error().message();
      image.volume = std::move(*opened);
      const Tags now = read(*image.volume);
      const auto at = std::find(image.states.rbegin(), image.states.rend(), now);
      ASSERT_TRUE(at != image.states.rend())
          << image.name << " is none that was; beside the last one "
          << differences(now, image.states.back());
      const auto index = static_cast<size_t>(image.states.rend() - at) - 1;
      EXPECT_GE(index, least) << image.name << ", of " << image.states.size();
      image.states.resize(index + 1);
      find_points(image, points);
    });
  }
  void open_as_it_was(Image& image) {
    std::set<Uuid> points;
    for (const auto& [id, tags] : image.points) points.insert(id);
    const size_t count = points.size();
    open(image, image.states.size() - 1, points);
    EXPECT_TRUE(failed() || image.points.size() == count) << image.name << ": one came back";
  }
  void find_points(Image& image, std::set<Uuid> wanted) {
    std::map<Uuid, Tags> known = std::exchange(image.points, {});
    known.insert(image.dropped.begin(), image.dropped.end());
    const auto points = image.volume->points();
    ASSERT_TRUE(points.ok());
    for (const RecoveryPoint& point : *points) {
      const auto at = known.find(point.id);
      ASSERT_TRUE(at != known.end()) << image.name << ": a point that never was";
      check_point(image, *image.volume, *at);
      image.points.insert(*at);
      wanted.erase(point.id);
    }
    EXPECT_TRUE(wanted.empty()) << image.name << " lost a recovery point";
  }
  static void check_point(const Image& image, Volume& volume, const std::pair<Uuid, Tags>& point) {
    const auto view = volume.open_point(point.first);
    ASSERT_TRUE(view.ok()) << image.name << ": " << view.error().message();
    EXPECT_EQ(read(**view), point.second) << image.name << ": a recovery point";
  }

  // -- the gateways. False: one was killed, killed_.
  bool go_on(uint64_t steps) {
    killed_ = random_.one_in(2) ? &a_ : &b_;
    if (random_.one_in(3)) killed_->kill_after(1 + random_.below(60));
    bool alive = true;
    try {
      for (uint64_t i = 0; i < steps; ++i) {
        ImageRig& rig = random_.one_in(2) ? a_ : b_;
        if (!rig.run_once()) clock_.advance_ms(static_cast<int64_t>(random_.below(300)));
      }
    } catch (const Killed&) {
      alive = false;
    }
    killed_->kill_after(0);
    return alive;
  }
  // With the volumes that are open there, as they were.
  void die(ImageRig& rig) {
    std::vector<Image*> opened;
    for (Image& image : images_) {
      if (image.owner != &rig || image.volume == nullptr) continue;
      opened.push_back(&image);
      image.volume.reset();
    }
    rig.restart(random_.one_in(2));
    if (random_.one_in(3)) rig.lose_catalog();
    static_cast<void>(rig.ownership().open().ok());
    expect(rig.shelf().reconcile());
    for (Image* image : opened) {
      if (!failed()) open_as_it_was(*image);
    }
  }
  // Until `done`, however often the program is killed on the way.
  template <typename Action, typename Done>
  void reach(ImageRig& rig, const Action& action, const Done& done) {
    for (int attempt = 0; attempt < 40; ++attempt) {
      rig.kill_after(attempt < 20 && random_.one_in(2) ? 1 + random_.below(80) : 0);
      try {
        action();
        ASSERT_TRUE(rig.run_until(done));
        rig.kill_after(0);
        return;
      } catch (const Killed&) {
        rig.kill_after(0);
        die(rig);
      }
      if (failed()) return;
    }
    FAIL() << "killed every time";
  }

  void hand_over(Image& image) {
    ImageRig& from = *image.owner;
    ImageRig& to = other(&from);
    const Uuid id = image.id;
    if (has_clones(image)) {
      calmly(from, [&] { EXPECT_EQ(from.shelf().detach(id).error().code, ErrorCode::busy); });
      return;
    }
    calmly(from, [&] { expect(image.volume->close()); });
    image.volume.reset();
    reach(
        from,
        [&] {
          from.patiently([&]() -> Status {
            if (!(*from.catalog().tape(id)).has_value()) return {};
            if ((*from.catalog().unfinished_job(id)).has_value()) return {};
            return ShelfRig::status_of(from.shelf().detach(id));
          });
        },
        [&] { return !(*from.catalog().tape(id)).has_value(); });
    if (failed()) return;
    attach(image, to, false);
    if (failed()) return;
    image.owner = &to;
    open_as_it_was(image);
  }
  // To the shelf, and back to whichever gateway.
  void shelve(Image& image) {
    ImageRig& from = *image.owner;
    const Uuid id = image.id;
    calmly(from, [&] { expect(image.volume->close()); });
    image.volume.reset();
    calmly(from, [&] { expect(from.shelf().assign_pool(id, "glacier")); });
    if (has_clones(image)) {
      calmly(from, [&] { EXPECT_EQ(from.shelf().archive(id).error().code, ErrorCode::busy); });
      open_as_it_was(image);
      return;
    }
    bring(from, id, TapeStatus::archived, [&] { return from.shelf().archive(id); });
    if (failed()) return;
    ImageRig& to = random_.one_in(2) ? from : other(&from);
    if (&to != &from) attach(image, to, false);
    if (failed()) return;
    retrieve(image, to);
    if (failed()) return;
    image.owner = &to;
    open_as_it_was(image);
  }
  void retrieve(Image& image, ImageRig& rig) {
    bring(rig, image.id, TapeStatus::retrieved, [&]() -> Result<int64_t> {
      // Of one that was attached nothing is here when the power and the catalog are lost at once.
      Shelf::AttachRequest request;
      request.image = image.id.to_string();
      if (!(*rig.catalog().tape(image.id)).has_value()) TRY(rig.shelf().attach(request));
      return rig.shelf().retrieve(image.id, RestoreTier::standard, 30);
    });
    image.shelved = true;
  }
  template <typename Begin>
  void bring(ImageRig& rig, const Uuid& id, TapeStatus wanted, const Begin& begin) {
    const auto at_work = [&] { return (*rig.catalog().unfinished_job(id)).has_value(); };
    reach(
        rig,
        [&] {
          rig.patiently([&]() -> Status {
            if (at_work() || rig.status(id) == wanted) return {};
            return ShelfRig::status_of(begin());
          });
        },
        [&] {
          if (at_work()) return false;
          if (rig.status(id) == wanted) return true;
          // Lost with the catalog, and an archival that a start found to be open is over now.
          static_cast<void>(begin().ok());
          return false;
        });
  }
  void attach(const Image& image, ImageRig& to, bool take) {
    Shelf::AttachRequest request;
    // By name many calls of a failing store must go well, one after the other.
    request.image = random_.one_in(4) ? image.name : image.id.to_string();
    request.take_over = take;
    request.force = take;
    reach(
        to,
        [&] {
          // Of an archival, which a start found to be open and nobody's.
          to.run_until([&] { return !(*to.catalog().unfinished_job(image.id)).has_value(); });
          to.patiently([&]() -> Status {
            const auto row = to.shelf().attach(request);
            if (row.ok() || row.error().code == ErrorCode::exists) return {};
            return row.error();
          });
        },
        [] { return true; });
  }

  // Its owner stands still, and wakes up when all is over.
  void seize(Image& image) {
    ImageRig& from = *image.owner;
    // What the store does not know of cannot be taken into account.
    for (const Image& one : images_) {
      if (one.id != image.id && one.source != image.id) continue;
      ASSERT_TRUE(one.owner->run_until([&] { return one.owner->all_stored(one.id); }))
          << one.owner->describe_stored(one.id);
    }
    calmly(from, [&] { expect(image.volume->seal()); });
    const bool all = random_.one_in(2);
    ASSERT_TRUE(from.run_until([&] { return !all || from.all_stored(image.id); }));
    const size_t least = all ? image.states.size() - 1 : 0;
    std::set<Uuid> points;
    for (const auto& [id, tags] : image.points) {
      if (all) points.insert(id);
    }
    write(image, random_.below(3));
    for (const auto& [id, tags] : image.dropped) points.erase(id);
    if (!go_on(random_.below(4))) die(*killed_);
    if (failed()) return;
    ImageRig& to = other(&from);
    clock_.advance_ms(5 * 60'000);
    to.run_until([] { return false; }, 1'000);
    // Until then the old owner writes on; what it is told comes when it wakes up.
    image.volume.reset();
    attach(image, to, true);
    if (failed()) return;
    if (image.shelved) retrieve(image, to);  // there it went
    if (failed()) return;
    image.owner = &to;
    open(image, least, points);
    if (failed()) return;
    ASSERT_TRUE(from.run_until([&] { return !from.shelf().check_owned(image.id).ok(); }))
        << "the old owner goes on";
    if (!random_.one_in(3)) return;
    // Its clones there go on without what was there of it.
    calmly(from, [&] { expect(from.shelf().forget(image.id, true)); });
    for (Image& clone : images_) {
      if (clone.owner != &from) continue;
      calmly(from, [&] { EXPECT_EQ(read(*clone.volume), clone.states.back()) << clone.name; });
    }
  }

  void settle() {
    for (ImageRig* rig : {&a_, &b_}) rig->set_faults({});
    for (Image& image : images_) expect(image.volume->close());
    a_.faulty().carry_out_all();
    for (ImageRig* rig : {&a_, &b_}) rig->run_until([] { return false; }, 60'000);
    for (Image& image : images_) {
      ASSERT_TRUE(image.owner->run_until([&] { return image.owner->all_stored(image.id); }))
          << image.owner->describe_stored(image.id);
    }
    EXPECT_TRUE(a_.shelf().detached_images()->empty());
    for (Image& image : images_) {
      EXPECT_EQ(read(*image.volume), image.states.back());
      const auto stored = image.owner->open_stored(image.id);
      ASSERT_NE(stored, nullptr);
      EXPECT_EQ(read(*stored->volume), image.states.back()) << image.name;
      for (const auto& point : image.points) check_point(image, *stored->volume, point);
    }
    check();
    collect();
    EXPECT_TRUE(a_.store().list(std::string(kDetachedPrefix), "", 10)->objects.empty());
    check();
    for (Image& image : images_) {
      EXPECT_EQ(read(*image.volume), image.states.back()) << image.name;
      for (const auto& point : image.points) check_point(image, *image.volume, point);
    }
  }
  // However young it is: what some gateway is about to name is no garbage.
  void collect() {
    StoreGcOptions gc;
    gc.threads = 1;
    gc.min_age_ms = 0;
    clock_.advance_ms(1'000);
    const auto collected = collect_store_garbage(a_.store(), clock_, gc);
    ASSERT_TRUE(collected.ok()) << collected.error().message();
  }
  void check() {
    const auto buffers = BufferPool::create(1 * MiB);
    StoreCheckOptions deep;
    deep.threads = 1;
    deep.deep = true;
    const auto report = check_store(a_.store(), clock_, *buffers, deep);
    ASSERT_TRUE(report.ok());
    EXPECT_EQ(report->problems_total, 0U) << report->problems.front().what;
  }
  static void expect(const Status& done) {
    EXPECT_TRUE(done.ok()) << (done.ok() ? "" : done.error().message());
  }

  SeededRandom random_;
  SeededRandom gc_random_;  // its own: the rest is drawn as before
  LatePuts late_puts_;
  SimClock clock_;
  SimFileSystem store_disk_;
  ImageRig a_, b_;
  ImageRig* killed_ = nullptr;
  std::deque<Image> images_;
  uint64_t next_tag_ = 1;
};

TEST(AttachSim, VolumesMoveBetweenTwoGatewaysInAStorm) {
  if (std::getenv("COLDSHELF_SIM_LOG") == nullptr) capture_log([](std::string_view) {});
  for (const uint64_t seed : sim_seeds(30)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Moves(seed).run();
    if (testing::Test::HasFailure()) {
      ADD_FAILURE() << "with seed " << seed << ": COLDSHELF_SIM_SEED=" << seed;
      break;
    }
  }
  capture_log(nullptr);
}

}  // namespace
}  // namespace coldshelf::test
