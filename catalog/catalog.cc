#include "catalog/catalog.h"

#include <algorithm>

#include "catalog/catalog_state.h"

namespace coldshelf {

namespace {

using sqlite::Database;
using sqlite::Statement;
using sqlite::Transaction;

// Schema versions in order; user_version says how many have been applied. A version that has been
// released is never edited: a change is a new entry.
constexpr const char* kSchemas[] = {
    // 1
    R"sql(
CREATE TABLE tapes (
  uuid BLOB PRIMARY KEY, barcode TEXT NOT NULL UNIQUE, medium TEXT NOT NULL,
  capacity_bytes INTEGER NOT NULL, used_bytes INTEGER NOT NULL, stored_bytes INTEGER NOT NULL,
  pool TEXT NOT NULL, status TEXT NOT NULL, worm INTEGER NOT NULL, write_protected INTEGER NOT NULL,
  created_ms INTEGER NOT NULL, status_changed_ms INTEGER NOT NULL, archived_ms INTEGER NOT NULL,
  manifest_generation INTEGER NOT NULL, uploaded_manifest_generation INTEGER NOT NULL,
  problem TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE segments (
  cartridge BLOB NOT NULL, sequence INTEGER NOT NULL, epoch INTEGER NOT NULL,
  stored_bytes INTEGER NOT NULL, sha256 BLOB NOT NULL, object_sha256 BLOB, state INTEGER NOT NULL,
  local INTEGER NOT NULL, storage_class TEXT NOT NULL, last_used_ms INTEGER NOT NULL,
  restored_until_ms INTEGER NOT NULL, PRIMARY KEY (cartridge, sequence, epoch)) WITHOUT ROWID;
CREATE INDEX segments_to_do ON segments (state, sequence) WHERE state < 3;
CREATE INDEX segments_to_evict ON segments (last_used_ms, sequence) WHERE state = 3 AND local = 1;
CREATE TABLE totals (
  id INTEGER PRIMARY KEY CHECK (id = 1), local_bytes INTEGER NOT NULL,
  not_uploaded_bytes INTEGER NOT NULL, segments INTEGER NOT NULL);
INSERT INTO totals VALUES (1, 0, 0, 0);
CREATE TRIGGER segment_added AFTER INSERT ON segments BEGIN
  UPDATE totals SET segments = segments + 1,
    local_bytes = local_bytes + NEW.local * NEW.stored_bytes,
    not_uploaded_bytes = not_uploaded_bytes + (NEW.state < 2) * NEW.stored_bytes;
END;
CREATE TRIGGER segment_removed AFTER DELETE ON segments BEGIN
  UPDATE totals SET segments = segments - 1,
    local_bytes = local_bytes - OLD.local * OLD.stored_bytes,
    not_uploaded_bytes = not_uploaded_bytes - (OLD.state < 2) * OLD.stored_bytes;
END;
CREATE TRIGGER segment_changed AFTER UPDATE OF state, local, stored_bytes ON segments BEGIN
  UPDATE totals SET
    local_bytes = local_bytes + NEW.local * NEW.stored_bytes - OLD.local * OLD.stored_bytes,
    not_uploaded_bytes = not_uploaded_bytes + (NEW.state < 2) * NEW.stored_bytes
                         - (OLD.state < 2) * OLD.stored_bytes;
END;
CREATE TABLE jobs (
  id INTEGER PRIMARY KEY AUTOINCREMENT, kind INTEGER NOT NULL, state INTEGER NOT NULL,
  cartridge BLOB NOT NULL, barcode TEXT NOT NULL, parameters TEXT NOT NULL, step TEXT NOT NULL,
  done_bytes INTEGER NOT NULL, total_bytes INTEGER NOT NULL, done_objects INTEGER NOT NULL,
  total_objects INTEGER NOT NULL, created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL,
  not_before_ms INTEGER NOT NULL, error TEXT NOT NULL);
CREATE UNIQUE INDEX one_unfinished_job ON jobs (cartridge) WHERE state < 3;
CREATE TABLE pools (name TEXT PRIMARY KEY, storage_class TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
)sql",
    // 2: pools' modes and locks, tapes retrieved in part, locked tapes
    R"sql(
ALTER TABLE pools ADD COLUMN mode TEXT NOT NULL DEFAULT 'staged';
ALTER TABLE pools ADD COLUMN lock TEXT NOT NULL DEFAULT '';
ALTER TABLE pools ADD COLUMN lock_days INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tapes ADD COLUMN parts TEXT NOT NULL DEFAULT '';
ALTER TABLE tapes ADD COLUMN lock_mode TEXT NOT NULL DEFAULT '';
ALTER TABLE tapes ADD COLUMN locked_until_ms INTEGER NOT NULL DEFAULT 0;
)sql",
    // 3: images; what each cartridge has where
    R"sql(
CREATE TABLE cartridges (
  uuid BLOB PRIMARY KEY, barcode TEXT NOT NULL, medium TEXT NOT NULL,
  capacity_bytes INTEGER NOT NULL, used_bytes INTEGER NOT NULL, stored_bytes INTEGER NOT NULL,
  pool TEXT NOT NULL, status TEXT NOT NULL, worm INTEGER NOT NULL, write_protected INTEGER NOT NULL,
  created_ms INTEGER NOT NULL, status_changed_ms INTEGER NOT NULL, archived_ms INTEGER NOT NULL,
  manifest_generation INTEGER NOT NULL, uploaded_manifest_generation INTEGER NOT NULL,
  problem TEXT NOT NULL, parts TEXT NOT NULL, lock_mode TEXT NOT NULL,
  locked_until_ms INTEGER NOT NULL, kind INTEGER NOT NULL, mode INTEGER NOT NULL,
  pinned INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO cartridges SELECT uuid, barcode, medium, capacity_bytes, used_bytes, stored_bytes, pool,
  status, worm, write_protected, created_ms, status_changed_ms, archived_ms, manifest_generation,
  uploaded_manifest_generation, problem, parts, lock_mode, locked_until_ms, 0, 0, 0 FROM tapes;
DROP TABLE tapes;
ALTER TABLE cartridges RENAME TO tapes;
CREATE UNIQUE INDEX tape_barcodes ON tapes (barcode) WHERE kind = 0;
CREATE UNIQUE INDEX image_names ON tapes (barcode) WHERE kind = 1;
CREATE TABLE usage (
  cartridge BLOB PRIMARY KEY, segments INTEGER NOT NULL, bytes INTEGER NOT NULL,
  local_bytes INTEGER NOT NULL, not_uploaded_bytes INTEGER NOT NULL,
  confirmed_bytes INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO usage SELECT cartridge, COUNT(*), SUM(stored_bytes), SUM(local * stored_bytes),
  SUM((state < 2) * stored_bytes), SUM((state >= 3) * stored_bytes) FROM segments
  GROUP BY cartridge;
CREATE TRIGGER usage_added AFTER INSERT ON segments BEGIN
  INSERT INTO usage VALUES (NEW.cartridge, 1, NEW.stored_bytes, NEW.local * NEW.stored_bytes,
    (NEW.state < 2) * NEW.stored_bytes, (NEW.state >= 3) * NEW.stored_bytes)
  ON CONFLICT (cartridge) DO UPDATE SET segments = segments + 1,
    bytes = bytes + excluded.bytes, local_bytes = local_bytes + excluded.local_bytes,
    not_uploaded_bytes = not_uploaded_bytes + excluded.not_uploaded_bytes,
    confirmed_bytes = confirmed_bytes + excluded.confirmed_bytes;
END;
CREATE TRIGGER usage_removed AFTER DELETE ON segments BEGIN
  UPDATE usage SET segments = segments - 1, bytes = bytes - OLD.stored_bytes,
    local_bytes = local_bytes - OLD.local * OLD.stored_bytes,
    not_uploaded_bytes = not_uploaded_bytes - (OLD.state < 2) * OLD.stored_bytes,
    confirmed_bytes = confirmed_bytes - (OLD.state >= 3) * OLD.stored_bytes
    WHERE cartridge = OLD.cartridge;
  DELETE FROM usage WHERE cartridge = OLD.cartridge AND segments = 0;
END;
CREATE TRIGGER usage_changed AFTER UPDATE OF state, local, stored_bytes ON segments BEGIN
  UPDATE usage SET bytes = bytes + NEW.stored_bytes - OLD.stored_bytes,
    local_bytes = local_bytes + NEW.local * NEW.stored_bytes - OLD.local * OLD.stored_bytes,
    not_uploaded_bytes = not_uploaded_bytes + (NEW.state < 2) * NEW.stored_bytes
                         - (OLD.state < 2) * OLD.stored_bytes,
    confirmed_bytes = confirmed_bytes + (NEW.state >= 3) * NEW.stored_bytes
                      - (OLD.state >= 3) * OLD.stored_bytes
    WHERE cartridge = NEW.cartridge;
END;
)sql",
};
constexpr int64_t kSchemaVersion = static_cast<int64_t>(std::size(kSchemas));

// The numbers the schema's conditions are written with.
static_assert(static_cast<int>(SegmentState::uploaded) == 2);
static_assert(static_cast<int>(SegmentState::verified) == 3);
static_assert(static_cast<int>(SegmentState::evicted) == 4);
static_assert(static_cast<int>(JobState::succeeded) == 3);
static_assert(static_cast<int>(RowKind::image) == 1);
static_assert(static_cast<int>(ImageMode::stored) == 1);

#define TAPE_COLUMNS                                                                       \
  "uuid, barcode, medium, capacity_bytes, used_bytes, stored_bytes, pool, status, worm, "  \
  "write_protected, created_ms, status_changed_ms, archived_ms, manifest_generation, "     \
  "uploaded_manifest_generation, problem, parts, lock_mode, locked_until_ms, kind, mode, " \
  "pinned"

Result<TapeRow> tape_of(const Statement& s) {
  TapeRow row;
  row.barcode = s.column_text(1);
  if (!column_uuid(s, 0, row.uuid)) return damaged_row("uuid of tape " + row.barcode);
  row.medium = s.column_text(2);
  row.capacity_bytes = s.column_count(3);
  row.used_bytes = s.column_count(4);
  row.stored_bytes = s.column_count(5);
  row.pool = s.column_text(6);
  const auto status = parse_tape_status(s.column_text(7));
  if (!status) return damaged_row("status of tape " + row.barcode);
  row.status = *status;
  row.worm = s.column_integer(8) != 0;
  row.write_protected = s.column_integer(9) != 0;
  row.created_ms = s.column_integer(10);
  row.status_changed_ms = s.column_integer(11);
  row.archived_ms = s.column_integer(12);
  row.manifest_generation = s.column_count(13);
  row.uploaded_manifest_generation = s.column_count(14);
  row.problem = s.column_text(15);
  row.parts = s.column_text(16);
  row.lock_mode = s.column_text(17);
  row.locked_until_ms = s.column_integer(18);
  row.kind = s.column_integer(19) == 0 ? RowKind::tape : RowKind::image;
  row.mode = s.column_integer(20) == 0 ? ImageMode::cached : ImageMode::stored;
  row.pinned = s.column_integer(21) != 0;
  return row;
}

Result<std::optional<TapeRow>> one_tape(Statement& s) {
  ASSIGN_OR_RETURN(const bool found, s.step());
  if (!found) return std::optional<TapeRow>();
  ASSIGN_OR_RETURN(TapeRow row, tape_of(s));
  return std::optional<TapeRow>(std::move(row));
}

Result<std::vector<TapeRow>> all_tapes(Statement& s) {
  std::vector<TapeRow> rows;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, s.step());
    if (!more) return rows;
    ASSIGN_OR_RETURN(TapeRow row, tape_of(s));
    rows.push_back(std::move(row));
  }
}

Result<int64_t> user_version(Database& database) {
  ASSIGN_OR_RETURN(Statement s, database.prepare("PRAGMA user_version"));
  ASSIGN_OR_RETURN(const bool row, s.step());
  return row ? s.column_integer(0) : 0;
}

Status upgrade_schema(Database& database, const std::string& path) {
  ASSIGN_OR_RETURN(const int64_t found, user_version(database));
  if (found > kSchemaVersion) {
    return Error(ErrorCode::unsupported_version,
                 "catalog " + path + " has schema version " + std::to_string(found) +
                     ", newer than this program's " + std::to_string(kSchemaVersion));
  }
  for (int64_t version = found; version < kSchemaVersion; ++version) {
    ASSIGN_OR_RETURN(Transaction transaction, Transaction::begin(database));
    TRY(database.execute(kSchemas[version]));
    TRY(database.execute("PRAGMA user_version = " + std::to_string(version + 1)));
    TRY(transaction.commit());
  }
  return {};
}

Status changed_one(const Database& database, const Uuid& uuid) {
  if (database.changes() == 1) return {};
  return Error(ErrorCode::not_found, "catalog: no tape " + uuid.to_string());
}

}  // namespace

