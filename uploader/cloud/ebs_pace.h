// The request quotas of the EBS direct APIs: per account and region, and per snapshot. One object
// for all jobs of the gateway, because they share the account's. Thread-safe.
// https://docs.aws.amazon.com/ebs/latest/userguide/ebs-resource-quotas.html
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "base/clock.h"
#include "uploader/cloud/rate_limiter.h"

namespace coldshelf {

struct EbsQuotas {
  // Requests a second.
  double get_per_account = 1000;
  double put_per_account = 1000;
  double get_per_snapshot = 1000;
  double put_per_snapshot = 1000;
  double list_per_account = 50;
  double list_per_snapshot = 50;
  double start_per_account = 10;  // and CompleteSnapshot
  // The part of a quota that is asked for: at all of it, the service's clock and the network decide
  // which requests are refused.
  double used = 0.995;
};

enum class EbsAction { get, put, list, start };

class EbsPace {
 public:
  explicit EbsPace(const EbsQuotas& quotas) : quotas_(quotas) {}

  // When, on the monotonic clock, a request may go; its place is taken. `account`: what the quota
  // is of, account and region.
  int64_t reserve(EbsAction action, const std::string& account, const std::string& snapshot,
                  int64_t now_ns);
  enum class Whose { account, snapshot, unknown };
  void refused(EbsAction action, const std::string& account, const std::string& snapshot,
               Whose whose, int64_t now_ns);

 private:
  using Key = std::pair<EbsAction, std::string>;
  std::shared_ptr<RateLimiter> limiter(EbsAction action, const std::string& what, double quota,
                                       int64_t now_ns);
  double account_quota(EbsAction action) const;
  double snapshot_quota(EbsAction action) const;

  const EbsQuotas quotas_;
  std::mutex mutex_;
  struct Held {
    std::shared_ptr<RateLimiter> limiter;
    int64_t used_ns = 0;
  };
  std::map<Key, Held> limiters_;
};

}  // namespace coldshelf
