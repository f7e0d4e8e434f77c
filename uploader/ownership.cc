#include "uploader/ownership.h"

#include <algorithm>

#include "base/executor.h"
#include "base/log.h"
#include "uploader/shelf.h"

namespace coldshelf {

namespace {
constexpr int kAttempts = 4;  // of a change that somebody else's change came before
constexpr unsigned kClaimThreads = 16;
constexpr int64_t kRenewals = 6;  // in the lease's time to live
constexpr uint64_t kDocumentLimit = 64 * KiB;

std::string named(const Lease& lease) {
  return lease.gateway + " (" + lease.name + " on " + lease.host + ")";
}
}  // namespace

Ownership::Ownership(Env env, GatewayIdentity self, Options options)
    : env_(env), self_(std::move(self)), options_(options) {}

Ownership::~Ownership() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

// -- the lease

Status Ownership::ask_capabilities() {
  {
    const std::lock_guard lock(mutex_);
    if (capabilities_) return {};
  }
  ASSIGN_OR_RETURN(const StoreCapabilities found, env_.store->capabilities());
  // Alone, a gateway does without conditions; it must be alone, then.
  if (!found.conditional_put) TRY(refuse_company());
  const std::lock_guard lock(mutex_);
  capabilities_ = found;
  return {};
}

Status Ownership::refuse_company() {
  ASSIGN_OR_RETURN(const auto leases, read_leases(*env_.store));
  for (const auto& [id, lease] : leases) {
    if (id == self_.id) continue;
    return Error(ErrorCode::conflict,
                 env_.store->describe() + " has no conditional writes, so gateways cannot share " +
                     "it, and it is in use by gateway " + (lease ? named(*lease) : id) +
                     "; give this gateway a prefix or a bucket of its own");
  }
  log_warning("ownership", "the store has no conditional writes: this gateway must stay alone",
              {{"store", env_.store->describe()}});
  return {};
}

PutOptions Ownership::when(const std::string& etag) const {
  PutOptions options;
  if (!conditional()) return options;
  options.condition = etag.empty() ? PutCondition::must_not_exist : PutCondition::must_match;
  options.etag = etag;
  return options;
}

Status Ownership::put_lease(Lease lease, const std::string& etag) {
  // From before the put: the lease is over for us not later than others see it over.
  const int64_t began_ms = now_ms();
  lease.gateway = self_.id;
  lease.name = self_.name;
  lease.host = self_.host;
  lease.instance = self_.instance;
  lease.expires_unix_ms = env_.clock->unix_ms() + options_.lease_ttl_ms;
  const Buffer document = encode_lease(lease);
  {
    const std::lock_guard lock(mutex_);
    tried_epoch_ = std::max(tried_epoch_, lease.epoch);
  }
  ASSIGN_OR_RETURN(const ObjectInfo put,
                   env_.store->put(lease_key(self_.id), source_of(document), when(etag)));
  lease.etag = put.etag;
  const uint64_t epoch = lease.epoch;
  bool new_epoch = false;
  {
    const std::lock_guard lock(mutex_);
    if (!held_ || began_ms >= valid_until_ms_) {
      ++lapses_;
      owners_.clear();
    }
    new_epoch = !held_ || lease_.epoch != epoch;
    held_ = true;
    lease_ = std::move(lease);
    valid_until_ms_ = began_ms + options_.lease_ttl_ms;
    next_ms_ = began_ms + options_.lease_ttl_ms / kRenewals;
    problem_.clear();
  }
  if (new_epoch && epoch_listener_) epoch_listener_(epoch);
  return {};
}

// At the start. Never lose(): a disk that is mounted late is found by the next try.
Status Ownership::check_known(const std::optional<Lease>& found) const {
  if (options_.take_identity || options_.adopt_store) return {};
  if (found ? found->epoch >= options_.known_epoch : options_.known_epoch == 0) return {};
  const std::string what =
      found ? " is older than gateway " + self_.id + ": its lease is of epoch " +
                  std::to_string(found->epoch) + " there and was " +
                  std::to_string(options_.known_epoch) + " before; an old copy of the store?"
            : " does not know gateway " + self_.id +
                  ", which has used it before: wrong store.path or store.url, or not mounted?";
  return Error(ErrorCode::not_found, env_.store->describe() + what +
                                         " If it is the right one, start coldshelfd once with " +
                                         "--adopt-store (docs/runbook.md, Wrong store)");
}

void Ownership::note_set_back(const Lease& found) {
  if (options_.known_epoch == 0 || found.epoch <= options_.known_epoch) return;
  log_warning("ownership",
              "the lease was taken since it was last noted here: manifests are compared",
              {{"known", options_.known_epoch}, {"lease", found.epoch}});
  const std::lock_guard lock(mutex_);
  set_back_ = true;
}

bool Ownership::set_back() const {
  const std::lock_guard lock(mutex_);
  return set_back_;
}

// Each start takes an epoch of its own. One that this process has not tried was taken by another
// start of the same data directory, which can only be a copy of it: one of both must stop, and the
// later one has looked at what the store has.
Status Ownership::check_alone(const Lease& found) const {
  const std::lock_guard lock(mutex_);
  if (found.epoch <= tried_epoch_) return {};
  return Error(ErrorCode::conflict,
               "a copy of this gateway's data directory is in use: " + named(found) +
                   " has taken the lease since; stop one of them for good");
}

Status Ownership::take_lease(bool first) {
  for (int attempt = 0;; ++attempt) {
    const Result<Versioned> found =
        read_versioned(*env_.store, lease_key(self_.id), kDocumentLimit);
    Lease lease;
    std::string etag;
    if (found.ok()) {
      ASSIGN_OR_RETURN(lease, decode_lease(found->content));
      etag = found->info.etag;
      if (lease.instance != self_.instance && !options_.take_identity) {
        return Error(ErrorCode::conflict, "the identity of this gateway, " + self_.id +
                                              ", was taken over by " + named(lease) +
                                              ": this data directory must not be used any more");
      }
      if (first) TRY(check_known(lease));
      if (!first) TRY(check_alone(lease));
      const bool another = lease.instance != self_.instance;
      if (first && !another) note_set_back(lease);
      // Not back either, should the store give an older one than it has.
      lease.epoch = std::max({lease.epoch, options_.known_epoch, view().lease.epoch}) +
                    (first || another ? 1 : 0);
    } else if (found.error().code == ErrorCode::not_found) {
      if (first) TRY(check_known(std::nullopt));
      // Owners that this gateway wrote before have epochs up to the last one.
      lease.epoch = std::max(options_.known_epoch, view().lease.epoch) + 1;
    } else {
      return found.error();
    }
    Status put = put_lease(std::move(lease), etag);
    // Somebody was faster, or the answer to our own put was lost: look again.
    const bool again = !put.ok() && put.error().code == ErrorCode::precondition_failed;
    if (!again || attempt + 1 == kAttempts) return put;
  }
}

Status Ownership::renew() {
  TRY(ask_capabilities());
  Lease lease;
  bool held = false;
  {
    const std::lock_guard lock(mutex_);
    lease = lease_;
    held = held_;
  }
  if (!held) return take_lease(true);
  // Nothing refuses the put of one that was rebuilt or copied elsewhere: it has to look.
  if (!conditional()) return take_lease(false);
  const std::string etag = lease.etag;
  Status put = put_lease(std::move(lease), etag);
  if (put.ok() || put.error().code != ErrorCode::precondition_failed) return put;
  return take_lease(false);
}

void Ownership::lose(const std::string& why) {
  std::function<void(const Error&)> tell;
  Error error(ErrorCode::write_protected, why);
  {
    const std::lock_guard lock(mutex_);
    if (lost_) return;
    lost_ = error;
    problem_ = why;
    tell = lost_listener_;
  }
  log_error("ownership", "this gateway was taken over", {{"error", why}});
  if (tell) tell(error);
}

Status Ownership::open() {
  const Status taken = renew();
  if (taken.ok()) return {};
  if (taken.error().disposition != Disposition::retry ||
      taken.error().code == ErrorCode::conflict) {
    return taken.error();
  }
  log_warning("ownership", "the store does not answer; the lease is taken later",
              {{"error", taken.error().message()}});
  const std::lock_guard lock(mutex_);
  problem_ = taken.error().context;
  next_ms_ = now_ms() + 1'000;
  return {};
}

bool Ownership::tick() {
  const std::lock_guard one(tick_mutex_);
  {
    const std::lock_guard lock(mutex_);
    if (lost_ || stopping_ || now_ms() < next_ms_) return false;
  }
  const Status done = renew();
  if (done.ok()) return true;
  if (done.error().code == ErrorCode::conflict) {
    lose(done.error().context);
    return true;
  }
  log_warning("ownership", "lease not renewed", {{"error", done.error().message()}});
  const std::lock_guard lock(mutex_);
  problem_ = done.error().context;
  next_ms_ = now_ms() + std::max<int64_t>(options_.lease_ttl_ms / kRenewals / 4, 1);
  return true;
}

void Ownership::start() {
  thread_ = std::thread([this] {
    while (true) {
      tick();
      std::unique_lock lock(mutex_);
      if (stopping_) return;
      const int64_t wait_ms = lost_ ? 60'000 : std::clamp<int64_t>(next_ms_ - now_ms(), 1, 10'000);
      wake_.wait_for(lock, std::chrono::milliseconds(wait_ms), [this] { return stopping_; });
    }
  });
}

