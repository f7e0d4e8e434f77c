// Retention: what is kept and why.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <tuple>

#include "base/random.h"
#include "snapshot/retention.h"

namespace coldshelf {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr int64_t kHour = 3'600'000;
constexpr int64_t kDay = 24 * kHour;
constexpr int64_t kStart = 1'767'225'600'000;  // 2026-01-01, a Thursday

RetentionPoint point(const std::string& id, int64_t created_ms,
                     PointState state = PointState::good) {
  RetentionPoint out;
  out.id = id;
  out.created_ms = created_ms;
  out.state = state;
  return out;
}

std::vector<std::string> kept(const std::vector<RetentionVerdict>& verdicts) {
  std::vector<std::string> out;
  for (const RetentionVerdict& v : verdicts) {
    if (v.keep) out.push_back(v.id);
  }
  return out;
}

std::string reason(const std::vector<RetentionVerdict>& verdicts, const std::string& id) {
  for (const RetentionVerdict& v : verdicts) {
    if (v.id == id) return v.reason;
  }
  return "not there";
}

std::vector<RetentionVerdict> apply(const RetentionRule& rule,
                                    const std::vector<RetentionPoint>& points, int64_t now_ms) {
  return apply_retention(rule, points, now_ms, utc_zone_offset);
}

TEST(Retention, NoRuleKeepsEverything) {
  EXPECT_THAT(kept(apply({}, {point("a", kStart), point("b", kStart + 1)}, kStart + 900 * kDay)),
              ElementsAre("a", "b"));
  EXPECT_EQ(describe({}), "everything");
}

TEST(Retention, ByCountAndByAge) {
  std::vector<RetentionPoint> points;
  for (int i = 0; i < 5; ++i) points.push_back(point("p" + std::to_string(i), kStart + i * kDay));
  RetentionRule rule;
  rule.keep_last = 2;
  EXPECT_THAT(kept(apply(rule, points, kStart + 10 * kDay)), ElementsAre("p3", "p4"));
  rule = {};
  rule.keep_for_ms = 3 * kDay;
  EXPECT_THAT(kept(apply(rule, points, kStart + 5 * kDay)), ElementsAre("p3", "p4"));
  // All are too old: the newest good one stays.
  const auto old = apply(rule, points, kStart + 500 * kDay);
  EXPECT_THAT(kept(old), ElementsAre("p4"));
  EXPECT_EQ(reason(old, "p4"), "the newest good point");
  EXPECT_EQ(reason(old, "p3"), "expired");
}

TEST(Retention, GrandfatherFatherSon) {
  std::vector<RetentionPoint> points;
  for (int i = 0; i < 4 * 400; ++i) {
    points.push_back(point(std::to_string(i), kStart + i * 6 * kHour));
  }
  RetentionRule rule;
  rule.daily = 3;
  rule.weekly = 2;
  rule.monthly = 3;
  rule.yearly = 2;
  // The last point: 2027-02-04 18:00, a Thursday.
  const auto verdicts = apply(rule, points, kStart + 400 * kDay);
  const auto id = [](int day) { return std::to_string(day * 4 + 3); };  // the last of that day
  EXPECT_THAT(kept(verdicts), ElementsAre(id(364), id(395), id(397), id(398), id(399)));
  EXPECT_THAT(reason(verdicts, id(364)), HasSubstr("monthly 3 of 3"));  // 31 December
  EXPECT_THAT(reason(verdicts, id(364)), HasSubstr("yearly 2 of 2"));
  EXPECT_THAT(reason(verdicts, id(395)), HasSubstr("monthly 2 of 3"));  // 31 January
  EXPECT_THAT(reason(verdicts, id(395)), HasSubstr("weekly 2 of 2"));
}

TEST(Retention, LocalMidnightDividesDays) {
  RetentionRule rule;
  rule.daily = 2;
  const std::vector<RetentionPoint> points = {point("a", kStart + 22 * kHour),
                                              point("b", kStart + 23 * kHour + kHour / 2),
                                              point("c", kStart + 25 * kHour)};
  EXPECT_THAT(kept(apply(rule, points, kStart + 2 * kDay)), ElementsAre("b", "c"));
  const auto east = apply_retention(rule, points, kStart + 2 * kDay, [](int64_t) { return 3600; });
  EXPECT_THAT(kept(east), ElementsAre("a", "c"));
}

TEST(Retention, AnHourThatTheClockShowsTwiceIsTwoHours) {
  RetentionRule rule;
  rule.hourly = 4;
  std::vector<RetentionPoint> points;
  for (int i = 0; i < 6; ++i) {
    points.push_back(point(std::to_string(i), kStart + i * kHour + kHour / 2));
  }
  // Summer time ends behind the third: 5:00, 6:00, 7:00, 7:00, 8:00, 9:00.
  const auto zone = [](int64_t unix_s) -> int64_t {
    return unix_s < kStart / 1000 + 3 * 3600 ? 16'200 : 12'600;
  };
  EXPECT_THAT(kept(apply_retention(rule, points, kStart + kDay, zone)),
              ElementsAre("2", "3", "4", "5"));
}

TEST(Retention, FailedPointsCountForNothingAndGoOnceThereIsABetterOne) {
  RetentionRule rule;
  rule.keep_last = 1;
  const std::vector<RetentionPoint> points = {
      point("good", kStart), point("failed-old", kStart - kDay, PointState::failed),
      point("failed-new", kStart + kDay, PointState::failed),
      point("making", kStart + 2 * kDay, PointState::pending)};
  EXPECT_THAT(kept(apply(rule, points, kStart + 400 * kDay)),
              ElementsAre("good", "failed-new", "making"));
}

TEST(Retention, BasesOfKeptPointsStay) {
  RetentionRule rule;
  rule.keep_last = 1;
  std::vector<RetentionPoint> points;
  for (int i = 0; i < 6; ++i) {
    points.push_back(point("p" + std::to_string(i), kStart + i * kDay));
    if (i % 3 != 0) points.back().bases = {"p" + std::to_string(i - 1)};
  }
  const auto verdicts = apply(rule, points, kStart + 9 * kDay);
  EXPECT_THAT(kept(verdicts), ElementsAre("p3", "p4", "p5"));
  EXPECT_EQ(reason(verdicts, "p3"), "a base of p4");
  points[1].held = true;
  EXPECT_THAT(kept(apply(rule, points, kStart + 9 * kDay)),
              ElementsAre("p0", "p1", "p3", "p4", "p5"));
  points[3].bases = {"p5", "unknown"};  // a ring, and a base that is elsewhere
  EXPECT_THAT(kept(apply(rule, points, kStart + 9 * kDay)),
              ElementsAre("p0", "p1", "p3", "p4", "p5"));
}

TEST(Retention, WhateverThePointsAreTheNewestGoodOneAndAllBasesStay) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    SeededRandom random(seed);
    std::vector<RetentionPoint> points;
    const uint64_t count = random.below(40);
    for (uint64_t i = 0; i < count; ++i) {
      const uint64_t state = random.below(6);
      points.push_back(point("p" + std::to_string(i),
                             kStart + static_cast<int64_t>(random.below(800)) * kDay / 4,
                             state == 0   ? PointState::failed
                             : state == 1 ? PointState::pending
                                          : PointState::good));
      points.back().held = random.one_in(10);
      if (i > 0 && random.one_in(2)) {
        points.back().bases.push_back("p" + std::to_string(random.below(i)));
      }
    }
    RetentionRule rule;
    rule.keep_last = static_cast<unsigned>(random.below(4));
    rule.keep_for_ms = static_cast<int64_t>(random.below(30)) * kDay;
    rule.daily = static_cast<unsigned>(random.below(5));
    rule.monthly = static_cast<unsigned>(random.below(5));
    const auto verdicts = apply(rule, points, kStart + 200 * kDay);
    ASSERT_EQ(verdicts.size(), points.size());
    std::map<std::string, bool> keep;
    for (const RetentionVerdict& v : verdicts) keep[v.id] = v.keep;
    const RetentionPoint* newest = nullptr;
    for (const RetentionPoint& p : points) {
      if (p.held || p.state == PointState::pending) {
        EXPECT_TRUE(keep[p.id]);
      }
      if (keep[p.id]) {
        for (const std::string& base : p.bases) EXPECT_TRUE(keep[base]) << base;
      }
      if (p.state != PointState::good) continue;
      if (!newest || std::tie(newest->created_ms, newest->id) < std::tie(p.created_ms, p.id)) {
        newest = &p;
      }
    }
    if (newest != nullptr) {
      EXPECT_TRUE(keep[newest->id]);
    }
  }
}

TEST(Retention, AgesAreReadAndWritten) {
  EXPECT_EQ(*parse_age_ms("90min"), 90 * 60'000);
  EXPECT_EQ(*parse_age_ms("12h"), 12 * kHour);
  EXPECT_EQ(*parse_age_ms("7d"), 7 * kDay);
  EXPECT_EQ(*parse_age_ms("4w"), 28 * kDay);
  EXPECT_EQ(*parse_age_ms("2y"), 730 * kDay);
  for (const char* wrong : {"", "7", "d", "0d", "-1d", "7 d", "7days", "1e3d", "999999999y"}) {
    EXPECT_FALSE(parse_age_ms(wrong).ok()) << wrong;
  }
  RetentionRule rule;
  rule.keep_last = 7;
  rule.keep_for_ms = 30 * kDay;
  rule.monthly = 12;
  EXPECT_EQ(describe(rule), "the last 7, younger than 30d, monthly 12");
}

}  // namespace
}  // namespace coldshelf