Catalog::Catalog(std::unique_ptr<State> state) : state_(std::move(state)) {}
Catalog::~Catalog() = default;

Result<std::unique_ptr<Catalog>> Catalog::open(const std::string& path) {
  ASSIGN_OR_RETURN(auto database, Database::open(path));
  // A commit is durable when it returns: WAL with FULL syncs the log at each one.
  TRY(
      database->execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; "
                        "PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY"));
  TRY(upgrade_schema(*database, path));
  auto state = std::make_unique<State>();
  state->database = std::move(database);
  std::unique_ptr<Catalog> catalog(new Catalog(std::move(state)));
  TRY(catalog->begin_counting());
  return catalog;
}

Status Catalog::put_tape(const TapeRow& row) {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(
      Statement s,
      state_->prepare(
          "INSERT INTO tapes (" TAPE_COLUMNS
          ") VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (uuid) DO UPDATE SET "
          "barcode = excluded.barcode, medium = excluded.medium, "
          "capacity_bytes = excluded.capacity_bytes, used_bytes = excluded.used_bytes, "
          "stored_bytes = excluded.stored_bytes, pool = excluded.pool, "
          "status = excluded.status, worm = excluded.worm, "
          "write_protected = excluded.write_protected, "
          "created_ms = excluded.created_ms, "
          "status_changed_ms = excluded.status_changed_ms, "
          "archived_ms = excluded.archived_ms, "
          "manifest_generation = excluded.manifest_generation, "
          "uploaded_manifest_generation = excluded.uploaded_manifest_generation, "
          "problem = excluded.problem, parts = excluded.parts, "
          "lock_mode = excluded.lock_mode, "
          "locked_until_ms = excluded.locked_until_ms, kind = excluded.kind, "
          "mode = excluded.mode, pinned = excluded.pinned"));
  s.blob(row.uuid.view()).text(row.barcode).text(row.medium).count(row.capacity_bytes);
  s.count(row.used_bytes).count(row.stored_bytes).text(row.pool).text(to_string(row.status));
  s.integer(row.worm).integer(row.write_protected).integer(row.created_ms);
  s.integer(row.status_changed_ms).integer(row.archived_ms).count(row.manifest_generation);
  s.count(row.uploaded_manifest_generation).text(row.problem).text(row.parts);
  s.text(row.lock_mode).integer(row.locked_until_ms).integer(static_cast<int64_t>(row.kind));
  s.integer(static_cast<int64_t>(row.mode)).integer(row.pinned);
  Status done = s.run();
  if (!done.ok() && done.error().code == ErrorCode::exists) {
    if (row.kind == RowKind::image) {
      return Error(ErrorCode::exists, "another image has the name " + row.barcode);
    }
    return Error(ErrorCode::exists,
                 "barcode " + row.barcode + " is taken, or was by a deleted tape");
  }
  return done;
}