void Ownership::stop() {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    stopping_ = true;
  }
  wake_.notify_all();
  // 1. A renewal that is under way ends, and with it the last change of the lease.
  if (thread_.joinable()) thread_.join();
  // 2. It is ended, under the condition of what the store holds now.
  Lease lease;
  {
    const std::lock_guard lock(mutex_);
    if (lost_ || !held_) return;
    lease = lease_;
  }
  lease.expires_unix_ms = 0;
  const Buffer document = encode_lease(lease);
  const Result<ObjectInfo> put =
      env_.store->put(lease_key(self_.id), source_of(document), when(lease.etag));
  if (!put.ok()) {
    log_warning("ownership", "lease not ended", {{"error", put.error().message()}});
  }
}

Status Ownership::may_write() {
  const std::lock_guard lock(mutex_);
  if (lost_) return *lost_;
  if (held_ && now_ms() < valid_until_ms_) return {};
  return Error(ErrorCode::unavailable,
               "the gateway's lease on the store " +
                   std::string(held_ ? "ran out and is not renewed yet" : "is not taken yet") +
                   (problem_.empty() ? "" : ": " + problem_));
}

bool Ownership::store_known() const {
  const std::lock_guard lock(mutex_);
  return held_;
}

uint64_t Ownership::lapses() const {
  const std::lock_guard lock(mutex_);
  return lapses_;
}

