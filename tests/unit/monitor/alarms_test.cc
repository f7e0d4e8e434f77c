// When an alarm rings and when it stops.
#include "gateway/alarms.h"

#include <gtest/gtest.h>

#include <set>

#include "gateway/alarm_rules.h"

namespace coldshelf {
namespace {

constexpr int64_t kMinute = 60'000;
constexpr int64_t kStart = 1'790'000'000'000;

class AlarmsTest : public testing::Test {
 protected:
  void see(Condition condition, int64_t minutes, const std::string& subject = "") {
    alarms.observe({{"slow", subject, condition, "detail"}}, kStart + minutes * kMinute);
  }
  std::vector<Alarm> told;
  Alarms alarms{{{"slow", AlarmSeverity::warning, "help", 20 * kMinute, 5 * kMinute},
                 {"broken", AlarmSeverity::critical, "help", 0, 0}},
                [this](const Alarm& alarm) { told.push_back(alarm); }};
};

TEST_F(AlarmsTest, RingsOnceAfterItsTime) {
  see(Condition::bad, 0);
  see(Condition::bad, 19);
  EXPECT_TRUE(alarms.active().empty());
  see(Condition::bad, 20);
  see(Condition::bad, 40);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].name, "slow");
  EXPECT_EQ(told[0].raised_ms, kStart + 20 * kMinute);
  EXPECT_EQ(alarms.active().size(), 1U);
}

TEST_F(AlarmsTest, WhatFlickersDoesNotRing) {
  for (int64_t minute = 0; minute < 100; minute += 10) {
    see(Condition::bad, minute);
    see(minute % 20 == 0 ? Condition::good : Condition::unclear, minute + 9);
  }
  EXPECT_TRUE(told.empty());
}

TEST_F(AlarmsTest, BetweenTheThresholdsItStaysOn) {
  see(Condition::bad, 0);
  see(Condition::bad, 20);
  see(Condition::unclear, 30);
  see(Condition::unclear, 90);
  EXPECT_EQ(alarms.active().size(), 1U);
  see(Condition::good, 91);
  see(Condition::unclear, 95);  // not good for five minutes
  see(Condition::good, 96);
  see(Condition::good, 100);
  EXPECT_EQ(alarms.active().size(), 1U);
  see(Condition::good, 101);
  EXPECT_TRUE(alarms.active().empty());
  ASSERT_EQ(told.size(), 2U);
  EXPECT_EQ(told[1].cleared_ms, kStart + 101 * kMinute);
  ASSERT_EQ(alarms.history().size(), 1U);
}

TEST_F(AlarmsTest, WhatIsGoneIsOver) {
  alarms.observe({{"broken", "tape A", Condition::bad, "x"}}, kStart);
  EXPECT_EQ(alarms.active().size(), 1U);
  alarms.observe({}, kStart + 1);
  EXPECT_TRUE(alarms.active().empty());
  EXPECT_EQ(told.size(), 2U);
}

TEST_F(AlarmsTest, CriticalOnesComeFirst) {
  see(Condition::bad, 0);
  alarms.observe({{"slow", "", Condition::bad, ""}, {"broken", "b", Condition::bad, ""}},
                 kStart + 30 * kMinute);
  ASSERT_EQ(alarms.active().size(), 2U);
  EXPECT_EQ(alarms.active()[0].name, "broken");
}

TEST_F(AlarmsTest, ARestartDoesNotRingAgain) {
  alarms.observe({{"broken", "tape A", Condition::bad, "x"}}, kStart);
  ASSERT_TRUE(alarms.acknowledge("broken", "tape A").ok());
  EXPECT_FALSE(alarms.acknowledge("broken", "tape B").ok());
  std::vector<Alarm> again;
  Alarms next(alarms.rules(), [&](const Alarm& alarm) { again.push_back(alarm); });
  ASSERT_TRUE(next.load(alarms.save()).ok());
  next.observe({{"broken", "tape A", Condition::bad, "x"}}, kStart + kMinute);
  EXPECT_TRUE(again.empty());
  ASSERT_EQ(next.active().size(), 1U);
  EXPECT_TRUE(next.active()[0].acknowledged);
  EXPECT_EQ(next.active()[0].raised_ms, kStart);
  next.observe({}, kStart + 2 * kMinute);
  EXPECT_EQ(again.size(), 1U);
}

