#include <array>
#include <utility>

#include "catalog/catalog.h"

namespace coldshelf {

namespace {
constexpr std::array<std::pair<TapeStatus, std::string_view>, 12> kTapeStatuses = {{
    {TapeStatus::creating, "CREATING"},
    {TapeStatus::available, "AVAILABLE"},
    {TapeStatus::in_transit_to_vts, "IN TRANSIT TO VTS"},
    {TapeStatus::archiving, "ARCHIVING"},
    {TapeStatus::archived, "ARCHIVED"},
    {TapeStatus::retrieving, "RETRIEVING"},
    {TapeStatus::retrieved, "RETRIEVED"},
    {TapeStatus::recovered, "RECOVERED"},
    {TapeStatus::irrecoverable, "IRRECOVERABLE"},
    {TapeStatus::deleting, "DELETING"},
    {TapeStatus::deleted, "DELETED"},
    {TapeStatus::detaching, "DETACHING"},
}};
}  // namespace

std::string_view to_string(TapeStatus status) {
  for (const auto& [value, name] : kTapeStatuses) {
    if (value == status) return name;
  }
  return "UNKNOWN";
}

std::optional<TapeStatus> parse_tape_status(std::string_view text) {
  for (const auto& [value, name] : kTapeStatuses) {
    if (name == text) return value;
  }
  return std::nullopt;
}

std::string_view to_string(ImageMode mode) {
  return mode == ImageMode::stored ? "stored" : "cached";
}

std::optional<ImageMode> parse_image_mode(std::string_view text) {
  if (text == "cached") return ImageMode::cached;
  if (text == "stored") return ImageMode::stored;
  return std::nullopt;
}

std::string_view to_string(SegmentState state) {
  switch (state) {
    case SegmentState::sealed:
      return "sealed";
    case SegmentState::uploading:
      return "uploading";
    case SegmentState::uploaded:
      return "uploaded";
    case SegmentState::verified:
      return "verified";
    case SegmentState::evicted:
      return "evicted";
    case SegmentState::recalling:
      return "recalling";
  }
  return "unknown";
}

std::string_view to_string(JobKind kind) {
  switch (kind) {
    case JobKind::archive:
      return "archive";
    case JobKind::retrieve:
      return "retrieve";
    case JobKind::delete_tape:
      return "delete_tape";
    case JobKind::verify:
      return "verify";
    case JobKind::export_tape:
      return "export_tape";
    case JobKind::reassign:
      return "reassign";
    case JobKind::detach:
      return "detach";
    case JobKind::snapshot_pull:
      return "snapshot_pull";
    case JobKind::snapshot_restore:
      return "snapshot_restore";
    case JobKind::hold:
      return "hold";
    case JobKind::import_volume:
      return "import_volume";
    case JobKind::export_volume:
      return "export_volume";
  }
  return "unknown";
}

std::string_view to_string(JobState state) {
  switch (state) {
    case JobState::queued:
      return "queued";
    case JobState::running:
      return "running";
    case JobState::waiting:
      return "waiting";
    case JobState::succeeded:
      return "succeeded";
    case JobState::failed:
      return "failed";
    case JobState::cancelled:
      return "cancelled";
  }
  return "unknown";
}

}  // namespace coldshelf
