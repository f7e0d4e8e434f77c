#include "gateway/policy_service.h"

#include "base/log.h"

namespace coldshelf {

namespace {
constexpr std::string_view kComponent = "policy";
constexpr int64_t kStepMs = 5'000;
constexpr int64_t kNextStepMs = 100;  // after one that came further
constexpr int64_t kComplainMs = 3'600'000;
}  // namespace

PolicyService::PolicyService(Env env) : env_(std::move(env)) {}

Result<std::unique_ptr<PolicyService>> PolicyService::open(Env env,
                                                           std::vector<Policy> configured) {
  std::unique_ptr<PolicyService> out(new PolicyService(std::move(env)));
  PolicyEngine::Env engine;
  engine.files = out->env_.files;
  engine.clock = out->env_.clock;
  engine.random = out->env_.random;
  engine.cloud = out->env_.cloud.get();
  engine.archive = out->env_.archive.get();
  engine.quiescer = out->env_.quiescer;
  engine.notify = out->env_.notify;
  engine.directory = join_path(out->env_.directory, "policies");
  engine.gateway = out->env_.gateway;
  out->engine_ = std::make_unique<PolicyEngine>(std::move(engine));
  TRY(out->engine_->open(std::move(configured)));
  return out;
}

PolicyService::~PolicyService() { stop(); }

void PolicyService::start() {
  threads_.emplace_back([this] { run_steps(); });
  for (unsigned i = 0; i < env_.pulls; ++i) threads_.emplace_back([this] { run_pulls(); });
}

void PolicyService::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void PolicyService::wake() {
  {
    const std::lock_guard lock(mutex_);
    ++woken_;
  }
  wake_.notify_all();
}

bool PolicyService::wait(int64_t longest_ms) {
  std::unique_lock lock(mutex_);
  const uint64_t before = woken_;
  wake_.wait_for(lock, std::chrono::milliseconds(longest_ms),
                 [&] { return stopping_ || woken_ != before; });
  return !stopping_;
}

void PolicyService::complain(const Error& error) {
  log_error(kComponent, "policies stand still", {{"error", error.message()}});
  const int64_t now_ms = env_.clock->unix_ms();
  if (complained_ms_ != 0 && now_ms - complained_ms_ < kComplainMs) return;
  complained_ms_ = now_ms;
  Notification out;
  out.event = "policy.failed";
  out.severity = NotificationSeverity::error;
  out.subject = "policies stand still: nothing can be written down";
  out.failed = {error.message()};
  env_.notify->send(std::move(out), {});
}

void PolicyService::run_steps() {
  bool further = false;
  do {
    const uint64_t before = engine_->changes();
    const Status stepped = engine_->step();
    if (!stepped.ok()) complain(stepped.error());
    further = stepped.ok() && engine_->changes() != before;
    if (further) wake();  // there may be something to pull now
  } while (wait(further ? kNextStepMs : kStepMs));
}

void PolicyService::run_pulls() {
  while (true) {
    const Result<bool> pulled = engine_->pull_next();
    if (!pulled.ok()) log_error(kComponent, "pull", {{"error", pulled.error().message()}});
    if (pulled.ok() && *pulled) {
      wake();  // the run goes on with what was pulled
      const std::lock_guard lock(mutex_);
      if (stopping_) return;
      continue;
    }
    if (!wait(kStepMs)) return;
  }
}

}  // namespace coldshelf