TEST_F(AlarmsTest, DamagedStateIsRefusedAndWhatIsStrangeInItIgnored) {
  EXPECT_FALSE(alarms.load("{").ok());
  EXPECT_FALSE(alarms.load("").ok());
  EXPECT_TRUE(alarms.load(R"([1, {"name": 5}, {"name": "nobody"}, {"name": "broken"}])").ok());
  EXPECT_EQ(alarms.active().size(), 1U);
}

TEST_F(AlarmsTest, TheirNumberIsBounded) {
  std::vector<Observation> round;
  for (size_t i = 0; i < 2 * Alarms::kMostActive; ++i) {
    round.push_back({"broken", "tape " + std::to_string(i), Condition::bad, ""});
  }
  alarms.observe(round, kStart);
  EXPECT_EQ(alarms.active().size(), Alarms::kMostActive);
  alarms.observe({}, kStart + 1);
  EXPECT_EQ(alarms.history().size(), Alarms::kHistory);
}

// -- from the gateway's state to observations

Condition seen(const GatewayState& state, const std::string& alarm, int64_t now = kStart) {
  for (const Observation& one : observations(state, now)) {
    if (one.alarm == alarm) return one.condition;
  }
  return Condition::good;
}

TEST(AlarmRules, AQuietGatewayHasNone) {
  for (const Observation& one : observations({}, kStart)) {
    EXPECT_EQ(one.condition, Condition::good) << one.alarm;
  }
}

TEST(AlarmRules, EveryObservationHasItsRule) {
  GatewayState state;
  state.io_wait_percent = 50;
  state.data_directory = Error(ErrorCode::io, "gone");
  state.store = StoreMeter::Reach{0, kStart - 1, 3, "no route"};
  state.may_write = Error(ErrorCode::unavailable, "the lease ran out");
  state.tape_problems = {{"A", "x"}};
  state.drive_problems = {{1, "x"}};
  state.volume_problems = {{"v", "x"}};
  state.schedule_problems = {{"nightly", "x"}};
  state.certificate_expires_ms = kStart;
  JobRow job;
  job.id = 7;
  job.state = JobState::failed;
  job.updated_ms = kStart;
  state.jobs = {job};
  std::set<std::string> known, met;
  for (const AlarmRule& rule : alarm_rules()) {
    EXPECT_TRUE(known.insert(rule.name).second) << rule.name;
    EXPECT_FALSE(rule.help.empty()) << rule.name;
  }
  for (const Observation& one : observations(state, kStart)) met.insert(one.alarm);
  EXPECT_EQ(known, met);
}

TEST(AlarmRules, AwsRecommendedOnes) {
  GatewayState state;
  state.storage.cache_size_bytes = 100;
  state.storage.dirty_bytes = 80;
  EXPECT_EQ(seen(state, "cache_dirty"), Condition::bad);
  state.storage.dirty_bytes = 75;
  EXPECT_EQ(seen(state, "cache_dirty"), Condition::unclear);
  state.storage.dirty_bytes = 69;
  EXPECT_EQ(seen(state, "cache_dirty"), Condition::good);
  state.io_wait_percent = 20;
  EXPECT_EQ(seen(state, "io_wait"), Condition::bad);
  for (const AlarmRule& rule : alarm_rules()) {
    if (rule.name == "cache_dirty") {
      EXPECT_EQ(rule.raise_after_ms, 20 * kMinute);
    }
    if (rule.name == "io_wait") {
      EXPECT_EQ(rule.raise_after_ms, 15 * kMinute);
    }
  }
}