Result<bool> Ownership::has_company() {
  std::string after;
  do {
    ASSIGN_OR_RETURN(const auto page,
                     env_.store->list_folders(std::string(kGatewaysPrefix), after, 1'000));
    for (const std::string& id : page.names) {
      if (id != self_.id) return true;
    }
    after = page.next;
  } while (!after.empty());
  return false;
}

bool Ownership::conditional() const {
  const std::lock_guard lock(mutex_);
  return capabilities_ && capabilities_->conditional_put;
}

Ownership::View Ownership::view() const {
  const std::lock_guard lock(mutex_);
  return {lease_, capabilities_ && capabilities_->conditional_put, problem_};
}

// -- barcodes

Result<BarcodeClaim> Ownership::find_barcode(const std::string& barcode) {
  ASSIGN_OR_RETURN(const Versioned found,
                   read_versioned(*env_.store, barcode_key(barcode), kDocumentLimit));
  ASSIGN_OR_RETURN(BarcodeClaim claim, decode_barcode(found.content));
  claim.etag = found.info.etag;
  return claim;
}

Status Ownership::claim_barcode(const std::string& barcode, const Uuid& cartridge) {
  TRY(may_write());
  std::string etag;  // of a claim that nothing came of
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const Buffer document = encode_barcode({barcode, cartridge, self_.id, {}});
    const Result<ObjectInfo> put =
        env_.store->put(barcode_key(barcode), source_of(document), when(etag));
    if (put.ok()) return {};
    if (put.error().code != ErrorCode::precondition_failed) return put.error();
    etag.clear();
    const Result<BarcodeClaim> there = find_barcode(barcode);
    if (!there.ok() && there.error().code == ErrorCode::not_found) continue;
    if (!there.ok()) return there.error();
    if (there->cartridge == cartridge) return {};
    // Our own, of a creation that was cut short: nothing of that cartridge exists.
    bool made = there->gateway != self_.id;
    for (const std::string& key : {manifest_key(there->cartridge), owner_key(there->cartridge)}) {
      if (made) break;
      const Result<ObjectInfo> found = env_.store->head(key);
      if (!found.ok() && found.error().code != ErrorCode::not_found) return found.error();
      made = found.ok();
    }
    if (made) {
      return Error(ErrorCode::exists, "barcode " + barcode + " belongs to a cartridge of gateway " +
                                          there->gateway + " in the same store");
    }
    etag = there->etag;
  }
  return Error(ErrorCode::unavailable, "barcode " + barcode + " keeps changing in the store");
}

Status Ownership::claim_barcodes(const std::vector<std::pair<std::string, Uuid>>& claims) {
  std::vector<Status> results(claims.size());
  {
    WorkerPool pool(static_cast<unsigned>(std::min<size_t>(kClaimThreads, claims.size())));
    for (size_t i = 0; i < claims.size(); ++i) {
      pool.submit([&, i] { results[i] = claim_barcode(claims[i].first, claims[i].second); });
    }
  }
  const auto refused =
      std::find_if(results.begin(), results.end(), [](const Status& s) { return !s.ok(); });
  if (refused == results.end()) return {};
  for (size_t i = 0; i < claims.size(); ++i) {
    if (!results[i].ok()) continue;
    const Status undone = forget_barcode(claims[i].first);
    if (!undone.ok()) {
      // The next tape of that barcode here takes the claim over.
      log_warning("ownership", "barcode stays claimed", {{"error", undone.error().message()}});
    }
  }
  return refused->error();
}

Status Ownership::forget_barcode(const std::string& barcode) {
  TRY(may_write());
  return env_.store->remove(barcode_key(barcode));
}

// -- cartridges

Result<std::optional<Owner>> Ownership::owner_of(const Uuid& cartridge) {
  const Result<Versioned> found = read_versioned(*env_.store, owner_key(cartridge), kDocumentLimit);
  if (!found.ok()) {
    if (found.error().code == ErrorCode::not_found) return std::optional<Owner>();
    return found.error();
  }
  ASSIGN_OR_RETURN(Owner owner, decode_owner(found->content));
  owner.etag = found->info.etag;
  return std::optional<Owner>(std::move(owner));
}

void Ownership::forget(const Uuid& cartridge) {
  const std::lock_guard lock(mutex_);
  owners_.erase(cartridge);
}

void Ownership::forget_all() {
  const std::lock_guard lock(mutex_);
  owners_.clear();
}

Status Ownership::conflict_with(const Uuid& cartridge, const Owner& owner) const {
  const bool deleting = owner.state == OwnerState::deleting;
  const std::string state = deleting                             ? " is being deleted by gateway "
                            : owner.state == OwnerState::shelved ? " was archived by gateway "
                                                                 : " belongs to gateway ";
  const std::string way_out =
      !deleting     ? ""
      : ours(owner) ? ", which is this one; delete it once more, and that is gone on with"
                    : "; it is deleted there once more, or that gateway is recovered, which keeps "
                      "what still has its manifest";
  return Error(ErrorCode::conflict,
               "cartridge " + cartridge.to_string() + state + owner.gateway + way_out);
}

Status Ownership::change_owner(const Uuid& cartridge, const Judge& judge, bool once_more) {
  TRY(may_write());
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    std::optional<Owner> now;
    uint64_t epoch = 0;
    {
      const std::lock_guard lock(mutex_);
      epoch = lease_.epoch;
      // What we saw last is a guess that the condition of the put proves.
      const auto known = owners_.find(cartridge);
      if (attempt == 0 && known != owners_.end()) now = known->second;
    }
    const bool guessed = now.has_value();
    if (!guessed) {
      ASSIGN_OR_RETURN(now, owner_of(cartridge));
    }
    const Result<OwnerState> wanted =
        now && outlived_by(*now, epoch) ? Result<OwnerState>(conflict_with(cartridge, *now).error())
                                        : judge(now);
    if (!wanted.ok() && guessed) continue;
    if (!wanted.ok()) return wanted.error();
    Owner next{self_.id, self_.instance, epoch, *wanted, now ? now->change + 1 : 1, {}};
    const bool same = now && now->gateway == next.gateway && now->instance == next.instance &&
                      now->state == next.state;
    if (!same || once_more) {
      const Buffer document = encode_owner(next);
      const Result<ObjectInfo> put =
          env_.store->put(owner_key(cartridge), source_of(document), when(now ? now->etag : ""));
      forget(cartridge);
      if (!put.ok() && put.error().code == ErrorCode::precondition_failed) continue;
      if (!put.ok()) return put.error();
      next.etag = put->etag;
    } else {
      next = *now;
    }
    const std::lock_guard lock(mutex_);
    owners_[cartridge] = std::move(next);
    return {};
  }
  return Error(ErrorCode::unavailable,
               "the owner of cartridge " + cartridge.to_string() + " keeps changing");
}

