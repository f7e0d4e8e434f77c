#include "gateway/store_adoption.h"

#include <charconv>

#include "base/log.h"
#include "uploader/bucket_scan.h"

namespace coldshelf {

namespace {

constexpr const char* kLeaseEpochSetting = "lease_epoch";
constexpr unsigned kClaimThreads = 16;

// Tapes on the shelf have nothing here, and may be another gateway's by now.
bool is_in_use(const TapeRow& row) {
  return row.status != TapeStatus::archived && row.status != TapeStatus::deleting &&
         row.status != TapeStatus::deleted && row.status != TapeStatus::irrecoverable;
}

}  // namespace

Result<std::optional<uint64_t>> known_lease_epoch(Catalog& catalog) {
  ASSIGN_OR_RETURN(const auto text, catalog.setting(kLeaseEpochSetting));
  if (!text) return std::optional<uint64_t>();
  uint64_t epoch = 0;
  const auto [after, failed] = std::from_chars(text->data(), text->data() + text->size(), epoch);
  if (failed == std::errc{} && after == text->data() + text->size()) return std::optional(epoch);
  return Error(ErrorCode::corrupt, "catalog: the lease's epoch is \"" + *text + "\"");
}

Status remember_lease_epoch(Catalog& catalog, uint64_t epoch) {
  return catalog.set_setting(kLeaseEpochSetting, std::to_string(epoch));
}

Result<uint64_t> doubt_the_store(Catalog& catalog) {
  ASSIGN_OR_RETURN(std::vector<TapeRow> rows, catalog.tapes());
  ASSIGN_OR_RETURN(const std::vector<TapeRow> images, catalog.images());
  rows.insert(rows.end(), images.begin(), images.end());
  uint64_t count = 0;
  for (const TapeRow& row : rows) {
    if (!is_in_use(row)) continue;
    ASSIGN_OR_RETURN(const std::vector<SegmentRow> segments, catalog.segments(row.uuid));
    std::vector<SegmentRow> changed;
    for (const SegmentRow& segment : segments) {
      if (!segment.local || segment.state != SegmentState::verified) continue;
      changed.push_back(segment);
      changed.back().state = SegmentState::uploaded;  // "put, and not confirmed yet"
    }
    if (!changed.empty()) TRY(catalog.put_segments(changed));
    TRY(catalog.set_uploaded_generation(row.uuid, 0));
    count += changed.size();
  }
  return count;
}

Status claim_barcodes_again(Catalog& catalog, Ownership& ownership) {
  ASSIGN_OR_RETURN(std::vector<TapeRow> rows, catalog.tapes());
  ASSIGN_OR_RETURN(const std::vector<TapeRow> deleted, catalog.deleted_tapes());
  rows.insert(rows.end(), deleted.begin(), deleted.end());
  return in_parallel(kClaimThreads, rows.size(), [&](size_t i) -> Status {
    const TapeRow& row = rows[i];
    Status claimed = ownership.claim_barcode(row.barcode, row.uuid);
    if (claimed.ok() || claimed.error().code != ErrorCode::exists) return claimed;
    log_warning("gateway", "barcode is another tape's in the store",
                {{"barcode", row.barcode}, {"error", claimed.error().message()}});
    return {};
  });
}

}  // namespace coldshelf