TEST(AlarmRules, ThresholdsAreConfigured) {
  Config::Alarms limits;
  limits.cache_dirty = {50, 40, 5 * kMinute};
  limits.store_failures = 7;
  limits.store_after_ms = 90'000;
  limits.lease_after_ms = 3 * kMinute;
  limits.disk_free_percent = 20;
  limits.disk_free_bytes = TiB;
  limits.disk_after_ms = 2 * kMinute;
  limits.job_remembered_ms = 60 * kMinute;
  limits.certificate_before_ms = 2 * 60 * kMinute;
  const auto now = [&](const GatewayState& state, const std::string& alarm) {
    for (const Observation& one : observations(state, kStart, limits)) {
      if (one.alarm == alarm) return one.condition;
    }
    return Condition::good;
  };
  GatewayState state;
  state.storage.cache_size_bytes = 100;
  state.storage.dirty_bytes = 50;
  EXPECT_EQ(now(state, "cache_dirty"), Condition::bad);
  state.storage.dirty_bytes = 45;
  EXPECT_EQ(now(state, "cache_dirty"), Condition::unclear);
  state.storage.dirty_bytes = 39;
  EXPECT_EQ(now(state, "cache_dirty"), Condition::good);
  state.store = StoreMeter::Reach{0, kStart - 1, 6, "no route"};
  EXPECT_EQ(now(state, "store_unreachable"), Condition::unclear);
  state.store->failures = 7;
  EXPECT_EQ(now(state, "store_unreachable"), Condition::bad);
  state.storage.disk_total_bytes = TiB;
  state.storage.disk_available_bytes = 200 * GiB;
  EXPECT_EQ(now(state, "disk_nearly_full"), Condition::bad);
  state.storage.disk_available_bytes = 400 * GiB;
  EXPECT_EQ(now(state, "disk_nearly_full"), Condition::good);
  JobRow job;
  job.state = JobState::failed;
  job.updated_ms = kStart - 61 * kMinute;
  state.jobs = {job};
  EXPECT_EQ(now(state, "job_failed"), Condition::good);
  state.certificate_expires_ms = kStart + 3 * 60 * kMinute;
  EXPECT_EQ(now(state, "certificate_expiring"), Condition::good);
  state.certificate_expires_ms = kStart + 60 * kMinute;
  EXPECT_EQ(now(state, "certificate_expiring"), Condition::bad);
  std::map<std::string, AlarmRule> rules;
  for (const AlarmRule& rule : alarm_rules(limits)) rules[rule.name] = rule;
  EXPECT_EQ(rules["cache_dirty"].raise_after_ms, 5 * kMinute);
  EXPECT_EQ(rules["cache_dirty"].raised_when, "50 % of the cache are not in the store");
  EXPECT_EQ(rules["cache_dirty"].over_when, "below 40 %");
  EXPECT_EQ(rules["store_unreachable"].raise_after_ms, 90'000);
  EXPECT_EQ(rules["lease_lost"].raise_after_ms, 3 * kMinute);
  EXPECT_EQ(rules["disk_nearly_full"].raise_after_ms, 2 * kMinute);
  EXPECT_EQ(rules["certificate_expiring"].raised_when, "it expires within 2h");
}

TEST(AlarmRules, DisksOfAnySize) {
  GatewayState state;
  state.storage.disk_total_bytes = 10 * TiB;
  state.storage.disk_available_bytes = 49 * GiB;
  EXPECT_EQ(seen(state, "disk_nearly_full"), Condition::bad);
  state.storage.disk_available_bytes = 60 * GiB;
  EXPECT_EQ(seen(state, "disk_nearly_full"), Condition::unclear);
  state.storage.disk_available_bytes = 100 * GiB;
  EXPECT_EQ(seen(state, "disk_nearly_full"), Condition::good);
  state.storage.disk_total_bytes = 20 * GiB;
  state.storage.disk_available_bytes = GiB - 1;
  EXPECT_EQ(seen(state, "disk_nearly_full"), Condition::bad);
}

TEST(AlarmRules, AJobThatWentWellLaterIsNoAlarm) {
  GatewayState state;
  JobRow failed;
  failed.id = 1;
  failed.kind = JobKind::archive;
  failed.barcode = "A";
  failed.state = JobState::failed;
  failed.updated_ms = kStart;
  JobRow other = failed;
  other.id = 2;
  other.kind = JobKind::verify;
  other.state = JobState::succeeded;
  state.jobs = {other, failed};
  EXPECT_EQ(seen(state, "job_failed"), Condition::bad);
  EXPECT_EQ(seen(state, "job_failed", kStart + 25 * 60 * kMinute), Condition::good);
  other.kind = JobKind::archive;
  state.jobs = {other, failed};
  EXPECT_EQ(seen(state, "job_failed"), Condition::good);
}

TEST(AlarmRules, CertificatesAreToldOfInTime) {
  GatewayState state;
  state.certificate_expires_ms = kStart + 22LL * 24 * 60 * kMinute;
  EXPECT_EQ(seen(state, "certificate_expiring"), Condition::good);
  state.certificate_expires_ms = kStart + 20LL * 24 * 60 * kMinute;
  EXPECT_EQ(seen(state, "certificate_expiring"), Condition::bad);
}

}  // namespace
}  // namespace coldshelf
