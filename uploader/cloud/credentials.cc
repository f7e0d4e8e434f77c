#include "uploader/cloud/credentials.h"

#include <algorithm>
#include <array>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <vector>

#include "base/log.h"
#include "uploader/cloud/credential_sources.h"

namespace coldshelf {

namespace {

// Temporary credentials are renewed so long before they expire, or when a quarter of their life is
// left, whichever is later.
constexpr int64_t kRefreshAheadMs = 15 * 60'000;
// While the service does not answer and the old ones are still good.
constexpr int64_t kRetryRefreshMs = 30'000;
// Many requests are refused at once when credentials go bad: one refresh is enough for them.
constexpr int64_t kExpireOnceMs = 1'000;

constexpr std::array<std::string_view, 9> kRefusedKeys = {
    "ExpiredToken",
    "ExpiredTokenException",
    "TokenRefreshRequired",
    "InvalidToken",
    "RequestExpired",                // EC2, of a request with an old time too
    "InvalidClientTokenId",          // STS, SNS
    "InvalidAccessKeyId",            // S3
    "AuthFailure",                   // EC2
    "UnrecognizedClientException"};  // the EBS direct APIs, KMS

class StaticCredentials final : public CredentialsProvider {
 public:
  explicit StaticCredentials(Credentials credentials) : credentials_(std::move(credentials)) {}
  Result<Credentials> get() override {
    if (credentials_.access_key_id.empty() || credentials_.secret_access_key.empty()) {
      return Error(ErrorCode::permission, "credentials: the configured access key is not complete");
    }
    return credentials_;
  }
  void expire() override {}

 private:
  const Credentials credentials_;
};

// Where credentials are looked for, in order, until one place has some; from then on there only.
class Chain {
 public:
  explicit Chain(CredentialContext context) : context_(std::move(context)) {
    const bool given = !context_.options.profile.empty();
    const bool named = given || !context_.env("AWS_PROFILE").empty();
    const std::string profile = context_.profile_name();
    const Place of_profile{"profile " + profile, [this, profile, named] {
                             return credentials_of_profile(context_, profile, named);
                           }};
    if (given) {
      places_ = {of_profile};
      return;
    }
    places_ = {{"environment (AWS_ACCESS_KEY_ID)",
                [this] { return credentials_of_environment(context_); }},
               {"web identity (AWS_WEB_IDENTITY_TOKEN_FILE)",
                [this] { return credentials_of_web_identity(context_); }},
               of_profile,
               {"container (AWS_CONTAINER_CREDENTIALS_...)",
                [this] { return credentials_of_container(context_); }},
               {"EC2 instance metadata", [this] { return credentials_of_instance(context_); }}};
  }
  Chain(const Chain&) = delete;
  Chain& operator=(const Chain&) = delete;

  Result<Credentials> fetch() {
    if (found_ != nullptr) {
      auto again = found_->ask();
      if (!again.ok()) return about(*found_, again.error());
      if (*again) return *std::move(*again);
      return Error(ErrorCode::unavailable, "credentials: " + found_->name + " has none any more");
    }
    std::string looked;
    for (const Place& place : places_) {
      auto answer = place.ask();
      if (!answer.ok()) return about(place, answer.error());
      if (*answer) {
        found_ = &place;
        log_info("credentials", "found", {{"place", place.name}});
        return *std::move(*answer);
      }
      looked += (looked.empty() ? "" : ", ") + place.name;
    }
    return Error(ErrorCode::permission, "credentials: none found; looked in: " + looked);
  }

  Clock& clock() const { return context_.clock; }

 private:
  struct Place {
    std::string name;
    std::function<Result<MaybeCredentials>()> ask;
  };
  static Error about(const Place& place, const Error& error) {
    Error out = error;
    if (out.code != ErrorCode::unavailable && out.code != ErrorCode::cancelled) {
      out = Error(ErrorCode::permission, error.context);
    }
    out.context = "credentials: " + place.name + ": " + error.context;
    return out;
  }

  const CredentialContext context_;
  std::vector<Place> places_;
  const Place* found_ = nullptr;
};

class RefreshingCredentials final : public CredentialsProvider {
 public:
  explicit RefreshingCredentials(CredentialContext context) : chain_(std::move(context)) {}

  Result<Credentials> get() override {
    std::unique_lock lock(mutex_);
    while (true) {
      const int64_t now = chain_.clock().unix_ms();
      const bool usable =
          current_ && !refused_ && (current_->expires_ms == 0 || current_->expires_ms > now);
      if (usable && (refreshing_ || now < refresh_at_ms_)) return *current_;
      if (!refreshing_) return refresh(lock, usable);
      const uint64_t round = round_;
      changed_.wait(lock, [&] { return round_ != round; });
      // Those that waited share its outcome, so that a service that is down is asked once.
      if (failure_) return *failure_;
    }
  }

  void expire() override {
    const std::lock_guard lock(mutex_);
    if (chain_.clock().unix_ms() - fetched_at_ms_ >= kExpireOnceMs) refused_ = true;
  }

 private:
  // `usable`: the old ones may be given when there are no new ones.
  Result<Credentials> refresh(std::unique_lock<std::mutex>& lock, bool usable) {
    refreshing_ = true;
    lock.unlock();
    Result<Credentials> fresh = chain_.fetch();
    lock.lock();
    refreshing_ = false;
    ++round_;
    changed_.notify_all();
    const int64_t now = chain_.clock().unix_ms();
    if (fresh.ok() && fresh->expires_ms != 0 && fresh->expires_ms <= now) {
      fresh = Error(ErrorCode::permission, "credentials: what was given has expired already");
    }
    if (fresh.ok()) {
      take(*fresh, now);
      return fresh;
    }
    failure_ = fresh.error();
    if (!usable) return fresh;
    failure_.reset();
    refresh_at_ms_ = now + kRetryRefreshMs;
    log_warning(
        "credentials", "refresh failed, going on with the old ones",
        {{"error", fresh.error().message()}, {"expire_in_s", (current_->expires_ms - now) / 1000}});
    return *current_;
  }

  void take(const Credentials& fresh, int64_t now) {
    current_ = fresh;
    refused_ = false;
    failure_.reset();
    fetched_at_ms_ = now;
    const int64_t life = fresh.expires_ms - now;
    refresh_at_ms_ =
        fresh.expires_ms == 0 ? INT64_MAX : fresh.expires_ms - std::min(kRefreshAheadMs, life / 4);
  }

  Chain chain_;  // used by one thread at a time: the one that set refreshing_
  std::mutex mutex_;
  std::condition_variable changed_;
  bool refreshing_ = false;
  uint64_t round_ = 0;  // counts refreshes
  std::optional<Credentials> current_;
  bool refused_ = false;          // by a server, as expired
  std::optional<Error> failure_;  // of the last refresh, when nothing usable is left
  int64_t fetched_at_ms_ = INT64_MIN / 2;
  int64_t refresh_at_ms_ = 0;
};

}  // namespace

bool are_refused_keys(std::string_view error_name) {
  return std::find(kRefusedKeys.begin(), kRefusedKeys.end(), error_name) != kRefusedKeys.end();
}

std::unique_ptr<CredentialsProvider> make_static_credentials(Credentials credentials) {
  return std::make_unique<StaticCredentials>(std::move(credentials));
}

std::unique_ptr<CredentialsProvider> make_credential_chain(FileSystem& files, Clock& clock,
                                                           HttpTransport& transport,
                                                           CredentialOptions options) {
  return std::make_unique<RefreshingCredentials>(
      CredentialContext{files, clock, transport, std::move(options)});
}

}  // namespace coldshelf
