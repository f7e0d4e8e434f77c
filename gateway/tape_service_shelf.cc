// Retrieving, pools and what things cost.
#include <algorithm>

#include "base/log.h"
#include "gateway/pools.h"
#include "gateway/tape_service.h"

namespace coldshelf {

namespace {
constexpr uint64_t kDownloadBytes = 4 * MiB;  // of a GET when a segment is recalled
constexpr unsigned kReassignDays = 1;
}  // namespace

Result<int64_t> TapeService::retrieve(std::string_view barcode,
                                      const Shelf::RetrieveRequest& request) {
  const std::lock_guard operation(operations_mutex_);
  Result<TapeRow> known = tape(barcode);
  if (!known.ok() && known.error().code == ErrorCode::not_found) {
    // Another gateway may have archived it.
    known = env_.shelf->import_from_shelf(std::string(barcode));
  }
  ASSIGN_OR_RETURN(const TapeRow row, std::move(known));
  if (row.status != TapeStatus::archived && row.status != TapeStatus::retrieved &&
      row.status != TapeStatus::irrecoverable) {
    return Error(ErrorCode::conflict,
                 "tape " + row.barcode + " is " + std::string(to_string(row.status)) +
                     "; it must be ARCHIVED to be retrieved, or RETRIEVED to get more of it");
  }
  Shelf::RetrieveRequest with_days = request;
  if (with_days.days == 0) with_days.days = options_.restore_days;
  return env_.shelf->retrieve(row.uuid, with_days);
}

Status TapeService::cancel_job(std::string_view barcode) {
  ASSIGN_OR_RETURN(const TapeRow row, tape(barcode));
  ASSIGN_OR_RETURN(const auto job, env_.catalog->unfinished_job(row.uuid));
  if (!job) {
    return Error(ErrorCode::conflict, "nothing is under way with tape " + row.barcode);
  }
  switch (job->kind) {
    case JobKind::archive:
      return cancel_archive(barcode);
    case JobKind::retrieve:
      return cancel_retrieve(barcode);
    case JobKind::reassign:
      return env_.shelf->cancel_reassign(row.uuid);
    default:
      return Error(ErrorCode::conflict,
                   "a job of kind " + std::string(to_string(job->kind)) + " cannot be cancelled");
  }
}

// -- legal holds

Result<int64_t> TapeService::set_hold(std::string_view barcode, bool on) {
  const std::lock_guard operation(operations_mutex_);
  ASSIGN_OR_RETURN(const TapeRow row, tape(barcode));
  const bool here = row.status == TapeStatus::available || row.status == TapeStatus::retrieved ||
                    row.status == TapeStatus::recovered;
  if (!here && row.status != TapeStatus::archived) {
    return Error(ErrorCode::conflict, "tape " + row.barcode + " is " +
                                          std::string(to_string(row.status)) +
                                          "; it must be in the library or ARCHIVED");
  }
  TRY(env_.catalog->check_no_job(row.uuid));
  if (here) {
    // A tape in a drive may be written this very moment.
    if (env_.vault->in_use(row.uuid)) {
      return Error(ErrorCode::busy, "tape " + row.barcode + " is in a drive; unload it first");
    }
    std::vector<ManifestEdit> edits = {
        SetProperty{std::string(kLegalHoldProperty), on ? "on" : ""}};
    // Retrieved and recovered ones are write-protected anyway, and stay so.
    if (row.status == TapeStatus::available) edits.push_back(SetWriteProtected{on});
    ASSIGN_OR_RETURN([[maybe_unused]] const uint64_t generation, env_.vault->edit(row.uuid, edits));
  }
  log_info("tapes", on ? "tape held" : "tape released", {{"barcode", row.barcode}});
  return env_.shelf->hold(row.uuid, on);
}

// -- pools

Status TapeService::add_pool(const PoolRow& pool) {
  const std::lock_guard operation(operations_mutex_);
  TRY(check_pool(pool));
  ASSIGN_OR_RETURN(const auto old, env_.catalog->pool(pool.name));
  if (old && *old == pool) return {};
  if (old) {
    return Error(ErrorCode::exists, "there is a pool " + old->name + " in class " +
                                        old->storage_class + "; a pool cannot be changed");
  }
  if (env_.store != nullptr) TRY(check_pool_fits(pool, *env_.store));
  TRY(env_.catalog->put_pool(pool));
  const std::lock_guard lock(state_mutex_);
  library_changed_ = true;
  return {};
}

Status TapeService::remove_pool(const std::string& name) {
  const std::lock_guard operation(operations_mutex_);
  if (name == options_.default_pool) {
    return Error(ErrorCode::conflict,
                 "pool " + name + " is the one of tapes made without a pool; it stays");
  }
  TRY(env_.catalog->remove_pool(name));
  const std::lock_guard lock(state_mutex_);
  library_changed_ = true;
  return {};
}

Result<std::vector<PoolView>> TapeService::list_pools() {
  ASSIGN_OR_RETURN(const auto pools, env_.catalog->pools());
  ASSIGN_OR_RETURN(auto tapes, env_.catalog->tapes());
  ASSIGN_OR_RETURN(const auto images, env_.catalog->images());  // archives of EBS snapshots
  tapes.insert(tapes.end(), images.begin(), images.end());
  std::vector<PoolView> out;
  for (const PoolRow& pool : pools) {
    PoolView view;
    view.row = pool;
    for (const TapeRow& row : tapes) {
      if (row.pool != pool.name) continue;
      ++view.tapes;
      view.used_bytes += row.used_bytes;
      ASSIGN_OR_RETURN(const TapeCost cost, cost_of(row));
      for (const ObjectGroup& g : cost.stored) {
        add_objects(view.stored, g.storage_class, g.objects, g.bytes);
      }
    }
    view.monthly = monthly_cost(options_.prices, view.stored);
    out.push_back(std::move(view));
  }
  return out;
}

Result<std::optional<int64_t>> TapeService::assign_pool(std::string_view barcode,
                                                        const std::string& pool, RestoreTier tier) {
  const std::lock_guard operation(operations_mutex_);
  ASSIGN_OR_RETURN(const TapeRow row, tape(barcode));
  ASSIGN_OR_RETURN(const std::string name, choose_pool(pool));
  if (row.status == TapeStatus::archived) {
    ASSIGN_OR_RETURN(const int64_t job, env_.shelf->reassign(row.uuid, name, tier));
    return std::optional<int64_t>(job);
  }
  if (row.pool == name) return std::optional<int64_t>();
  // Out of the library while its manifest is written: no drive may open it meanwhile.
  ASSIGN_OR_RETURN(const auto address, take_out(row));
  const Status assigned = env_.shelf->assign_pool(row.uuid, name);
  if (address) put_back(row, address);
  TRY(assigned);
  return std::optional<int64_t>();
}

// -- costs

Result<TapeCost> TapeService::cost_of(const TapeRow& row) {
  ASSIGN_OR_RETURN(const auto usage, env_.catalog->usage_by_class(row.uuid));
  TapeCost out;
  for (const Catalog::ClassUsage& one : usage) {
    auto storage_class = parse_storage_class(one.storage_class);
    if (!storage_class) {
      // After a rebuild of the catalog: the pool's, until the store was asked.
      ASSIGN_OR_RETURN(const auto pool, env_.catalog->pool(row.pool));
      if (pool) storage_class = parse_storage_class(pool->storage_class);
    }
    if (!storage_class) continue;
    add_objects(out.stored, *storage_class, one.objects, one.bytes);
    out.minimum_days = std::max(out.minimum_days, minimum_days(*storage_class));
  }
  out.monthly = monthly_cost(options_.prices, out.stored);
  return out;
}

Result<RetrieveEstimate> TapeService::estimate_retrieve(const Uuid& cartridge,
                                                        const std::vector<TapeRange>& parts,
                                                        unsigned days) {
  ASSIGN_OR_RETURN(const Shelf::Holdings held, env_.shelf->holdings(cartridge, parts));
  RetrieveEstimate out;
  out.days = days == 0 ? options_.restore_days : days;
  for (const ObjectGroup& group : held.stored) {
    out.objects += group.objects;
    out.bytes += group.bytes;
  }
  for (const RestoreTier tier :
       {RestoreTier::expedited, RestoreTier::standard, RestoreTier::bulk}) {
    RetrieveEstimate::Tier one;
    one.tier = tier;
    one.cost = restore_cost(options_.prices, held.to_restore, tier, out.days);
    one.time = env_.shelf->time_to_restore(held.to_restore, tier).value_or(RestoreTime{});
    out.tiers.push_back(std::move(one));
  }
  out.reading = reading_cost(options_.prices, held.stored, kDownloadBytes);
  return out;
}

Result<MoveCost> TapeService::estimate_assign(const Uuid& cartridge, const std::string& pool,
                                              RestoreTier tier) {
  ASSIGN_OR_RETURN(const auto known, env_.catalog->tape(cartridge));
  if (!known) return Error(ErrorCode::not_found, "there is no cartridge " + cartridge.to_string());
  const TapeRow& row = *known;
  ASSIGN_OR_RETURN(const std::string name, choose_pool(pool));
  ASSIGN_OR_RETURN(const auto target, env_.catalog->pool(name));
  if (!target) return Error(ErrorCode::not_found, "there is no pool " + name);
  const auto to = parse_storage_class(target->storage_class);
  if (!to) return Error(ErrorCode::internal, "pool " + name + " has an unknown class");
  ASSIGN_OR_RETURN(const Shelf::Holdings held, env_.shelf->holdings(row.uuid, {}));
  if (row.status != TapeStatus::archived) {
    MoveCost nothing;  // it moves when it is archived, as it would have to its old pool
    nothing.monthly_before = nothing.monthly_after =
        monthly_cost(options_.prices, held.stored).total();
    return nothing;
  }
  const int64_t age_ms =
      row.archived_ms == 0 ? 0 : std::max<int64_t>(0, env_.clock->unix_ms() - row.archived_ms);
  const auto cost = move_cost(options_.prices, held.stored, *to, tier, kReassignDays, age_ms);
  if (cost) return *cost;
  return Error(ErrorCode::invalid_argument, "the tape's class has no " +
                                                std::string(to_string(tier)) +
                                                " retrieval; use Standard or Bulk");
}

}  // namespace coldshelf
