// Segments in the catalog.
#include <algorithm>

#include "catalog/catalog.h"
#include "catalog/catalog_state.h"

namespace coldshelf {

namespace {

using sqlite::Statement;
using sqlite::Transaction;

#define SEGMENT_COLUMNS                                                             \
  "cartridge, sequence, epoch, stored_bytes, sha256, object_sha256, state, local, " \
  "storage_class, last_used_ms, restored_until_ms"

bool column_digest(const Statement& s, int column, Sha256Digest& out) {
  const ByteView bytes = s.column_blob(column);
  if (bytes.size() != out.size()) return false;
  std::copy(bytes.begin(), bytes.end(), out.begin());
  return true;
}

Result<SegmentRow> segment_of(const Statement& s) {
  SegmentRow row;
  row.sequence = s.column_count(1);
  row.epoch = s.column_count(2);
  row.stored_bytes = s.column_count(3);
  const int64_t state = s.column_integer(6);
  if (!column_uuid(s, 0, row.cartridge) || !column_digest(s, 4, row.sha256) || state < 0 ||
      state > static_cast<int64_t>(SegmentState::recalling)) {
    return damaged_row("segment " + std::to_string(row.sequence));
  }
  if (!s.column_is_null(5)) {
    Sha256Digest digest{};
    if (!column_digest(s, 5, digest)) {
      return damaged_row("object digest of segment " + std::to_string(row.sequence));
    }
    row.object_sha256 = digest;
  }
  row.state = static_cast<SegmentState>(state);
  row.local = s.column_integer(7) != 0;
  row.storage_class = s.column_text(8);
  row.last_used_ms = s.column_integer(9);
  row.restored_until_ms = s.column_integer(10);
  return row;
}

Result<std::vector<SegmentRow>> all_segments(Statement& s) {
  std::vector<SegmentRow> rows;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, s.step());
    if (!more) return rows;
    ASSIGN_OR_RETURN(SegmentRow row, segment_of(s));
    rows.push_back(std::move(row));
  }
}

Status changed_one(const sqlite::Database& database, const Uuid& cartridge, uint64_t sequence) {
  if (database.changes() == 1) return {};
  return Error(ErrorCode::not_found, "catalog: no segment " + std::to_string(sequence) +
                                         " of cartridge " + cartridge.to_string());
}

}  // namespace

Status Catalog::put_segments(const std::vector<SegmentRow>& rows) {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(Transaction transaction, Transaction::begin(*state_->database));
  for (const SegmentRow& row : rows) {
    ASSIGN_OR_RETURN(
        Statement s,
        state_->prepare("INSERT INTO segments (" SEGMENT_COLUMNS
                        ") VALUES (?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (cartridge, sequence, epoch) "
                        "DO UPDATE SET stored_bytes = excluded.stored_bytes, "
                        "sha256 = excluded.sha256, object_sha256 = excluded.object_sha256, "
                        "state = excluded.state, local = excluded.local, "
                        "storage_class = excluded.storage_class, "
                        "last_used_ms = excluded.last_used_ms, "
                        "restored_until_ms = excluded.restored_until_ms"));
    s.blob(row.cartridge.view()).count(row.sequence).count(row.epoch).count(row.stored_bytes);
    s.blob(row.sha256);
    if (row.object_sha256) {
      s.blob(*row.object_sha256);
    } else {
      s.null();
    }
    s.integer(static_cast<int64_t>(row.state)).integer(row.local).text(row.storage_class);
    s.integer(row.last_used_ms).integer(row.restored_until_ms);
    TRY(s.run());
  }
  return transaction.commit();
}

Status Catalog::remove_segments(const Uuid& cartridge,
                                const std::vector<std::pair<uint64_t, uint64_t>>& sequence_epoch) {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(Transaction transaction, Transaction::begin(*state_->database));
  for (const auto& [sequence, epoch] : sequence_epoch) {
    ASSIGN_OR_RETURN(Statement s, state_->prepare("DELETE FROM segments WHERE cartridge = ? AND "
                                                  "sequence = ? AND epoch = ?"));
    s.blob(cartridge.view()).count(sequence).count(epoch);
    TRY(s.run());
  }
  return transaction.commit();
}

