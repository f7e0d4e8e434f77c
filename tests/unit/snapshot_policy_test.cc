// Policies: what they say, what they choose, and single steps of runs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "snapshot/policy_report.h"
#include "tests/support/policy_rig.h"

namespace coldshelf::test {
namespace {

using Json = nlohmann::json;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr int64_t kMinute = 60'000;
constexpr int64_t kHour = 60 * kMinute;
constexpr int64_t kDay = 24 * kHour;
const PolicyPlace kPlace{"", "eu-central-1"};

Json example() {
  return Json::parse(R"({
    "name": "nightly", "schedule": "*-*-* 02:30 UTC", "accounts": ["prod"],
    "regions": ["eu-central-1"], "tags": {"Backup": "true"}, "exclude_tags": {"Tmp": "*"},
    "boot_volumes": false, "by_instance": true, "pre_command": "freeze '{instance}' \"a b\"",
    "post_command": ["thaw", "{instance}"], "pre_timeout": "20s", "longest_freeze": "2min",
    "quiesce_required": true, "add_tags": {"Owner": "me"},
    "keep_in_aws": {"last": 2, "age": "7d"}, "keep_in_archive": {"daily": 14, "yearly": 7},
    "notify": "failure"})");
}

TEST(PolicyJson, IsReadAndWritten) {
  const auto policy = policy_from_json(example());
  ASSERT_TRUE(policy.ok()) << policy.error().message();
  EXPECT_EQ(policy->name, "nightly");
  EXPECT_THAT(policy->commands.pre, ElementsAre("freeze", "{instance}", "a b"));
  EXPECT_EQ(policy->commands.pre_timeout_ms, 20'000);
  EXPECT_EQ(policy->commands.longest_ms, 120'000);
  EXPECT_FALSE(policy->boot_volumes);
  EXPECT_TRUE(policy->pull);
  EXPECT_EQ(policy->keep_in_aws.keep_last, 2u);
  EXPECT_EQ(policy->keep_in_aws.keep_for_ms, 7 * kDay);
  EXPECT_EQ(policy->keep_in_archive.yearly, 7u);
  EXPECT_EQ(policy->notify, PolicyNotify::failure);
  const auto again = policy_from_json(policy_to_json(*policy));
  ASSERT_TRUE(again.ok()) << again.error().message();
  EXPECT_EQ(*again, *policy);
}

TEST(PolicyJson, SaysWhatIsWrong) {
  const auto error = [](const char* key, const Json& value) {
    Json json = example();
    if (value.is_null()) {
      json.erase(key);
    } else {
      json[key] = value;
    }
    const auto policy = policy_from_json(json);
    return policy.ok() ? std::string("accepted") : policy.error().context;
  };
  EXPECT_THAT(error("name", "a/b"), HasSubstr("name: a policy has 1 to 64"));
  EXPECT_THAT(error("name", ".."), HasSubstr("name:"));
  EXPECT_THAT(error("schedule", "25:00"), HasSubstr("hour is from 0 to 23"));
  EXPECT_THAT(error("tags", nullptr), HasSubstr("say which volumes"));
  EXPECT_THAT(error("tags", Json::object()), HasSubstr("say which volumes"));
  EXPECT_THAT(error("tags", {{"a", 1}}), HasSubstr("must be a string"));
  EXPECT_THAT(error("pre_command", "'open"), HasSubstr("pre_command: a quote"));
  EXPECT_THAT(error("post_command", nullptr), HasSubstr("post_command: is needed"));
  EXPECT_THAT(error("pre_timeout", "20"), HasSubstr("pre_timeout: must be a time"));
  EXPECT_THAT(error("pre_timeout", "2h"), HasSubstr("pre_timeout: must be a time"));
  EXPECT_THAT(error("keep_in_aws", {{"last", -1}}), HasSubstr("keep_in_aws.last"));
  EXPECT_THAT(error("keep_in_aws", {{"latest", 1}}), HasSubstr("keep_in_aws: knows no 'latest'"));
  EXPECT_THAT(error("keep_in_aws", {{"age", "7 days"}}), HasSubstr("keep_in_aws.age"));
  EXPECT_THAT(error("add_tags", {{"coldshelf:run", "x"}}), HasSubstr("reserved"));
  EXPECT_THAT(error("notify", "sometimes"), HasSubstr("notify: must be"));
  EXPECT_THAT(error("enabled", "yes"), HasSubstr("enabled: must be true or false"));
  EXPECT_THAT(error("retention", 1), HasSubstr("retention: a policy has no such key"));
  EXPECT_FALSE(policy_from_json(Json::array()).ok());
}

TEST(PolicyPlan, HoweverLongWeWereAwayItIsOneRun) {
  const auto daily = CalendarExpression::parse("daily UTC");
  const int64_t day = 20'000 * kDay;
  EXPECT_FALSE(due_run(*daily, day, day + kDay - 1).has_value());
  const auto one = due_run(*daily, day, day + kDay);
  ASSERT_TRUE(one.has_value());
  EXPECT_EQ(one->due_ms, day + kDay);
  EXPECT_EQ(one->missed, 0u);
  const auto many = due_run(*daily, day, day + 10 * kDay + 5);
  EXPECT_EQ(many->due_ms, day + 10 * kDay);
  EXPECT_EQ(many->missed, 9u);
  EXPECT_TRUE(due_run(*daily, 0, day).has_value());  // 54 years
}

TEST(PolicyPlan, ChoosesVolumesByInstance) {
  Policy policy;
  policy.exclude_tags = {{"Backup", "never"}};
  const std::vector<CloudVolume> volumes = {{"vol-3", "in-use", "i-1", 8, {}},
                                            {"vol-1", "in-use", "i-1", 8, {}},
                                            {"vol-2", "available", "", 8, {}},
                                            {"vol-4", "creating", "", 8, {}},
                                            {"vol-5", "in-use", "i-2", 8, {{"Backup", "never"}}}};
  const PolicyTargets chosen = choose_targets(policy, kPlace, volumes);
  ASSERT_THAT(chosen.targets, SizeIs(2));
  EXPECT_EQ(chosen.targets[0].instance, "i-1");
  EXPECT_THAT(chosen.targets[0].volumes, ElementsAre("vol-1", "vol-3"));
  EXPECT_THAT(chosen.targets[1].volumes, ElementsAre("vol-2"));
  EXPECT_THAT(chosen.skipped, SizeIs(2));
  policy.by_instance = false;
  EXPECT_THAT(choose_targets(policy, kPlace, volumes).targets, SizeIs(3));
}

TEST(PolicyPlan, WhatStandsOnAPointGoesBeforeIt) {
  Policy policy;
  policy.name = "p";
  policy.keep_in_archive.keep_last = 1;
  std::vector<ArchivePoint> points;
  for (int i = 0; i < 4; ++i) {
    ArchivePoint point;
    point.archive = "a";
    point.point = std::to_string(i);
    point.started_ms = i;
    point.tags = {{kTagPolicy, "p"}, {kTagGateway, "g"}};
    if (i == 1 || i == 2) point.bases = {std::to_string(i - 1)};
    points.push_back(point);
  }
  const auto gone = plan_archive_retention(policy, "g", points, kDay, utc_zone_offset);
  ASSERT_THAT(gone, SizeIs(3));
  EXPECT_EQ(gone[0].point, "2");
  EXPECT_EQ(gone[1].point, "1");
  EXPECT_EQ(gone[2].point, "0");
  EXPECT_THAT(plan_archive_retention(policy, "other", points, kDay, utc_zone_offset), IsEmpty());
}

// Restored snapshots and copies have no volume: as one chain the rule would delete all but one.
TEST(PolicyPlan, ASnapshotWithoutAVolumeIsNobodysGeneration) {
  Policy policy;
  policy.name = "p";
  policy.keep_in_aws.keep_last = 1;
  std::vector<CloudSnapshot> snapshots;
  for (int i = 0; i < 4; ++i) {
    CloudSnapshot snapshot;
    snapshot.id = "snap-" + std::to_string(i);
    snapshot.volume = i < 2 ? "vol-ffffffff" : "vol-1";
    snapshot.state = PointState::good;
    snapshot.started_ms = i;
    snapshot.tags = {{kTagPolicy, "p"}};
    snapshots.push_back(snapshot);
  }
  const auto gone = plan_aws_retention(policy, kPlace, snapshots, {}, {}, kDay, utc_zone_offset);
  ASSERT_THAT(gone, SizeIs(1));
  EXPECT_EQ(gone[0].snapshot, "snap-2");
}

TEST(PolicyPlan, TwoPoliciesOnOneVolumeKeepTheirOwnGenerations) {
  Policy hourly;
  hourly.name = "hourly";
  hourly.keep_in_archive.hourly = 24;
  Policy daily;
  daily.name = "daily";
  daily.keep_in_archive.daily = 14;
  std::vector<ArchivePoint> points;
  int made = 0;
  const auto run = [&](const Policy& policy, int64_t now_ms) {
    ArchivePoint point;
    point.archive = "vol-1";
    point.point = std::to_string(++made);
    point.started_ms = now_ms;
    point.tags = {{kTagPolicy, policy.name}, {kTagGateway, "g"}};
    points.push_back(point);
    for (const auto& gone : plan_archive_retention(policy, "g", points, now_ms, utc_zone_offset)) {
      std::erase_if(points, [&](const ArchivePoint& p) { return p.point == gone.point; });
    }
  };
  constexpr int64_t kStart = 20'000 * kDay;
  for (int64_t hour = 0; hour < 40 * 24; ++hour) {
    run(hourly, kStart + hour * kHour);
    if (hour % 24 == 2) run(daily, kStart + hour * kHour + kHour / 2);
  }
  std::map<std::string, unsigned> kept;
  int64_t oldest_ms = kStart + 40 * kDay;
  for (const ArchivePoint& point : points) {
    ++kept[point.tag(kTagPolicy)];
    oldest_ms = std::min(oldest_ms, point.started_ms);
  }
  EXPECT_EQ(kept["hourly"], 24u);
  EXPECT_EQ(kept["daily"], 14u);
  EXPECT_EQ(oldest_ms, kStart + 26 * kDay + 2 * kHour + kHour / 2);
}

class PolicyEngineTest : public testing::Test {
 protected:
  PolicyEngineTest() {
    policy_.name = "nightly";
    policy_.schedule = "daily UTC";
    policy_.tags = {{"Backup", "true"}};
    first_ = sim_.add_volume(kPlace, "i-1", {{"Backup", "true"}, {"Name", "data"}});
    second_ = sim_.add_volume(kPlace, "i-1", {{"Backup", "true"}});
    other_ = sim_.add_volume(kPlace, "i-1", {});
  }
  void start() {
    const Status opened = rig_.start({policy_});
    ASSERT_TRUE(opened.ok()) << opened.error().message();
  }
  void go_on(int64_t ms) {
    for (const int64_t end = clock_.unix_ms() + ms; clock_.unix_ms() < end;) {
      clock_.advance_ms(10 * kMinute);
      const Status stepped = rig_.step(5);
      ASSERT_TRUE(stepped.ok()) << stepped.error().message();
    }
    ASSERT_TRUE(sim_.seen.broken.empty()) << sim_.seen.broken.front();
  }
  void go_on_until(PolicyRun::Phase phase) {
    const auto there = [&] { return !last_run().id.empty() && last_run().phase == phase; };
    for (int i = 0; i < 400 && !there(); ++i) {
      clock_.advance_ms(5 * kMinute);
      ASSERT_TRUE(engine_->step().ok());
    }
    ASSERT_TRUE(there());
  }
  PolicyRun last_run() {
    const auto runs = engine_->runs("nightly");
    return runs.empty() ? PolicyRun() : runs.back();
  }

  PolicyRig rig_{1, 1};
  SimClock& clock_ = rig_.clock;
  PolicySim& sim_ = rig_.sim;
  std::unique_ptr<PolicyEngine>& engine_ = rig_.engine;
  Policy policy_;
  std::string first_, second_, other_;
};

TEST_F(PolicyEngineTest, ARunMakesPullsAndTells) {
  start();
  go_on(2 * kDay);
  const auto runs = engine_->runs("nightly");
  ASSERT_THAT(runs, SizeIs(2));
  EXPECT_TRUE(runs[0].finished());
  EXPECT_TRUE(runs[0].notified);
  EXPECT_THAT(runs[0].done, ElementsAre(HasSubstr("eu-central-1 " + first_ + ": snap-"),
                                        HasSubstr("made and pulled")));
  EXPECT_THAT(runs[0].failed, IsEmpty());
  EXPECT_EQ(sim_.seen.told[runs[0].id], 1u);
  EXPECT_THAT(sim_.all_points(), SizeIs(testing::Ge(2)));
  const CloudSnapshot& snapshot = sim_.all_snapshots().at(kPlace).begin()->second;
  EXPECT_EQ(snapshot.tag(kTagPolicy), "nightly");
  EXPECT_EQ(snapshot.tag(kTagRun), runs[0].id);
  EXPECT_EQ(snapshot.tag(kTagGateway), "sgw-1");
}

TEST_F(PolicyEngineTest, ALostAnswerMakesNoSecondSnapshot) {
  start();
  go_on_until(PolicyRun::Phase::choose);
  sim_.lost_creations = 1;
  for (int i = 0; i < 5 && sim_.lost_creations > 0; ++i) ASSERT_TRUE(engine_->step().ok());
  ASSERT_EQ(sim_.seen.snapshots_made, 2u);
  go_on(6 * kHour);
  EXPECT_EQ(sim_.seen.snapshots_made, 2u);
  EXPECT_TRUE(last_run().finished());
  EXPECT_THAT(last_run().failed, IsEmpty());
}

// Nor when freezing took longer than the pause before the next attempt: what was made is not listed
// yet.
TEST_F(PolicyEngineTest, ALostAnswerBehindALongFreezeMakesNoSecondSnapshot) {
  policy_.commands.pre = {"freeze"};
  policy_.commands.post = {"thaw"};
  sim_.freeze_ms = 10 * kMinute;
  sim_.listed_after_ms = 30'000;
  for (const bool crash : {false, true}) {
    start();
    go_on_until(PolicyRun::Phase::choose);
    const uint64_t before = sim_.seen.snapshots_made;
    sim_.lost_creations = crash ? 0 : 1;
    sim_.crash_after_create = crash;
    try {
      for (int i = 0; i < 5 && sim_.seen.snapshots_made == before; ++i) {
        ASSERT_TRUE(engine_->step().ok());
      }
      ASSERT_FALSE(crash);
    } catch (const PolicySimCrash&) {
      start();
    }
    for (int i = 0; i < 120; ++i) {
      clock_.advance_ms(1'000);
      ASSERT_TRUE(rig_.step(5).ok());
    }
    go_on(6 * kHour);
    EXPECT_TRUE(last_run().finished());
    EXPECT_THAT(last_run().failed, IsEmpty());
  }
  EXPECT_EQ(sim_.seen.snapshots_made, 4u);
}

TEST_F(PolicyEngineTest, TagsThatAreChangedMeanwhileLoseNoSnapshots) {
  policy_.add_tags = {{"Owner", "me"}};
  start();
  go_on_until(PolicyRun::Phase::settle);
  const std::string run = last_run().id;
  policy_.add_tags = {{"Owner", "you"}, {"Cost", "1"}};
  start();
  go_on(6 * kHour);
  ASSERT_EQ(last_run().id, run);
  EXPECT_TRUE(last_run().finished());
  EXPECT_THAT(last_run().failed, IsEmpty());
  EXPECT_THAT(last_run().done, SizeIs(2));
}

// EC2 refuses a root volume among those left out; the data volumes are made all the same.
TEST_F(PolicyEngineTest, ARootVolumeThatIsNotChosenIsLeftOut) {
  const std::string root = sim_.add_volume(kPlace, "i-2", {});
  const std::string data = sim_.add_volume(kPlace, "i-2", {{"Backup", "true"}});
  for (const bool boot_volumes : {true, false}) {
    policy_.boot_volumes = boot_volumes;
    start();
    go_on(kDay + 2 * kHour);
    EXPECT_THAT(last_run().failed, IsEmpty());
    EXPECT_THAT(last_run().done, Contains(HasSubstr(data)));
    EXPECT_THAT(last_run().done, testing::Not(Contains(HasSubstr(root))));
  }
  // Of the other instance it is the boot volume that was chosen.
  EXPECT_THAT(last_run().skipped, ElementsAre(HasSubstr(first_ + ": a boot volume")));
}

TEST_F(PolicyEngineTest, OfABootVolumeAloneNothingIsMadeAndThatIsSaid) {
  policy_.tags = {{"Name", "data"}};  // first_, the root of i-1
  policy_.boot_volumes = false;
  start();
  go_on(kDay + 2 * kHour);
  EXPECT_EQ(sim_.seen.snapshots_made, 0u);
  EXPECT_THAT(last_run().failed, IsEmpty());
  EXPECT_THAT(last_run().skipped, ElementsAre(HasSubstr(first_ + ": a boot volume")));
}

TEST_F(PolicyEngineTest, MoreVolumesLeftOutThanEc2TakesIsAFailureOfItsOwn) {
  const std::string root = sim_.add_volume(kPlace, "i-2", {});
  const std::string data = sim_.add_volume(kPlace, "i-2", {{"Backup", "true"}});
  for (size_t i = 0; i < kMaxLeftOut; ++i) sim_.add_volume(kPlace, "i-2", {});
  start();
  go_on(kDay + 2 * kHour);
  EXPECT_THAT(last_run().failed, IsEmpty());
  sim_.add_volume(kPlace, "i-2", {});
  go_on(kDay);
  EXPECT_THAT(last_run().failed, ElementsAre(AllOf(HasSubstr(data), HasSubstr("at most 40"))));
}

TEST_F(PolicyEngineTest, WhatWasMissedIsCaughtUpOnce) {
  start();
  go_on(kDay + kHour);
  const size_t before = engine_->runs("nightly").size();
  engine_.reset();
  clock_.advance_ms(9 * kDay);
  start();
  go_on(2 * kHour);
  const auto runs = engine_->runs("nightly");
  ASSERT_EQ(runs.size(), before + 1);
  EXPECT_EQ(runs.back().missed, 8u);
}

TEST_F(PolicyEngineTest, ANewOrDisabledPolicyDoesNotCatchUp) {
  start();
  ASSERT_TRUE(engine_->step().ok());
  EXPECT_THAT(engine_->runs("nightly"), IsEmpty());
  policy_.enabled = false;
  start();
  go_on(5 * kDay);
  EXPECT_THAT(engine_->runs("nightly"), IsEmpty());
  policy_.enabled = true;
  start();
  ASSERT_TRUE(engine_->step().ok());
  EXPECT_THAT(engine_->runs("nightly"), IsEmpty());
  go_on(kDay);
  EXPECT_THAT(engine_->runs("nightly"), SizeIs(1));
}

// What the new schedule would have had due before is nothing that was missed: nothing is frozen in
// the middle of the day.
TEST_F(PolicyEngineTest, AnotherScheduleDoesNotCatchUp) {
  policy_.schedule = "monthly UTC";
  start();
  go_on(2 * kHour);
  Policy mine = policy_;
  mine.name = "mine";
  mine.schedule = "";
  ASSERT_TRUE(engine_->put(mine).ok());
  go_on(5 * kDay + 2 * kHour);
  const size_t before = engine_->runs("nightly").size();
  policy_.schedule = "daily UTC";
  start();
  mine.schedule = "daily UTC";
  ASSERT_TRUE(engine_->put(mine).ok());
  ASSERT_TRUE(engine_->step().ok());
  EXPECT_THAT(engine_->runs("nightly"), SizeIs(before));
  EXPECT_THAT(engine_->runs("mine"), IsEmpty());
  start();  // the same schedule: what is missed now counts
  engine_.reset();
  clock_.advance_ms(3 * kDay);
  start();
  ASSERT_TRUE(engine_->step().ok());
  EXPECT_THAT(engine_->runs("nightly"), SizeIs(before + 1));
  EXPECT_EQ(last_run().missed, 2u);
  EXPECT_THAT(engine_->runs("mine"), SizeIs(1));
}

TEST_F(PolicyEngineTest, QuiescingThatFailsIsToldAndOnlyStopsWhoAsksForIt) {
  policy_.commands.pre = {"freeze"};
  policy_.commands.post = {"thaw"};
  sim_.faults.quiesce = 1;
  start();
  go_on(kDay + 2 * kHour);
  EXPECT_EQ(sim_.seen.snapshots_made, 2u);
  EXPECT_THAT(last_run().failed, ElementsAre(HasSubstr("i-1: not quiesced, crash-consistent")));
  EXPECT_THAT(sim_.seen.text, HasSubstr("not quiesced"));
  policy_.quiesce_required = true;
  start();
  go_on(2 * kDay);
  EXPECT_EQ(sim_.seen.snapshots_made, 2u);
  EXPECT_THAT(engine_->runs("nightly")[1].failed, Contains(HasSubstr("fsfreeze: exit code 1")));
}

TEST_F(PolicyEngineTest, ARunByHandAndWhatItWouldDo) {
  policy_.schedule = "";
  policy_.keep_in_aws.keep_last = 1;
  policy_.keep_in_archive.keep_last = 1;
  start();
  const auto plan = engine_->preview("nightly");
  ASSERT_TRUE(plan.ok()) << plan.error().message();
  ASSERT_THAT(plan->targets, SizeIs(1));
  EXPECT_THAT(plan->targets[0].volumes, ElementsAre(first_, second_));
  EXPECT_EQ(sim_.seen.snapshots_made, 0u);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(engine_->run_now("nightly").ok());
    go_on(4 * kHour);
  }
  EXPECT_EQ(engine_->runs("nightly").size(), 3u);
  EXPECT_TRUE(last_run().finished());
  EXPECT_EQ(sim_.seen.snapshots_deleted, 4u);
  EXPECT_EQ(engine_->run_now("other").error().code, ErrorCode::not_found);
  const auto report = make_policy_report(*engine_, "nightly", {});
  ASSERT_TRUE(report.ok());
  ASSERT_THAT(report->volumes, SizeIs(2));
  EXPECT_EQ(report->volumes[0].volume, first_);
  EXPECT_EQ(report->volumes[0].in_aws, 1u);
  EXPECT_GT(report->pull_cost, 0);
  EXPECT_GT(report->aws_cost_month, 0);
}

TEST_F(PolicyEngineTest, APullIntoAnArchiveOnTheShelfIsSkippedAndSaid) {
  policy_.notify = PolicyNotify::failure;
  policy_.keep_in_archive.keep_last = 1;
  start();
  go_on(2 * kDay);
  EXPECT_THAT(sim_.seen.notifications, IsEmpty()) << "all went well";
  sim_.on_shelf.insert(first_);
  start();
  go_on(kDay);
  const PolicyRun run = last_run();
  EXPECT_TRUE(run.finished());
  EXPECT_THAT(run.failed, IsEmpty());
  EXPECT_THAT(run.skipped,
              Contains(AllOf(HasSubstr(first_), HasSubstr("skipped, archived: retrieve first"))));
  EXPECT_EQ(run.not_pulled(), 1u);
  const auto item = [](const PolicyRun& r, const std::string& volume) {
    for (const PolicyItem& i : r.items) {
      if (i.volume == volume) return i;
    }
    return PolicyItem();
  };
  EXPECT_EQ(item(run, first_).state, PolicyItemState::archived);
  EXPECT_EQ(item(run, first_).attempts, 1u) << "it is not tried again";
  EXPECT_EQ(item(run, second_).state, PolicyItemState::done);
  ASSERT_THAT(sim_.seen.notifications, SizeIs(1)) << "nothing failed, and yet it is told";
  const Notification& told = sim_.seen.notifications[0];
  EXPECT_EQ(told.event, "policy.archived");
  EXPECT_EQ(told.severity, NotificationSeverity::warning);
  EXPECT_THAT(told.skipped, Contains(HasSubstr("skipped, archived: retrieve first")));
  EXPECT_THAT(told.fields, Contains(std::pair<std::string, std::string>("skipped_archived", "1")));
  // The journal keeps it.
  start();
  EXPECT_EQ(item(last_run(), first_).state, PolicyItemState::archived);
  EXPECT_EQ(to_string(PolicyItemState::archived), "skipped-archived");
  const auto report = make_policy_report(*engine_, "nightly", {});
  ASSERT_TRUE(report.ok());
  ASSERT_EQ(report->volumes[0].volume, first_);
  EXPECT_EQ(report->volumes[0].archive_status, "ARCHIVED");
  EXPECT_EQ(report->volumes[0].points.back().state, "skipped-archived");
  EXPECT_EQ(report->volumes[1].points.back().state, "done");
  // What is to expire there waits, and that is no failure either.
  policy_.keep_in_archive.keep_last = 1;
  sim_.on_shelf.clear();
  start();
  go_on(kDay);
  EXPECT_THAT(last_run().failed, IsEmpty());
  EXPECT_EQ(last_run().not_pulled(), 0u);
  EXPECT_EQ(item(last_run(), first_).state, PolicyItemState::done);
}

// The receiver is away for longer than runs are kept: what it takes then is of runs that have gone.
TEST_F(PolicyEngineTest, ANotificationOfARunThatHasGoneComesBack) {
  policy_.schedule = "every 15min";
  policy_.tags = {{"Backup", "nothing has it"}};
  start();
  const int64_t end = clock_.unix_ms() + 28 * kHour;
  while (clock_.unix_ms() < end) {
    clock_.advance_ms(15 * kMinute);
    for (int i = 0; i < 4; ++i) ASSERT_TRUE(engine_->step().ok());
  }
  std::map<std::string, std::set<std::string>> ids;
  for (const Notification& told : sim_.seen.notifications) {
    for (const auto& [name, value] : told.fields) {
      if (name == "run") ids[value].insert(told.id);
    }
  }
  EXPECT_GT(ids.size(), engine_->runs("nightly").size()) << "none was pruned";
  EXPECT_THAT(ids, testing::Each(testing::Pair(testing::_, SizeIs(1)))) << "a run has one id";
  sim_.deliver();
  ASSERT_TRUE(engine_->step().ok());
  ASSERT_THAT(engine_->runs("nightly"), SizeIs(100));
  start();
  EXPECT_THAT(engine_->runs("nightly"), SizeIs(100)) << "a run that was pruned is back";
}

TEST_F(PolicyEngineTest, TheApiMakesChangesAndDeletesItsOwn) {
  start();
  Policy mine = policy_;
  EXPECT_EQ(engine_->put(mine).error().code, ErrorCode::conflict);
  EXPECT_EQ(engine_->remove("nightly").error().code, ErrorCode::conflict);
  mine.name = "mine";
  ASSERT_TRUE(engine_->put(mine).ok());
  start();
  EXPECT_THAT(engine_->policies(), SizeIs(2));
  EXPECT_EQ(engine_->policy("mine")->policy, mine);
  ASSERT_TRUE(engine_->run_now("mine").ok());
  ASSERT_TRUE(engine_->remove("mine").ok());
  ASSERT_TRUE(engine_->step().ok());
  EXPECT_THAT(engine_->runs("mine").at(0).failed, ElementsAre(HasSubstr("was deleted")));
  start();
  EXPECT_THAT(engine_->policies(), SizeIs(1));
  EXPECT_EQ(engine_->remove("mine").error().code, ErrorCode::not_found);
}

// The gateway stops at every place of a run, and nothing is told as failed for it.
TEST_F(PolicyEngineTest, AStopIsNoFailure) {
  policy_.keep_in_aws.keep_last = 1;
  policy_.schedule = "";
  for (unsigned calls = 0; calls < 30; ++calls) {
    start();
    go_on(kHour);
    ASSERT_TRUE(engine_->run_now("nightly").ok());
    const std::string run = last_run().id;
    sim_.calls_left = calls;
    for (int i = 0; i < 60; ++i) {
      clock_.advance_ms(5 * kMinute);
      ASSERT_TRUE(rig_.step(5).ok());
      if (*sim_.calls_left == 0) break;
    }
    for (int i = 0; i < 7; ++i) ASSERT_TRUE(rig_.step(5).ok());
    sim_.calls_left.reset();
    start();
    go_on(4 * kHour);
    ASSERT_EQ(last_run().id, run);
    EXPECT_TRUE(last_run().finished()) << calls;
    EXPECT_THAT(last_run().failed, IsEmpty()) << calls;
  }
}

// EC2 answers again before the attempts are over: what was left is deleted, and each only once.
TEST_F(PolicyEngineTest, DeletionsThatAreNotAnsweredAreTriedAgain) {
  policy_.keep_in_aws.keep_last = 1;
  start();
  go_on(kDay + 2 * kHour);
  go_on_until(PolicyRun::Phase::create);
  for (int i = 0; i < 100 && !(last_run().phase == PolicyRun::Phase::retain); ++i) {
    clock_.advance_ms(5 * kMinute);
    ASSERT_TRUE(rig_.step(5).ok());
  }
  const uint64_t before = sim_.seen.snapshots_deleted;
  sim_.unanswered_deletions = 5;
  ASSERT_TRUE(engine_->step().ok());
  ASSERT_TRUE(engine_->step().ok());
  EXPECT_EQ(sim_.unanswered_deletions, 3u) << "two in a row are enough";
  EXPECT_FALSE(last_run().finished());
  go_on(2 * kHour);
  EXPECT_EQ(sim_.seen.snapshots_deleted, before + 2);
  EXPECT_TRUE(last_run().finished());
  EXPECT_THAT(last_run().failed, IsEmpty());
}

// A clock that is a year ahead makes nothing old: AWS says what time it is.
TEST_F(PolicyEngineTest, AClockThatIsAheadExpiresNothing) {
  policy_.keep_in_aws.keep_for_ms = 30 * kDay;
  policy_.keep_in_archive.keep_for_ms = 30 * kDay;
  start();
  go_on(10 * kDay);
  sim_.gateway_ahead_ms = 400 * kDay;
  clock_.advance_ms(400 * kDay);
  const auto plan = engine_->preview("nightly");
  ASSERT_TRUE(plan.ok());
  EXPECT_THAT(plan->aws_deletions, IsEmpty());
  EXPECT_THAT(plan->archive_deletions, IsEmpty());
  go_on(3 * kDay);
  EXPECT_EQ(sim_.seen.snapshots_deleted, 0u);
  EXPECT_EQ(sim_.seen.points_deleted, 0u);
  EXPECT_TRUE(last_run().finished());
  // By the right clock things expire.
  sim_.gateway_ahead_ms = 0;
  go_on(2 * kDay);
  EXPECT_GT(sim_.seen.snapshots_deleted, 10u);
}

// What was written down meanwhile keeps nothing waiting once the clock is right again.
TEST_F(PolicyEngineTest, AClockThatWasWrongStopsNoSchedule) {
  start();
  go_on(kDay + 4 * kHour);
  for (const int64_t wrong_by : {400 * kDay, -400 * kDay}) {
    const size_t before = engine_->runs("nightly").size();
    clock_.advance_ms(wrong_by);
    sim_.faults.refused = 1;  // and a run waits for another attempt
    ASSERT_TRUE(engine_->run_now("nightly").ok());
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(engine_->step().ok());
    sim_.faults = {};
    clock_.advance_ms(-wrong_by);
    start();  // and a restart, which reads the journal
    go_on(3 * kDay);
    const auto runs = engine_->runs("nightly");
    EXPECT_GE(runs.size(), before + 1 + 3) << wrong_by;
    EXPECT_LE(runs.size(), before + 1 + 4) << wrong_by;  // one was due by the wrong clock
    for (const PolicyRun& run : runs) EXPECT_TRUE(run.finished()) << wrong_by << " " << run.id;
    EXPECT_THAT(engine_->policy("nightly")->next_ms - clock_.unix_ms(), testing::Le(kDay));
  }
}

TEST_F(PolicyEngineTest, APlaceThatDoesNotAnswerHoldsUpNoOther) {
  const PolicyPlace silent{"", "af-south-1"};
  const PolicyPlace last{"", "us-east-1"};
  sim_.add_volume(silent, "", {{"Backup", "true"}});
  sim_.add_volume(last, "", {{"Backup", "true"}});
  sim_.silent.insert(silent.region);
  policy_.schedule = "*-*-* 02:30 UTC";
  start();
  uint64_t changes = 0;
  int idle_steps = 0;
  while (last_run().items.size() < 3 || sim_.seen.snapshots_made < 3) {
    clock_.advance_ms(10'000);
    ASSERT_TRUE(engine_->step().ok());
    ASSERT_FALSE(last_run().finished());
  }
  EXPECT_LE(clock_.unix_ms() - last_run().due_ms, 6 * kMinute) << "one call of the silent place";
  // While it waits nothing is written down again and again.
  for (int i = 0; i < 20; ++i) {
    clock_.advance_ms(1'000);
    changes = engine_->changes();
    ASSERT_TRUE(engine_->step().ok());
    if (engine_->changes() == changes) ++idle_steps;
  }
  EXPECT_GE(idle_steps, 19);
  go_on(3 * kHour);
  EXPECT_TRUE(last_run().finished());
  EXPECT_EQ(sim_.seen.snapshots_made, 3u);
  EXPECT_THAT(last_run().failed, ElementsAre(HasSubstr("af-south-1: DescribeVolumes: no answer")));
}

TEST_F(PolicyEngineTest, NothingToDoIsSaid) {
  policy_.tags = {{"Backup", "weekly"}};
  start();
  go_on(kDay + kHour);
  EXPECT_THAT(last_run().skipped, ElementsAre(HasSubstr("no volume carries")));
  EXPECT_THAT(last_run().failed, IsEmpty());
}

}  // namespace
}  // namespace coldshelf::test