Result<std::optional<TapeRow>> Catalog::tape(const Uuid& uuid) {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(Statement s,
                   state_->prepare("SELECT " TAPE_COLUMNS " FROM tapes WHERE uuid = ?"));
  s.blob(uuid.view());
  return one_tape(s);
}

Result<std::optional<TapeRow>> Catalog::tape_by_barcode(std::string_view barcode) {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(Statement s, state_->prepare("SELECT " TAPE_COLUMNS
                                                " FROM tapes WHERE kind = 0 AND barcode = ?"));
  s.text(barcode);
  return one_tape(s);
}

Result<std::vector<TapeRow>> Catalog::tapes(size_t limit, std::string_view after_barcode) {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(Statement s,
                   state_->prepare("SELECT " TAPE_COLUMNS " FROM tapes WHERE kind = 0 AND "
                                   "status <> 'DELETED' AND barcode > ? ORDER BY barcode LIMIT ?"));
  s.text(after_barcode).integer(limit == 0 ? -1 : static_cast<int64_t>(limit));
  return all_tapes(s);
}

Result<std::vector<TapeRow>> Catalog::deleted_tapes() {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(Statement s,
                   state_->prepare("SELECT " TAPE_COLUMNS " FROM tapes WHERE kind = 0 AND "
                                   "status = 'DELETED' ORDER BY barcode"));
  return all_tapes(s);
}

