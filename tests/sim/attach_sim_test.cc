// A volume that two gateways of one store hand to and fro, or take from each other, in a storm of
// the store: calls fail, answers are lost, puts that were given up are carried out late; gateways
// are killed, lose power and catalogs. Whoever has it has all that was written and synced, except
// for what the store had not got when it was taken.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "base/coding.h"
#include "base/log.h"
#include "tests/support/image_rig.h"
#include "tests/support/sim_seeds.h"
#include "uploader/bucket_check.h"

namespace coldshelf::test {
namespace {

constexpr uint64_t kBlock = 4 * KiB;
constexpr uint64_t kBlocks = 400;

class Moves {
 public:
  explicit Moves(uint64_t seed)
      : random_(seed * 15'485'863),
        a_(seed, options(random_), {"sgw-A", &store_disk_, &clock_, &late_puts_}),
        b_(seed + 1'000'000, options(random_), {"sgw-B", &store_disk_, &clock_, &late_puts_}) {
    for (ImageRig* rig : {&a_, &b_}) {
      rig->volume_options.map_interval_bytes = 600 * KiB;
      rig->on_evicted = [this, rig](const Uuid&, uint64_t sequence, uint64_t epoch) {
        if (volume_ && rig == owner_) volume_->segment_evicted(image_, sequence, epoch);
      };
      rig->run_once();
    }
    volume_ = a_.make_image("v", kBlocks * kBlock);
    image_ = volume_->uuid();
    for (ImageRig* rig : {&a_, &b_}) rig->set_faults(draw_storm(random_));
  }

  void run() {
    const uint64_t rounds = 3 + random_.below(6);
    for (uint64_t round = 0; round < rounds; ++round) {
      write(1 + random_.below(4));
      if (failed()) return;
      if (!go_on(random_.below(40))) die(*owner_);
      if (failed()) return;
      if (random_.one_in(3)) die(random_.one_in(2) ? a_ : b_);
      if (failed()) return;
      if (random_.one_in(3)) {
        hand_over();
      } else if (random_.one_in(3)) {
        seize();
      }
      if (failed()) return;
    }
    settle();
  }

 private:
  using Tags = std::vector<uint64_t>;  // of each block; 0: zeroes

  static ShelfOptions options(Random& random) {
    ShelfOptions options;
    options.cache_limit_bytes = random.one_in(2) ? 1 * MiB : 0;
    options.manifest_interval_ms = 2'000;
    return options;
  }
  static bool failed() { return testing::Test::HasFailure(); }
  ImageRig& other() { return owner_ == &a_ ? b_ : a_; }
  // Runs `work` with a store that answers.
  template <typename Work>
  void calmly(const Work& work) {
    owner_->faulty().set_faults({});
    work();
    owner_->faulty().set_faults(owner_->faults);
  }

  // Synced each time, so that only the store can have less.
  void write(uint64_t batches) {
    calmly([&] {
      for (uint64_t i = 0; i < batches; ++i) {
        const uint64_t first = random_.below(kBlocks);
        const uint64_t count = 1 + random_.below(std::min<uint64_t>(kBlocks - first, 200));
        Tags next = states_.back();
        const uint64_t tag = next_tag_++;
        Buffer content(count * kBlock);
        for (uint64_t b = 0; b < count; ++b) {
          next[first + b] = tag;
          for (size_t k = 0; k < kBlock; k += 8) {
            store_le(content.data() + b * kBlock + k, tag * 1'000'003 + first + b + (k << 40));
          }
        }
        states_.push_back(next);
        expect(volume_->write(first * kBlock, content, true));
        if (random_.one_in(2)) expect(volume_->seal());
        if (random_.one_in(8)) expect(volume_->collect());
      }
    });
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
  // The state that the disk is in, not older than `least`.
  void open(size_t least) {
    calmly([&] {
      auto opened = owner_->open_image(image_);
      ASSERT_TRUE(opened.ok()) << opened.error().message();
      volume_ = std::move(*opened);
      const Tags now = read(*volume_);
      const auto at = std::find(states_.rbegin(), states_.rend(), now);
      ASSERT_TRUE(at != states_.rend())
          << "the disk is none that was; beside the last one " << differences(now, states_.back());
      const auto index = static_cast<size_t>(states_.rend() - at) - 1;
      EXPECT_GE(index, least) << "of " << states_.size();
      states_.resize(index + 1);
    });
  }

  // -- the gateways. False: the owner was killed.
  bool go_on(uint64_t steps) {
    if (random_.one_in(3)) owner_->kill_after(1 + random_.below(60));
    bool alive = true;
    try {
      for (uint64_t i = 0; i < steps; ++i) {
        ImageRig& rig = random_.one_in(3) ? other() : *owner_;
        if (!rig.run_once()) clock_.advance_ms(static_cast<int64_t>(random_.below(300)));
      }
    } catch (const Killed&) {
      alive = false;
    }
    owner_->kill_after(0);
    return alive;
  }
  void die(ImageRig& rig) {
    if (&rig == owner_) volume_.reset();
    restart(rig);
    if (&rig == owner_) open(states_.size() - 1);
  }
  void restart(ImageRig& rig) {
    rig.restart(random_.one_in(2));
    if (random_.one_in(3)) rig.lose_catalog();
    static_cast<void>(rig.ownership().open().ok());
    expect(rig.shelf().reconcile());
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
        restart(rig);
      }
    }
    FAIL() << "killed every time";
  }