Status Ownership::ensure_owned(const Uuid& cartridge) {
  const Judge judge = [&](const std::optional<Owner>& owner) -> Result<OwnerState> {
    if (!owner) return OwnerState::owned;
    if (ours(*owner) && owner->state != OwnerState::deleting) return owner->state;
    return conflict_with(cartridge, *owner).error();
  };
  return change_owner(cartridge, judge, false);
}

Status Ownership::acquire(const Uuid& cartridge) {
  return change_owner(cartridge, [&](const std::optional<Owner>& owner) -> Result<OwnerState> {
    const bool free = !owner || owner->state == OwnerState::shelved ||
                      (ours(*owner) && owner->state == OwnerState::owned);
    if (free) return OwnerState::owned;
    return conflict_with(cartridge, *owner).error();
  });
}

Status Ownership::shelve(const Uuid& cartridge) {
  return change_owner(cartridge, [&](const std::optional<Owner>& owner) -> Result<OwnerState> {
    if (!owner || (ours(*owner) && owner->state != OwnerState::deleting)) {
      return OwnerState::shelved;
    }
    return conflict_with(cartridge, *owner).error();
  });
}

Status Ownership::may_delete(const Uuid& cartridge) {
  TRY(may_write());
  ASSIGN_OR_RETURN(const auto owner, owner_of(cartridge));
  const uint64_t epoch = view().lease.epoch;
  if (!owner || (ours(*owner) && !outlived_by(*owner, epoch))) return {};
  return conflict_with(cartridge, *owner);
}

