// What the web console asks beside the operations that everybody uses: drives alone, where a tape's
// segments are, the last hour's samples.
#include "gateway/api/service.h"
#include "gateway/history.h"
#include "uploader/cloud/object_store.h"

namespace coldshelf::api {

namespace {

// Where a segment is, in one word.
const char* place_of(const SegmentRow& row, int64_t now_ms) {
  switch (row.state) {
    case SegmentState::sealed:
      return "local";
    case SegmentState::uploading:
      return "uploading";
    case SegmentState::recalling:
      return "recalling";
    case SegmentState::uploaded:
    case SegmentState::verified:
      if (row.local) return "both";
      break;
    case SegmentState::evicted:
      break;
  }
  const auto storage_class = parse_storage_class(row.storage_class);
  if (!storage_class || !needs_restore(*storage_class)) return "store";
  return row.restored_until_ms > now_ms ? "restored" : "cold";
}

Json run_json(const char* place, const SegmentRow& row) {
  return {{"First", row.sequence},
          {"Segments", 0},
          {"Bytes", 0},
          {"Where", place},
          {"StorageClass", row.storage_class}};
}

}  // namespace

// Neighbours in the same place are one run: a tape of 15 TiB is a few of them.
Result<Json> Service::list_segments(const Params& in) const {
  ASSIGN_OR_RETURN(const std::string barcode, in.barcode("Barcode"));
  ASSIGN_OR_RETURN(const TapeView view, env_.tapes->show(barcode));
  ASSIGN_OR_RETURN(const auto rows, catalog().segments(view.row.uuid));
  const int64_t now_ms = env_.tapes->env().clock->unix_ms();
  Json runs = Json::array();
  uint64_t segments = 0;
  uint64_t bytes = 0;
  auto close = [&] {
    if (runs.empty()) return;
    runs.back()["Segments"] = segments;
    runs.back()["Bytes"] = bytes;
  };
  const char* place = "";
  std::string storage_class;
  for (const SegmentRow& row : rows) {
    const char* here = place_of(row, now_ms);
    if (runs.empty() || std::string_view(here) != place || row.storage_class != storage_class) {
      close();
      runs.push_back(run_json(here, row));
      place = here;
      storage_class = row.storage_class;
      segments = bytes = 0;
    }
    ++segments;
    bytes += row.stored_bytes;
  }
  close();
  return Json{{"Barcode", barcode}, {"Runs", runs}};
}

Result<Json> Service::describe_history(const Params& in) const {
  ASSIGN_OR_RETURN(const std::string resolution, in.text_or("Resolution", "fine"));
  if (resolution != "fine" && resolution != "coarse") {
    return Error(ErrorCode::invalid_argument,
                 "Resolution is fine or coarse, not '" + resolution + "'");
  }
  ASSIGN_OR_RETURN(const uint64_t after, in.number_or("After", 0, 0, INT64_MAX));
  const bool coarse = resolution == "coarse";
  Json samples = Json::array();
  for (const HistorySample& s : env_.history->since(static_cast<int64_t>(after), coarse)) {
    samples.push_back({s.unix_ms, s.initiator_written_bytes, s.initiator_read_bytes,
                       s.uploaded_bytes, s.downloaded_bytes, s.cache_bytes, s.not_uploaded_bytes,
                       s.buffer_bytes});
  }
  return Json{{"Resolution", resolution},
              {"IntervalMs", coarse ? History::kCoarseMs : History::kFineMs},
              {"Fields",
               {"UnixMs", "InitiatorWrittenBytes", "InitiatorReadBytes", "UploadedBytes",
                "DownloadedBytes", "CacheBytes", "NotUploadedBytes", "BufferBytes"}},
              {"Samples", samples}};
}

void Service::add_console_operations() {
  own("ListDrives", [this](const Params&) -> Result<Json> {
    Json out = {{"Drives", Json::array()}};
    for (const Element& e : library().elements(ElementType::data_transfer)) {
      out["Drives"].push_back(drive_json(e));
    }
    return out;
  });
  own("ListSegments", [this](const Params& in) { return list_segments(in); });
  if (env_.history != nullptr) {
    own("DescribeHistory", [this](const Params& in) { return describe_history(in); });
  }
}

}  // namespace coldshelf::api