Result<std::vector<SegmentRow>> Catalog::segments(const Uuid& cartridge) {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(Statement s, state_->prepare("SELECT " SEGMENT_COLUMNS
                                                " FROM segments WHERE cartridge = ? ORDER BY "
                                                "sequence, epoch"));
  s.blob(cartridge.view());
  return all_segments(s);
}

Result<std::optional<SegmentRow>> Catalog::segment(const Uuid& cartridge, uint64_t sequence,
                                                   uint64_t epoch) {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(Statement s, state_->prepare("SELECT " SEGMENT_COLUMNS
                                                " FROM segments WHERE cartridge = ? AND "
                                                "sequence = ? AND epoch = ?"));
  s.blob(cartridge.view()).count(sequence).count(epoch);
  ASSIGN_OR_RETURN(const bool found, s.step());
  if (!found) return std::optional<SegmentRow>();
  ASSIGN_OR_RETURN(SegmentRow row, segment_of(s));
  return std::optional<SegmentRow>(std::move(row));
}

Result<std::vector<SegmentRow>> Catalog::segments_in_state(SegmentState state, size_t limit) {
  const std::lock_guard lock(state_->mutex);
  // The first form can use the partial index of work to do, which a bare parameter cannot.
  ASSIGN_OR_RETURN(
      Statement s,
      state_->prepare(state < SegmentState::verified
                          ? "SELECT " SEGMENT_COLUMNS
                            " FROM segments WHERE state = ? AND state < 3 ORDER BY sequence LIMIT ?"
                          : "SELECT " SEGMENT_COLUMNS
                            " FROM segments WHERE state = ? ORDER BY sequence LIMIT ?"));
  s.integer(static_cast<int64_t>(state)).count(limit);
  return all_segments(s);
}

Status Catalog::set_segment_state(const Uuid& cartridge, uint64_t sequence, uint64_t epoch,
                                  SegmentState state, bool local, std::string_view storage_class) {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(Statement s,
                   state_->prepare("UPDATE segments SET state = ?, local = ?, storage_class = ? "
                                   "WHERE cartridge = ? AND sequence = ? AND epoch = ?"));
  s.integer(static_cast<int64_t>(state)).integer(local).text(storage_class);
  s.blob(cartridge.view()).count(sequence).count(epoch);
  TRY(s.run());
  return changed_one(*state_->database, cartridge, sequence);
}

Status Catalog::set_segment_uploaded(const Uuid& cartridge, uint64_t sequence, uint64_t epoch,
                                     SegmentState state, bool local, std::string_view storage_class,
                                     const Sha256Digest& object_sha256) {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(Statement s,
                   state_->prepare("UPDATE segments SET state = ?, local = ?, storage_class = ?, "
                                   "object_sha256 = ? WHERE cartridge = ? AND sequence = ? AND "
                                   "epoch = ?"));
  s.integer(static_cast<int64_t>(state)).integer(local).text(storage_class).blob(object_sha256);
  s.blob(cartridge.view()).count(sequence).count(epoch);
  TRY(s.run());
  return changed_one(*state_->database, cartridge, sequence);
}

Status Catalog::set_restored_until(const Uuid& cartridge, uint64_t sequence, uint64_t epoch,
                                   int64_t until_ms) {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(Statement s,
                   state_->prepare("UPDATE segments SET restored_until_ms = ? WHERE cartridge = ? "
                                   "AND sequence = ? AND epoch = ?"));
  s.integer(until_ms).blob(cartridge.view()).count(sequence).count(epoch);
  TRY(s.run());
  return changed_one(*state_->database, cartridge, sequence);
}

Status Catalog::touch_segment(const Uuid& cartridge, uint64_t sequence, uint64_t epoch,
                              int64_t now_ms) {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(Statement s,
                   state_->prepare("UPDATE segments SET last_used_ms = ? WHERE cartridge = ? AND "
                                   "sequence = ? AND epoch = ?"));
  s.integer(now_ms).blob(cartridge.view()).count(sequence).count(epoch);
  TRY(s.run());
  return changed_one(*state_->database, cartridge, sequence);
}

