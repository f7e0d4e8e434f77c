#include "uploader/cloud/role_credentials.h"

#include <algorithm>
#include <mutex>
#include <optional>

#include "base/log.h"

namespace coldshelf {

namespace {

constexpr int64_t kRefreshBeforeMs = 5 * 60'000;
constexpr int64_t kRetryMs = 10'000;  // after a failed refresh the old ones go on so long

class RoleCredentials final : public CredentialsProvider {
 public:
  RoleCredentials(std::shared_ptr<CredentialsProvider> as, AssumeRole role, std::string region,
                  std::string sts_endpoint, std::shared_ptr<Clock> clock,
                  std::shared_ptr<HttpTransport> transport)
      : as_(std::move(as)),
        role_(std::move(role)),
        clock_(std::move(clock)),
        transport_(std::move(transport)),
        sts_(*clock_, *transport_, std::move(region), std::move(sts_endpoint)) {}

  Result<Credentials> get() override {
    const std::lock_guard lock(mutex_);  // one asks, the others wait for the answer
    const int64_t now = clock_->unix_ms();
    if (held_ && (now < held_->expires_ms - kRefreshBeforeMs || now < retry_at_ms_)) return *held_;
    auto fresh = ask();
    if (fresh.ok()) {
      held_ = std::move(*fresh);
      retry_at_ms_ = 0;
      return *held_;
    }
    if (!held_ || now >= held_->expires_ms) return fresh;
    retry_at_ms_ = std::min(now + kRetryMs, held_->expires_ms);
    log_warning("credentials", "role not assumed anew",
                {{"role", role_.role_arn}, {"error", fresh.error().message()}});
    return *held_;
  }

  void expire() override {
    {
      const std::lock_guard lock(mutex_);
      held_.reset();
      retry_at_ms_ = 0;
    }
    as_->expire();
  }

 private:
  Result<Credentials> ask() {
    ASSIGN_OR_RETURN(const Credentials own, as_->get());
    std::string refused_with;
    auto assumed = sts_.assume_role(role_, own, &refused_with);
    // Keys in a file are exchanged without a word: they are read again, once.
    if (!are_refused_keys(refused_with)) return assumed;
    as_->expire();
    ASSIGN_OR_RETURN(const Credentials anew, as_->get());
    return sts_.assume_role(role_, anew);
  }

  const std::shared_ptr<CredentialsProvider> as_;
  const AssumeRole role_;
  const std::shared_ptr<Clock> clock_;
  const std::shared_ptr<HttpTransport> transport_;
  StsClient sts_;
  std::mutex mutex_;
  std::optional<Credentials> held_;
  int64_t retry_at_ms_ = 0;
};

}  // namespace

std::unique_ptr<CredentialsProvider> make_role_credentials(
    std::shared_ptr<CredentialsProvider> as, AssumeRole role, std::string region,
    std::string sts_endpoint, std::shared_ptr<Clock> clock,
    std::shared_ptr<HttpTransport> transport) {
  return std::make_unique<RoleCredentials>(std::move(as), std::move(role), std::move(region),
                                           std::move(sts_endpoint), std::move(clock),
                                           std::move(transport));
}

}  // namespace coldshelf
