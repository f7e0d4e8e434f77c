// Policies over two simulated years, with seeded faults and crashes. Checked at every deletion: the
// newest good point stays, bases stay; at every step: nothing is left frozen, runs are due once;
// each day: counts are within retention; in the end: every failure was told.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/policy_rig.h"
#include "tests/support/sim_seeds.h"

namespace coldshelf::test {
namespace {

constexpr int64_t kMinute = 60'000;
constexpr int64_t kHour = 60 * kMinute;
constexpr int64_t kDay = 24 * kHour;

std::vector<Policy> policies() {
  Policy nightly;
  nightly.name = "nightly";
  nightly.schedule = "*-*-* 02:30";
  nightly.tags = {{"Backup", "true"}};
  nightly.commands.pre = {"freeze", "{instance}"};
  nightly.commands.post = {"thaw", "{instance}"};
  nightly.keep_in_aws.keep_last = 3;
  nightly.keep_in_archive.daily = 7;
  nightly.keep_in_archive.weekly = 4;
  nightly.keep_in_archive.monthly = 3;
  Policy often = nightly;
  often.name = "often";
  often.schedule = "every 12h";
  often.accounts = {"prod"};
  often.commands = {};
  often.keep_in_aws = {};
  often.keep_in_aws.keep_for_ms = 2 * kDay;
  often.keep_in_archive = {};
  often.keep_in_archive.keep_last = 5;
  Policy cloud_only = often;
  cloud_only.name = "cloud-only";
  cloud_only.schedule = "Sun 04:00 UTC";
  cloud_only.accounts = {"", "prod"};
  cloud_only.by_instance = false;
  cloud_only.pull = false;
  cloud_only.keep_in_aws = {};
  cloud_only.keep_in_aws.weekly = 5;
  return {nightly, often, cloud_only};
}

// Central European time, without asking the machine.
int64_t zone(int64_t unix_s) {
  const int64_t day_of_year = unix_s / 86'400 % 365;
  return day_of_year > 100 && day_of_year < 310 ? 7200 : 3600;
}

class PolicyYears {
 public:
  explicit PolicyYears(uint64_t seed) : rig_(seed, seed * 7919 + 1) {
    for (const PolicyPlace& place :
         {PolicyPlace{"", "eu-central-1"}, PolicyPlace{"prod", "eu-central-1"},
          PolicyPlace{"prod", "us-east-1"}}) {
      sim_.add_volume(place, "i-0", {{"Backup", "true"}});
      sim_.add_volume(place, "i-0", {{"Backup", "true"}});
      sim_.add_volume(place, "i-0", {});
      sim_.add_volume(place, "", {{"Backup", "true"}});
    }
    start();
  }

