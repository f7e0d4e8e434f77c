// Pace, window, ordered work, and the choice of a base.
#include <gtest/gtest.h>

#include <atomic>
#include <set>

#include "snapshot/ordered_work.h"
#include "snapshot/pull.h"
#include "uploader/cloud/ebs_pace.h"
#include "uploader/cloud/in_flight_window.h"

namespace coldshelf::test {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;

TEST(RateLimiter, GivesThePlacesOfTheQuota) {
  RateLimiter limiter(1000, 20);
  int64_t now = 5 * kSecondNs;
  uint64_t given = 0;
  const int64_t end = now + 10 * kSecondNs;
  while (true) {
    const int64_t at = limiter.reserve(now);
    if (at >= end) break;
    ++given;
    now = std::max(now, at);
  }
  EXPECT_GE(given, 10'000U);
  EXPECT_LE(given, 10'021U);  // and the burst
}

TEST(RateLimiter, AnIdleTimeIsNotMadeUpFor) {
  RateLimiter limiter(100, 20);
  static_cast<void>(limiter.reserve(0));
  unsigned at_once = 0;
  const int64_t now = 100 * kSecondNs;
  while (limiter.reserve(now) <= now) ++at_once;
  EXPECT_LE(at_once, 4U);
}

TEST(RateLimiter, IsSlowerAfterRefusalsAndComesBack) {
  RateLimiter limiter(1000);
  int64_t now = kSecondNs;
  for (int i = 0; i < 50; ++i) limiter.refused(now);  // together: one
  EXPECT_NEAR(limiter.per_second(now), 980, 1);
  for (int i = 0; i < 40; ++i) limiter.refused(now += kSecondNs / 5);
  EXPECT_LT(limiter.per_second(now), 550);
  EXPECT_GT(limiter.per_second(now + 20 * kSecondNs), limiter.per_second(now) + 100);
  EXPECT_EQ(limiter.per_second(now + 200 * kSecondNs), 1000);
  for (int i = 0; i < 2000; ++i) limiter.refused(now += kSecondNs / 5);
  EXPECT_GE(limiter.per_second(now), 19);  // never nothing
}

// Two snapshots of one account share its quota; one snapshot has no more than its own.
TEST(EbsPace, AccountAndSnapshotBothCount) {
  EbsQuotas quotas;
  quotas.get_per_account = 1000;
  quotas.get_per_snapshot = 400;
  quotas.used = 1;
  const auto count = [&](const std::vector<std::string>& snapshots,
                         const std::vector<std::string>& accounts) {
    EbsPace pace(quotas);
    uint64_t given = 0;
    std::vector<int64_t> at(snapshots.size(), kSecondNs);
    for (bool more = true; more;) {
      more = false;
      for (size_t i = 0; i < snapshots.size(); ++i) {  // one job for each
        if (at[i] >= 11 * kSecondNs) continue;
        at[i] = std::max(at[i], pace.reserve(EbsAction::get, accounts[i], snapshots[i], at[i]));
        if (at[i] < 11 * kSecondNs) ++given;
        more = true;
      }
    }
    return given;
  };
  EXPECT_NEAR(static_cast<double>(count({"s1"}, {"a"})), 4000, 50);
  EXPECT_NEAR(static_cast<double>(count({"s1", "s2"}, {"a", "a"})), 8000, 100);
  EXPECT_NEAR(static_cast<double>(count({"s1", "s2", "s3", "s4"}, {"a", "a", "a", "a"})), 10000,
              200);
  EXPECT_NEAR(static_cast<double>(count({"s1", "s2", "s3", "s4"}, {"a", "a", "b", "b"})), 16000,
              200);
}

TEST(InFlightWindow, GrowsWhileItIsFullAndShrinksWhenOverloaded) {
  InFlightWindow window({4, 8, 32});
  int64_t now = 0;
  for (int round = 0; round < 400; ++round) {
    const size_t n = window.size();
    for (size_t i = 0; i < n; ++i) window.enter();
    for (size_t i = 0; i < n; ++i) window.leave(InFlightWindow::Outcome::good, now);
  }
  EXPECT_EQ(window.size(), 32U);
  now += kSecondNs;
  for (int i = 0; i < 10; ++i) {
    window.enter();
    window.leave(InFlightWindow::Outcome::overloaded, now);
  }
  EXPECT_EQ(window.size(), 24U);
  for (int i = 0; i < 100; ++i) {
    now += kSecondNs;
    window.enter();
    window.leave(InFlightWindow::Outcome::overloaded, now);
  }
  EXPECT_EQ(window.size(), 4U);
  for (int i = 0; i < 1000; ++i) {  // one at a time says nothing about more
    window.enter();
    window.leave(InFlightWindow::Outcome::good, now);
  }
  EXPECT_EQ(window.size(), 4U);
}

TEST(OrderedWork, TakesInOrderWithinBounds) {
  constexpr unsigned kItems = 2000;
  constexpr size_t kAhead = 16;
  unsigned next = 0;
  std::atomic<unsigned> begun{0};
  unsigned taken = 0;
  OrderedWork<unsigned, unsigned>::Parts parts;
  parts.next = [&](unsigned& item) -> Result<bool> {
    if (next == kItems) return false;
    item = next++;
    return true;
  };
  parts.work = [&](unsigned& item) -> Result<unsigned> {
    ++begun;
    if (item % 7 == 0) std::this_thread::yield();
    return item * 2;
  };
  parts.take = [&](unsigned& item, unsigned& made) -> Status {
    EXPECT_EQ(item, taken);
    EXPECT_EQ(made, item * 2);
    EXPECT_LE(begun.load(), taken + kAhead);
    ++taken;
    return {};
  };
  OrderedWork<unsigned, unsigned> work(std::move(parts), kAhead);
  ASSERT_TRUE(work.run(8).ok());
  EXPECT_EQ(taken, kItems);
}

TEST(OrderedWork, EndsWithTheFirstErrorOfAnyPart) {
  for (int where = 0; where < 3; ++where) {
    unsigned next = 0;
    unsigned taken = 0;
    const Error bad(ErrorCode::unavailable, "here");
    OrderedWork<unsigned, unsigned>::Parts parts;
    parts.next = [&](unsigned& item) -> Result<bool> {
      item = next++;
      if (where == 0 && item == 50) return bad;
      return true;
    };
    parts.work = [&](unsigned& item) -> Result<unsigned> {
      if (where == 1 && item == 50) return bad;
      return item;
    };
    parts.take = [&](unsigned& item, unsigned&) -> Status {
      EXPECT_EQ(item, taken++);
      if (where == 2 && item == 50) return bad;
      return {};
    };
    OrderedWork<unsigned, unsigned> work(std::move(parts), 8);
    const Status done = work.run(4);
    ASSERT_FALSE(done.ok());
    EXPECT_EQ(done.error().context, "here");
    EXPECT_LE(taken, 51U);
  }
}

EbsPoint held(const std::string& snapshot, int64_t started_ms, uint64_t gib = 8,
              const std::string& volume = "vol-1") {
  EbsPoint point;
  point.snapshot = snapshot;
  point.started_ms = started_ms;
  point.volume = volume;
  point.volume_gib = gib;
  return point;
}

TEST(ChooseBase, TheNewestOlderOneOfTheVolumeThatIsStillThere) {
  EbsImage image;
  image.points = {held("snap-1", 10), held("snap-2", 20), held("snap-3", 30),
                  held("snap-4", 40, 8, "vol-2"), held("snap-9", 90)};
  Ec2Snapshot wanted;
  wanted.id = "snap-5";
  wanted.volume = "vol-1";
  wanted.started_ms = 50;
  wanted.volume_gib = 8;
  const std::vector<std::string> all = {"snap-1", "snap-2", "snap-3", "snap-4", "snap-9"};
  EXPECT_EQ(choose_base(image, wanted, all), "snap-3");
  EXPECT_EQ(choose_base(image, wanted, {"snap-1", "snap-2", "snap-9"}), "snap-2");
  EXPECT_EQ(choose_base(image, wanted, {}), "");
  wanted.started_ms = 5;
  EXPECT_EQ(choose_base(image, wanted, all), "");
  wanted.started_ms = 50;
  wanted.volume_gib = 4;  // smaller than what is held: no base
  EXPECT_EQ(choose_base(image, wanted, all), "");
}

TEST(CheckReadable, WhatEc2HasArchivedIsNotPulled) {
  Ec2Snapshot snapshot;
  snapshot.id = "snap-1";
  EXPECT_TRUE(check_readable(snapshot).ok());
  snapshot.tier = "standard";
  EXPECT_TRUE(check_readable(snapshot).ok());
  snapshot.tier = "archive";
  const Status refused = check_readable(snapshot);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::not_supported);
  EXPECT_NE(refused.error().context.find("archive tier"), std::string::npos);
}

TEST(EbsImageProperties, ComeBackAsTheyWere) {
  EbsPoint point = held("snap-1", 10);
  point.point = *Uuid::parse("00112233-4455-6677-8899-aabbccddeeff");
  point.tags = {{"Name", "a \"quoted\" one"}, {"empty", ""}};
  point.description = "bad utf8 \xff here";
  point.encrypted = true;
  PullUnderWay pull;
  pull.snapshot = "snap-2";
  pull.base = "snap-1";
  pull.next_block = 77;
  Manifest manifest;
  for (const auto& all :
       {property_of(point), property_of(pull), property_of(EbsSource{"v", "r", "a"}),
        property_of_pushed(point.point, {"snap-8", "snap-7"})}) {
    manifest.properties.insert(all.begin(), all.end());
  }
  EXPECT_EQ(read_ebs_image(manifest)->find("snap-1"), nullptr);  // its recovery point is gone
  manifest.properties["ebs.head"] = "snap-1";
  EXPECT_EQ(read_ebs_image(manifest)->head, "");
  manifest.properties[std::string(kPropertyPoint) + point.point.to_string()] = "1 2 3 snap-1";
  const auto image = read_ebs_image(manifest);
  ASSERT_TRUE(image.ok());
  EXPECT_EQ(image->head, "snap-1");
  ASSERT_NE(image->find("snap-1"), nullptr);
  EXPECT_EQ(image->find("snap-1")->tags, point.tags);
  EXPECT_TRUE(image->find(point.point)->encrypted);
  EXPECT_EQ(image->pull->next_block, 77U);
  EXPECT_EQ(image->pull->base, "snap-1");
  EXPECT_EQ(image->source.account, "a");
  EXPECT_EQ(image->pushed.at(point.point), (std::vector<std::string>{"snap-7", "snap-8"}));
  manifest.properties["ebs.pull"] = "broken";
  EXPECT_EQ(read_ebs_image(manifest).error().code, ErrorCode::corrupt);
}

// Else a policy takes what was restored for a generation of its own, and deletes it.
TEST(EbsImageTest, OurTagsAreNotRestored) {
  const std::map<std::string, std::string> tags = {{"Name", "db"},
                                                   {"aws:backup:id", "1"},
                                                   {"coldshelf:gateway", "sgw-1"},
                                                   {"coldshelf:policy", "nightly"},
                                                   {"coldshelf:run", "20261127T023000Z"}};
  EXPECT_EQ(tags_to_restore(tags), (std::map<std::string, std::string>{{"Name", "db"}}));
}

TEST(EbsImageTest, TagsThatStartSnapshotRefusesAreNotRestored) {
  std::string umlauts;
  for (int i = 0; i < 255; ++i) umlauts += "\xC3\xA4";
  std::map<std::string, std::string> tags = {{std::string(127, 'k'), umlauts}};
  const auto fit = tags;
  tags[std::string(128, 'k')] = "EC2 takes it";
  tags["Notes"] = std::string(256, 'v');
  EXPECT_EQ(tags_to_restore(tags), fit);
}

}  // namespace
}  // namespace coldshelf::test