  void hand_over() {
    calmly([&] { expect(volume_->close()); });
    volume_.reset();
    ImageRig& from = *owner_;
    ImageRig& to = other();
    reach(
        from,
        [&] {
          from.patiently([&]() -> Status {
            if (!(*from.catalog().tape(image_)).has_value()) return {};
            if ((*from.catalog().unfinished_job(image_)).has_value()) return {};
            return ShelfRig::status_of(from.shelf().detach(image_));
          });
        },
        [&] { return !(*from.catalog().tape(image_)).has_value(); });
    if (failed()) return;
    attach(to, false);
    if (failed()) return;
    owner_ = &to;
    open(states_.size() - 1);
  }
  void attach(ImageRig& to, bool take) {
    Shelf::AttachRequest request;
    request.image = "v";
    request.take_over = take;
    request.force = take;
    reach(
        to,
        [&] {
          to.patiently([&]() -> Status {
            const auto row = to.shelf().attach(request);
            if (row.ok() || row.error().code == ErrorCode::exists) return {};
            return row.error();
          });
        },
        [] { return true; });
  }

  // Its owner stands still, and wakes up when all is over.
  void seize() {
    ASSERT_TRUE(owner_->run_until([&] { return owner_->all_stored(image_); }))
        << owner_->describe_stored(image_);
    calmly([&] { expect(volume_->seal()); });
    const bool all = random_.one_in(2);
    ASSERT_TRUE(owner_->run_until([&] { return !all || owner_->all_stored(image_); }));
    const size_t least = all ? states_.size() - 1 : 0;
    write(random_.below(3));
    ImageRig& from = *owner_;
    if (!go_on(random_.below(4))) {
      volume_.reset();
      restart(from);
    }
    ImageRig& to = other();
    clock_.advance_ms(5 * 60'000);
    to.run_until([] { return false; }, 1'000);
    attach(to, true);
    if (failed()) return;
    volume_.reset();
    owner_ = &to;
    open(least);
    if (failed()) return;
    ASSERT_TRUE(from.run_until([&] { return !from.shelf().check_owned(image_).ok(); }))
        << "the old owner goes on";
  }

  void settle() {
    for (ImageRig* rig : {&a_, &b_}) rig->set_faults({});
    expect(volume_->close());
    owner_->faulty().carry_out_all();
    for (ImageRig* rig : {&other(), owner_}) rig->run_until([] { return false; }, 60'000);
    ASSERT_TRUE(owner_->run_until([&] { return owner_->all_stored(image_); }))
        << owner_->describe_stored(image_);
    EXPECT_EQ(read(*volume_), states_.back());
    const auto stored = owner_->open_stored(image_);
    ASSERT_NE(stored, nullptr);
    EXPECT_EQ(read(*stored->volume), states_.back());
    check();
    StoreGcOptions gc;
    gc.threads = 1;
    gc.min_age_ms = 0;
    clock_.advance_ms(1'000);
    const auto collected = collect_store_garbage(owner_->store(), clock_, gc);
    ASSERT_TRUE(collected.ok()) << collected.error().message();
    check();
    EXPECT_EQ(read(*volume_), states_.back());
  }
  void check() {
    const auto buffers = BufferPool::create(1 * MiB);
    StoreCheckOptions deep;
    deep.threads = 1;
    deep.deep = true;
    const auto report = check_store(owner_->store(), clock_, *buffers, deep);
    ASSERT_TRUE(report.ok());
    EXPECT_EQ(report->problems_total, 0U) << report->problems.front().what;
  }
  static void expect(const Status& done) {
    EXPECT_TRUE(done.ok()) << (done.ok() ? "" : done.error().message());
  }

  SeededRandom random_;
  LatePuts late_puts_;
  SimClock clock_;
  SimFileSystem store_disk_;
  ImageRig a_, b_;
  ImageRig* owner_ = &a_;
  Uuid image_;
  std::unique_ptr<Volume> volume_;
  std::vector<Tags> states_ = {Tags(kBlocks, 0)};
  uint64_t next_tag_ = 1;
};

TEST(AttachSim, AVolumeMovesBetweenTwoGatewaysInAStorm) {
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
