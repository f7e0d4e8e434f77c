// The governor against a model of a store, on a simulated clock.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/bytes.h"
#include "tests/support/sim_clock.h"
#include "uploader/transfer_governor.h"

namespace coldshelf::test {
namespace {

// Transfers of one size through a link that all share, each of them bound by its own connection.
struct Link {
  double total_bytes_per_s = 1e9;
  double connection_bytes_per_s = 50e6;
  int64_t latency_ms = 30;
  uint64_t transfer_bytes = 16 * MiB;
  unsigned most_at_once = 1000;  // more than this: "503 Slow Down"
};

class Model {
 public:
  explicit Model(GovernorOptions options) : governor(clock_, options) {}

  // Lets time pass with always enough to transfer. Gives the bytes per second that arrived.
  double run(const Link& link, int64_t for_ms) {
    const int64_t end = clock_.elapsed_ms() + for_ms;
    uint64_t arrived = 0;
    while (clock_.elapsed_ms() < end) {
      while (governor.try_begin()) {
        if (running_.size() >= link.most_at_once) {
          governor.overloaded();
          ++refused;
          governor.abandon();
          break;
        }
        running_.push_back(
            {static_cast<double>(link.transfer_bytes), link.latency_ms, clock_.monotonic_ns()});
      }
      const double each =
          std::min(link.connection_bytes_per_s,
                   link.total_bytes_per_s / std::max<double>(1, double(running_.size())));
      for (Transfer& t : running_) {
        if (t.latency_ms > 0) {
          t.latency_ms -= kTickMs;
        } else {
          t.left -= each * kTickMs / 1000;
        }
      }
      clock_.advance_ms(kTickMs);
      for (size_t i = 0; i < running_.size();) {
        if (running_[i].left > 0) {
          ++i;
          continue;
        }
        arrived += link.transfer_bytes;
        governor.finish(link.transfer_bytes, clock_.monotonic_ns() - running_[i].began_ns);
        running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(i));
      }
      if (running_.empty()) clock_.advance_ms(kTickMs);
    }
    return static_cast<double>(arrived) * 1000 / static_cast<double>(for_ms);
  }

 private:
  static constexpr int64_t kTickMs = 10;
  struct Transfer {
    double left;
    int64_t latency_ms;
    int64_t began_ns;
  };
  SimClock clock_;
  std::vector<Transfer> running_;

 public:
  TransferGovernor governor;
  unsigned refused = 0;
};

TEST(Governor, RisesWhileThroughputRises) {
  Model model({});
  EXPECT_EQ(model.governor.limit(), 4U);
  model.run(Link{}, 30'000);
  EXPECT_EQ(model.governor.limit(), 16U) << "each connection brings its own share";
}

TEST(Governor, TakesNoMoreThanHelps) {
  Model model({});
  Link link;
  link.total_bytes_per_s = 150e6;  // three connections fill it
  model.run(link, 120'000);
  EXPECT_LE(model.governor.limit(), 6U);
  EXPECT_GE(model.governor.limit(), 3U);
  EXPECT_GT(model.run(link, 60'000), 0.85 * link.total_bytes_per_s);
}

TEST(Governor, ALimitedBandwidthNeedsFewTransfers) {
  Model model({});
  Link link;
  link.total_bytes_per_s = 2e6;
  link.transfer_bytes = 1 * MiB;
  model.run(link, 600'000);
  EXPECT_LE(model.governor.limit(), 3U);
  EXPECT_GT(model.run(link, 60'000), 0.9 * link.total_bytes_per_s);
}

TEST(Governor, HalvesWhenTheStoreSaysSoAndFindsTheLevelAgain) {
  Model model({});
  Link link;
  model.run(link, 30'000);
  ASSERT_EQ(model.governor.limit(), 16U);
  link.most_at_once = 9;
  model.run(link, 3'000);
  EXPECT_LE(model.governor.limit(), 8U);
  const unsigned refused = model.refused;
  EXPECT_GT(model.run(link, 300'000), 0.7 * 9 * link.connection_bytes_per_s);
  // It tries now and then whether more is allowed; it does not hammer.
  EXPECT_LT(model.refused - refused, 20U);
  link.most_at_once = 1000;
  model.run(link, 120'000);
  EXPECT_EQ(model.governor.limit(), 16U);
}

TEST(Governor, OneComplaintCountsOnce) {
  Model model({});
  model.run(Link{}, 30'000);
  for (int i = 0; i < 10; ++i) model.governor.overloaded();  // all of what was under way
  EXPECT_EQ(model.governor.limit(), 8U);
}

TEST(Governor, NeverBelowOneNorAboveItsMaximum) {
  SimClock clock;
  GovernorOptions options;
  options.maximum = 3;
  options.initial = 9;
  TransferGovernor governor(clock, options);
  EXPECT_EQ(governor.limit(), 3U);
  for (int i = 0; i < 10; ++i) {
    governor.overloaded();
    clock.advance_ms(10'000);
  }
  EXPECT_EQ(governor.limit(), 1U);
  EXPECT_TRUE(governor.try_begin());
  EXPECT_FALSE(governor.try_begin());
  governor.abandon();
  EXPECT_TRUE(governor.try_begin());
}

TEST(Governor, IdleTimeTeachesNothing) {
  SimClock clock;
  TransferGovernor governor(clock, {});
  for (int i = 0; i < 500; ++i) {
    ASSERT_TRUE(governor.try_begin());
    clock.advance_ms(100);
    governor.finish(1 * MiB, 100'000'000);
    clock.advance_ms(5'000);
  }
  EXPECT_EQ(governor.limit(), 4U);
}

TEST(Governor, KnowsWhatIsOverload) {
  EXPECT_TRUE(is_overload(Error(ErrorCode::unavailable, "503 Slow Down")));
  EXPECT_TRUE(is_overload(Error(ErrorCode::timed_out, "no answer")));
  EXPECT_FALSE(is_overload(Error(ErrorCode::corrupt, "another digest")));
  EXPECT_FALSE(is_overload(Error(ErrorCode::no_space, "full")));
}

}  // namespace
}  // namespace coldshelf::test