Status Ownership::begin_delete(const Uuid& cartridge) {
  return change_owner(cartridge, [&](const std::optional<Owner>& owner) -> Result<OwnerState> {
    if (!owner || ours(*owner)) return OwnerState::deleting;
    return conflict_with(cartridge, *owner).error();
  });
}

Status Ownership::take_back(const Uuid& cartridge, const Unbegun& unbegun) {
  forget(cartridge);
  const Judge judge = [&](const std::optional<Owner>& owner) -> Result<OwnerState> {
    if (!owner) return OwnerState::owned;
    if (!ours(*owner)) return conflict_with(cartridge, *owner).error();
    if (owner->state != OwnerState::deleting) return owner->state;
    ASSIGN_OR_RETURN(const bool nothing_gone, unbegun());
    if (nothing_gone) return OwnerState::owned;
    return conflict_with(cartridge, *owner).error();
  };
  return change_owner(cartridge, judge, false);
}

Status Ownership::take_over(const Uuid& cartridge, bool force) {
  TRY(ask_capabilities());
  // A rebuilt gateway takes what was its own; on a store without conditions it is alone.
  if (!conditional() && !options_.take_identity) {
    return Error(ErrorCode::not_supported, env_.store->describe() +
                                               " has no conditional writes: no cartridge can be " +
                                               "taken over from a gateway that may still write it");
  }
  forget(cartridge);
  return change_owner(cartridge, [&](const std::optional<Owner>& owner) -> Result<OwnerState> {
    if (!owner || ours(*owner)) return OwnerState::owned;
    if (owner->state == OwnerState::deleting) return conflict_with(cartridge, *owner).error();
    if (owner->state == OwnerState::shelved || force) return OwnerState::owned;
    const Result<Versioned> found =
        read_versioned(*env_.store, lease_key(owner->gateway), kDocumentLimit);
    if (!found.ok() && found.error().code != ErrorCode::not_found) return found.error();
    if (!found.ok()) return OwnerState::owned;
    ASSIGN_OR_RETURN(const Lease lease, decode_lease(found->content));
    if (!lease.alive(env_.clock->unix_ms())) return OwnerState::owned;
    return Error(ErrorCode::conflict,
                 "cartridge " + cartridge.to_string() + " belongs to gateway " + named(lease) +
                     ", which is alive; archive it there, or force the takeover: what it has not " +
                     "uploaded is lost then");
  });
}

}  // namespace coldshelf
