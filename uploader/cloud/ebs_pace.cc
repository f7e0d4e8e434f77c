#include "uploader/cloud/ebs_pace.h"

#include <algorithm>

namespace coldshelf {

namespace {
constexpr size_t kMaxIdleLimiters = 1024;
constexpr int64_t kForgetNs = int64_t{600} * 1'000'000'000;
}  // namespace

double EbsPace::account_quota(EbsAction action) const {
  switch (action) {
    case EbsAction::get:
      return quotas_.get_per_account;
    case EbsAction::put:
      return quotas_.put_per_account;
    case EbsAction::list:
      return quotas_.list_per_account;
    case EbsAction::start:
      return quotas_.start_per_account;
  }
  return quotas_.start_per_account;
}

double EbsPace::snapshot_quota(EbsAction action) const {
  switch (action) {
    case EbsAction::get:
      return quotas_.get_per_snapshot;
    case EbsAction::put:
      return quotas_.put_per_snapshot;
    case EbsAction::list:
      return quotas_.list_per_snapshot;
    case EbsAction::start:
      return quotas_.start_per_account;
  }
  return quotas_.start_per_account;
}

std::shared_ptr<RateLimiter> EbsPace::limiter(EbsAction action, const std::string& what,
                                              double quota, int64_t now_ns) {
  const std::lock_guard lock(mutex_);
  if (limiters_.size() > kMaxIdleLimiters) {  // of snapshots long done
    std::erase_if(limiters_,
                  [&](const auto& entry) { return now_ns - entry.second.used_ns > kForgetNs; });
  }
  Held& held = limiters_[{action, what}];
  if (held.limiter == nullptr) held.limiter = std::make_shared<RateLimiter>(quota * quotas_.used);
  held.used_ns = now_ns;
  return held.limiter;
}

int64_t EbsPace::reserve(EbsAction action, const std::string& account, const std::string& snapshot,
                         int64_t now_ns) {
  const auto of_account = limiter(action, account, account_quota(action), now_ns);
  int64_t at = of_account->reserve(now_ns);
  if (!snapshot.empty()) {
    const auto of_snapshot = limiter(action, snapshot, snapshot_quota(action), now_ns);
    at = std::max(at, of_snapshot->reserve(now_ns));
  }
  return at;
}

void EbsPace::refused(EbsAction action, const std::string& account, const std::string& snapshot,
                      Whose whose, int64_t now_ns) {
  if (whose != Whose::snapshot || snapshot.empty()) {
    limiter(action, account, account_quota(action), now_ns)->refused(now_ns);
  }
  if (whose != Whose::account && !snapshot.empty()) {
    limiter(action, snapshot, snapshot_quota(action), now_ns)->refused(now_ns);
  }
}

}  // namespace coldshelf