  void go_on(int64_t days, bool faults) {
    sim_.faults = {};
    if (faults) sim_.faults = {25, 40, 800, 40, 15, 6};
    const int64_t end = clock_.unix_ms() + days * kDay;
    while (clock_.unix_ms() < end) {
      clock_.advance_ms(kMinute + static_cast<int64_t>(random_.below(90 * kMinute)));
      const int64_t day = clock_.unix_ms() / kDay;
      if (day != day_) {
        day_ = day;
        if (faults) sim_.change_volumes();
        ASSERT_NO_FATAL_FAILURE(check_day());
      }
      // The disk fails now and then; the daemon's answer to that is the next step.
      if (faults && random_.one_in(400)) {
        files_.fail_call(files_.counted_calls() + 1 + random_.below(20),
                         random_.one_in(2) ? ErrorCode::io : ErrorCode::no_space);
      }
      try {
        one_step();
      } catch (const PolicySimCrash&) {
        restart();
      }
      ASSERT_EQ(sim_.frozen, 0);
      ASSERT_TRUE(sim_.seen.broken.empty()) << sim_.seen.broken.front();
      if (faults && random_.one_in(1'500)) {  // switched off for a while
        restart();
        clock_.advance_ms(static_cast<int64_t>(random_.below(10)) * kDay);
      }
    }
  }

  void check_end() {
    for (const Policy& policy : policies()) {
      for (const PolicyRun& run : rig_.engine->runs(policy.name)) {
        if (run.started_ms > clock_.unix_ms() - kDay) continue;  // may be under way
        EXPECT_TRUE(run.finished()) << run.id << " " << to_string(run.phase);
        EXPECT_TRUE(run.notified) << run.id;
        EXPECT_GT(sim_.seen.told[run.id], 0u) << run.id;
      }
    }
    for (const std::string& bad : sim_.seen.bad) {
      EXPECT_NE(sim_.seen.text.find(bad + " "), std::string::npos) << bad << " was never told";
    }
  }

  PolicySim& sim() { return sim_; }
  PolicyEngine& engine() { return *rig_.engine; }
  uint64_t runs() const { return last_due_.size(); }

 private:
  void start() {
    const Status opened = rig_.start(policies(), zone);
    ASSERT_TRUE(opened.ok()) << opened.error().message();
  }

  void restart() {
    rig_.engine.reset();
    sim_.forget_callbacks();
    files_.no_faults();
    if (random_.one_in(2)) {
      files_.crash(random_);
    } else {
      files_.kill();
    }
    start();
  }

  void one_step() {
    if (!rig_.step(3).ok()) files_.no_faults();
  }

  void check_day() {
    for (const Policy& policy : policies()) {
      int64_t last = 0;
      for (const PolicyRun& run : rig_.engine->runs(policy.name)) {
        ASSERT_GT(run.due_ms, last) << policy.name << " " << run.id << " is due twice";
        last = run.due_ms;
        last_due_.insert(run.id);
        if (run.finished()) {
          ASSERT_GE(run.finished_ms, run.started_ms);
        }
      }
    }
  }

  PolicyRig rig_;
  SimClock& clock_ = rig_.clock;
  SimFileSystem& files_ = rig_.files;
  SeededRandom& random_ = rig_.random;
  PolicySim& sim_ = rig_.sim;
  int64_t day_ = 0;
  std::set<std::string> last_due_;
};

TEST(PolicySim, TwoYearsWithFaultsAndCrashes) {
  for (const uint64_t seed : sim_seeds(1)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    PolicyYears years(seed);
    ASSERT_NO_FATAL_FAILURE(years.go_on(730, true));
    // The faults end; what is left is done, told, and counts are what the rules say.
    ASSERT_NO_FATAL_FAILURE(years.go_on(30, false));
    years.check_end();
    const PolicySim::Seen& seen = years.sim().seen;
    EXPECT_GT(seen.crashes, 20u);
    EXPECT_GT(seen.snapshots_deleted, 1'000u);
    EXPECT_GT(seen.points_deleted, 100u);
    EXPECT_GT(seen.pulls, 2'000u);
    EXPECT_GT(seen.bad.size(), 20u);
    std::map<std::string, unsigned> in_aws;
    for (const auto& [place, snapshots] : years.sim().all_snapshots()) {
      for (const auto& [id, snapshot] : snapshots) {
        ++in_aws[snapshot.tag(kTagPolicy) + " " + snapshot.volume];
      }
    }
    for (const auto& [key, count] : in_aws) {
      // The rule's number, the base of the next pull, and one that a run still works on.
      const unsigned most = key.starts_with("nightly") ? 3 + 2
                            : key.starts_with("often") ? 6 + 3
                                                       : 6;
      EXPECT_LE(count, most) << key;
      EXPECT_GE(count, 1u);
    }
    std::printf(
        "seed %llu: %llu snapshots made, %llu deleted, %llu pulls (%llu in full), %llu points "
        "deleted, %llu crashes, %zu bad snapshots, %llu freezes, %zu runs told\n",
        static_cast<unsigned long long>(seed), static_cast<unsigned long long>(seen.snapshots_made),
        static_cast<unsigned long long>(seen.snapshots_deleted),
        static_cast<unsigned long long>(seen.pulls),
        static_cast<unsigned long long>(seen.pulls_in_full),
        static_cast<unsigned long long>(seen.points_deleted),
        static_cast<unsigned long long>(seen.crashes), seen.bad.size(),
        static_cast<unsigned long long>(seen.freezes), seen.told.size());
  }
}

}  // namespace
}  // namespace coldshelf::test