Result<std::optional<TapeRow>> Catalog::image_by_name(std::string_view name) {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(Statement s, state_->prepare("SELECT " TAPE_COLUMNS
                                                " FROM tapes WHERE kind = 1 AND barcode = ?"));
  s.text(name);
  return one_tape(s);
}

Result<std::vector<TapeRow>> Catalog::images() {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(Statement s, state_->prepare("SELECT " TAPE_COLUMNS
                                                " FROM tapes WHERE kind = 1 ORDER BY barcode"));
  return all_tapes(s);
}

Status Catalog::set_tape_status(const Uuid& uuid, TapeStatus status, int64_t now_ms) {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(Statement s,
                   state_->prepare("UPDATE tapes SET status = ?1, status_changed_ms = ?2, "
                                   "archived_ms = CASE WHEN ?1 = 'ARCHIVED' AND status <> "
                                   "'RETRIEVING' THEN ?2 ELSE archived_ms END WHERE uuid = ?3"));
  s.text(to_string(status)).integer(now_ms).blob(uuid.view());
  TRY(s.run());
  return changed_one(*state_->database, uuid);
}

Status Catalog::set_tape_deleted(const Uuid& uuid, int64_t now_ms) {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(Transaction transaction, Transaction::begin(*state_->database));
  {
    ASSIGN_OR_RETURN(Statement s, state_->prepare("DELETE FROM segments WHERE cartridge = ?"));
    s.blob(uuid.view());
    TRY(s.run());
  }
  {
    ASSIGN_OR_RETURN(Statement s,
                     state_->prepare("UPDATE tapes SET status = 'DELETED', status_changed_ms = ?, "
                                     "used_bytes = 0, stored_bytes = 0, problem = '' "
                                     "WHERE uuid = ?"));
    s.integer(now_ms).blob(uuid.view());
    TRY(s.run());
    TRY(changed_one(*state_->database, uuid));
  }
  return transaction.commit();
}