Result<std::vector<SegmentRow>> Catalog::eviction_candidates(size_t limit,
                                                             const std::set<Uuid>& kept) {
  const std::lock_guard lock(state_->mutex);
  // A list of any length in one parameter; SQLite's hex() gives capitals.
  std::string list;
  for (const Uuid& cartridge : kept) list += to_hex(cartridge.view()) + ",";
  std::transform(list.begin(), list.end(), list.begin(), [](char c) {
    return c >= 'a' && c <= 'f' ? static_cast<char>(c - 'a' + 'A') : c;
  });
  // What was put straight into an archive class cannot be read back while the tape is in use: its
  // local copy stays until the tape is archived (docs/shelf.md, "direct").
  ASSIGN_OR_RETURN(
      Statement s,
      state_->prepare("SELECT " SEGMENT_COLUMNS " FROM segments WHERE state = 3 AND local = 1 AND "
                      "instr(?, hex(cartridge)) = 0 AND NOT (storage_class IN "
                      "('GLACIER', 'DEEP_ARCHIVE') AND EXISTS (SELECT 1 FROM tapes WHERE "
                      "tapes.uuid = segments.cartridge AND tapes.status IN ('CREATING', "
                      "'AVAILABLE', 'RECOVERED', 'IN TRANSIT TO VTS', 'ARCHIVING'))) "
                      "AND NOT EXISTS (SELECT 1 FROM tapes WHERE tapes.uuid = segments.cartridge "
                      "AND kind = 1 AND (mode = 1 OR pinned = 1)) "
                      "ORDER BY last_used_ms, sequence LIMIT ?"));
  s.text(list).count(limit);
  return all_segments(s);
}

Result<std::vector<SegmentRow>> Catalog::evicted_segments(const Uuid& cartridge,
                                                          uint64_t from_sequence, size_t limit) {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(Statement s,
                   state_->prepare("SELECT " SEGMENT_COLUMNS
                                   " FROM segments WHERE cartridge = ? AND sequence >= ? "
                                   "AND state = 4 ORDER BY sequence LIMIT ?"));
  s.blob(cartridge.view()).count(from_sequence).count(limit);
  return all_segments(s);
}

Result<std::vector<Catalog::ClassUsage>> Catalog::usage_by_class(const Uuid& cartridge) {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(
      Statement s,
      state_->prepare("SELECT storage_class, COUNT(*), SUM(stored_bytes) FROM segments WHERE "
                      "cartridge = ? AND state >= 2 "
                      "GROUP BY storage_class ORDER BY storage_class"));
  s.blob(cartridge.view());
  std::vector<ClassUsage> rows;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, s.step());
    if (!more) return rows;
    rows.push_back({s.column_text(0), s.column_count(1), s.column_count(2)});
  }
}

Result<Catalog::Totals> Catalog::totals() {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(
      Statement s,
      state_->prepare("SELECT local_bytes, not_uploaded_bytes, segments, (SELECT "
                      "COALESCE(SUM(usage.local_bytes), 0) FROM tapes JOIN usage ON "
                      "usage.cartridge = tapes.uuid WHERE tapes.kind = 1 AND tapes.mode = 1) "
                      "FROM totals WHERE id = 1"));
  ASSIGN_OR_RETURN(const bool found, s.step());
  if (!found) return damaged_row("totals");
  return Totals{s.column_count(0), s.column_count(1), s.column_count(2), s.column_count(3)};
}

Result<Catalog::CartridgeUsage> Catalog::cartridge_usage(const Uuid& cartridge) {
  const std::lock_guard lock(state_->mutex);
  CartridgeUsage out;
  {
    ASSIGN_OR_RETURN(Statement s,
                     state_->prepare("SELECT segments, bytes, local_bytes, confirmed_bytes "
                                     "FROM usage WHERE cartridge = ?"));
    s.blob(cartridge.view());
    ASSIGN_OR_RETURN(const bool found, s.step());
    if (!found) return out;
    out.segments = s.column_count(0);
    out.bytes = s.column_count(1);
    out.local_bytes = s.column_count(2);
    out.stored_bytes = s.column_count(3);
    out.not_uploaded_bytes = out.bytes - out.stored_bytes;
  }
  if (out.not_uploaded_bytes == 0) return out;
  // By the index of what there is to do.
  ASSIGN_OR_RETURN(Statement s,
                   state_->prepare("SELECT MIN(last_used_ms) FROM segments WHERE state < 3 AND "
                                   "cartridge = ?"));
  s.blob(cartridge.view());
  ASSIGN_OR_RETURN(const bool found, s.step());
  if (found && !s.column_is_null(0)) out.oldest_unsent_ms = s.column_integer(0);
  return out;
}

}  // namespace coldshelf
