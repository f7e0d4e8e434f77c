// Pools in the catalog.
#include "catalog/catalog.h"
#include "catalog/catalog_state.h"

namespace coldshelf {

namespace {

using sqlite::Statement;

#define POOL_COLUMNS "name, storage_class, mode, lock, lock_days"

PoolRow pool_of(const Statement& s) {
  PoolRow row;
  row.name = s.column_text(0);
  row.storage_class = s.column_text(1);
  row.mode = s.column_text(2);
  row.lock = s.column_text(3);
  row.lock_days = s.column_count(4);
  return row;
}

}  // namespace

Status Catalog::put_pool(const PoolRow& row) {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(Statement s,
                   state_->prepare("INSERT INTO pools (" POOL_COLUMNS
                                   ") VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET "
                                   "storage_class = excluded.storage_class, mode = excluded.mode, "
                                   "lock = excluded.lock, lock_days = excluded.lock_days"));
  s.text(row.name).text(row.storage_class).text(row.mode).text(row.lock).count(row.lock_days);
  return s.run();
}

Result<std::vector<PoolRow>> Catalog::pools() {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(Statement s,
                   state_->prepare("SELECT " POOL_COLUMNS " FROM pools ORDER BY name"));
  std::vector<PoolRow> rows;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, s.step());
    if (!more) return rows;
    rows.push_back(pool_of(s));
  }
}

Result<std::optional<PoolRow>> Catalog::pool(std::string_view name) {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(Statement s,
                   state_->prepare("SELECT " POOL_COLUMNS " FROM pools WHERE name = ?"));
  s.text(name);
  ASSIGN_OR_RETURN(const bool found, s.step());
  if (!found) return std::optional<PoolRow>();
  return std::optional<PoolRow>(pool_of(s));
}

Status Catalog::remove_pool(std::string_view name) {
  const std::lock_guard lock(state_->mutex);
  {
    ASSIGN_OR_RETURN(Statement s, state_->prepare("SELECT COUNT(*) FROM tapes WHERE pool = ? AND "
                                                  "status <> 'DELETED'"));
    s.text(name);
    TRY(s.step());
    if (const int64_t tapes = s.column_integer(0); tapes > 0) {
      return Error(ErrorCode::conflict, "pool " + std::string(name) + " has " +
                                            std::to_string(tapes) +
                                            " tapes; delete or reassign them first");
    }
  }
  ASSIGN_OR_RETURN(Statement s, state_->prepare("DELETE FROM pools WHERE name = ?"));
  s.text(name);
  TRY(s.run());
  if (state_->database->changes() == 1) return {};
  return Error(ErrorCode::not_found, "there is no pool " + std::string(name));
}

}  // namespace coldshelf