Status Catalog::set_tape_problem(const Uuid& uuid, std::string_view problem) {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(Statement s, state_->prepare("UPDATE tapes SET problem = ? WHERE uuid = ?"));
  s.text(problem).blob(uuid.view());
  TRY(s.run());
  return changed_one(*state_->database, uuid);
}

Status Catalog::set_tape_pool(const Uuid& uuid, std::string_view pool) {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(Statement s, state_->prepare("UPDATE tapes SET pool = ? WHERE uuid = ?"));
  s.text(pool).blob(uuid.view());
  TRY(s.run());
  return changed_one(*state_->database, uuid);
}

Status Catalog::set_tape_parts(const Uuid& uuid, std::string_view parts) {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(Statement s, state_->prepare("UPDATE tapes SET parts = ? WHERE uuid = ?"));
  s.text(parts).blob(uuid.view());
  TRY(s.run());
  return changed_one(*state_->database, uuid);
}

Status Catalog::set_tape_lock(const Uuid& uuid, std::string_view mode, int64_t until_ms) {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(
      Statement s,
      state_->prepare("UPDATE tapes SET lock_mode = ?, locked_until_ms = ? WHERE uuid = ?"));
  s.text(mode).integer(until_ms).blob(uuid.view());
  TRY(s.run());
  return changed_one(*state_->database, uuid);
}

Status Catalog::set_tape_usage(const Uuid& uuid, uint64_t used_bytes, uint64_t stored_bytes,
                               uint64_t generation, bool write_protected) {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(Statement s,
                   state_->prepare("UPDATE tapes SET used_bytes = ?, stored_bytes = ?, "
                                   "manifest_generation = ?, write_protected = ? WHERE uuid = ?"));
  s.count(used_bytes).count(stored_bytes).count(generation).integer(write_protected);
  s.blob(uuid.view());
  TRY(s.run());
  return changed_one(*state_->database, uuid);
}

Status Catalog::set_uploaded_generation(const Uuid& uuid, uint64_t generation) {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(
      Statement s,
      state_->prepare("UPDATE tapes SET uploaded_manifest_generation = ? WHERE uuid = ?"));
  s.count(generation).blob(uuid.view());
  TRY(s.run());
  return changed_one(*state_->database, uuid);
}

Status Catalog::set_setting(std::string_view name, std::string_view value) {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(
      Statement s,
      state_->prepare("INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) "
                      "DO UPDATE SET value = excluded.value"));
  s.text(name).text(value);
  return s.run();
}

Result<std::optional<std::string>> Catalog::setting(std::string_view name) {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(Statement s, state_->prepare("SELECT value FROM settings WHERE name = ?"));
  s.text(name);
  ASSIGN_OR_RETURN(const bool found, s.step());
  if (!found) return std::optional<std::string>();
  return std::optional<std::string>(s.column_text(0));
}

}  // namespace coldshelf
