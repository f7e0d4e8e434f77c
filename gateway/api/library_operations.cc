// The library, its devices, and the gateway as a whole.
#include "gateway/api/service.h"
#include "gateway/units.h"

namespace coldshelf::api {

namespace {

constexpr size_t kMaxProblemsShown = 20;

const char* type_name(ElementType type) {
  switch (type) {
    case ElementType::transport:
      return "transport";
    case ElementType::storage:
      return "slot";
    case ElementType::import_export:
      return "import_export";
    case ElementType::data_transfer:
      return "drive";
  }
  return "unknown";
}

}  // namespace

Json Service::element_json(const Element& element) const {
  Json out = {{"Element", library().element_name(element.address)},
              {"Type", type_name(element.type)},
              {"Number", element.number},
              {"Address", element.address}};
  if (element.cartridge) {
    out["Barcode"] = element.cartridge->barcode;
    out["Medium"] = element.cartridge->medium;
  }
  if (element.source_address) out["Source"] = library().element_name(*element.source_address);
  if (element.type == ElementType::import_export) {
    out["PlacedByOperator"] = element.placed_by_operator;
  }
  return out;
}

Json Service::drive_json(const Element& element) const {
  Json out = element_json(element);
  const TapeDrive& drive = *element.drive;
  const DriveCounters counters = drive.counters();
  out["Model"] = drive.options().profile->name;
  out["Serial"] = drive.options().serial;
  out["Target"] = target_iqn(drive_device_name(element.number));
  out["Loaded"] = drive.loaded();
  out["Prevented"] = !element.accessible;
  out["Activity"] = to_string(drive.activity());
  if (const auto at = drive.position_now()) {
    out["Position"] = {{"Partition", at->partition}, {"File", at->filemark}, {"Block", at->block}};
  }
  out["WrittenBytes"] = counters.bytes_from_initiator;
  out["ReadBytes"] = counters.bytes_to_initiator;
  if (drive.loaded()) out["WriteProtected"] = drive.write_protected();
  std::string problem;
  if (const auto why = library().drive_problem(element.number)) problem = why->message();
  if (const auto why = drive.last_medium_error(); why && problem.empty()) problem = why->message();
  if (!problem.empty()) out["Problem"] = problem;
  return out;
}

void Service::add_library_operations() {
  TapeService& tapes = *env_.tapes;
  own("LibraryStatus", [this](const Params&) -> Result<Json> {
    Json out = {{"Changer", library().options().profile->name},
                {"Serial", library().options().serial},
                {"Target", target_iqn(std::string(kChangerDeviceName))},
                {"Prevented", library().prevented()},
                {"Drives", Json::array()},
                {"Slots", Json::array()},
                {"ImportExportSlots", Json::array()}};
    for (const Element& e : library().elements()) {
      if (e.type == ElementType::data_transfer) out["Drives"].push_back(drive_json(e));
      if (e.type == ElementType::storage) out["Slots"].push_back(element_json(e));
      if (e.type == ElementType::import_export) {
        out["ImportExportSlots"].push_back(element_json(e));
      }
    }
    return out;
  });
  own("MoveMedium", [this, &tapes](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string source, in.text("Source"));
    ASSIGN_OR_RETURN(const std::string destination, in.text("Destination"));
    TRY(tapes.move(source, destination));
    ASSIGN_OR_RETURN(const uint16_t to, library().parse_element(destination));
    ASSIGN_OR_RETURN(const Element element, library().element(to));
    return element_json(element);
  });
  own("LoadDrive", [&tapes](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string barcode, in.barcode("Barcode"));
    ASSIGN_OR_RETURN(const uint64_t drive, in.number("Drive", 1, 255));
    TRY(tapes.load(barcode, static_cast<unsigned>(drive)));
    return Json{{"Barcode", barcode}, {"Element", "drive " + std::to_string(drive)}};
  });
  own("UnloadDrive", [this, &tapes](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const uint64_t drive, in.number("Drive", 1, 255));
    ASSIGN_OR_RETURN(const uint16_t to, tapes.unload(static_cast<unsigned>(drive)));
    ASSIGN_OR_RETURN(const Element element, library().element(to));
    return element_json(element);
  });
  own("ExportTapes", [&tapes](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string which, in.text_or("Which", ""));
    ASSIGN_OR_RETURN(const auto jobs, tapes.export_tapes(which));
    Json out = {{"Jobs", Json::array()}};
    for (const auto& [barcode, id] : jobs) {
      out["Jobs"].push_back({{"Barcode", barcode}, {"JobId", id}});
    }
    return out;
  });
}

// What the store's other gateways see of this one.
Json Service::sharing() const {
  if (env_.ownership == nullptr) return Json::object();
  const Ownership::View view = env_.ownership->view();
  Json out = {{"ConditionalWrites", view.conditional}, {"LeaseEpoch", view.lease.epoch}};
  if (view.lease.expires_unix_ms != 0) out["LeaseUntil"] = format_utc(view.lease.expires_unix_ms);
  if (!view.problem.empty()) out["Problem"] = view.problem;
  return out;
}

Json Service::status() const {
  const Shelf::Statistics shelf = env_.tapes->env().shelf->statistics();
  const Status healthy = env_.health ? env_.health() : Status();
  const int64_t now_ms = env_.tapes->env().clock->unix_ms();
  const BandwidthLimits limits = env_.bandwidth != nullptr
                                     ? env_.bandwidth->at(now_ms)
                                     : BandwidthSchedule(env_.config.bandwidth).at(now_ms);
  Json out = {{"Gateway", env_.config.gateway.name},
              {"GatewayId", env_.gateway_id},
              {"Version", env_.version},
              {"Health", healthy.ok() ? "ok" : healthy.error().context},
              {"Started", format_utc(env_.started_ms)},
              {"DataDirectory", env_.config.gateway.data_dir},
              {"Store", env_.store},
              {"Encrypted", env_.config.encryption.enabled()},
              {"Sharing", sharing()},
              {"Sessions", env_.sessions ? env_.sessions().size() : 0},
              {"Endpoints", env_.endpoints ? env_.endpoints() : std::vector<std::string>()},
              {"CacheBytes", shelf.cache_bytes},
              {"CacheLimitBytes", env_.config.cache.limit_bytes},
              {"NotUploadedBytes", shelf.not_uploaded_bytes},
              {"QueuedSegments", shelf.queued_segments},
              {"UploadedBytes", shelf.uploaded_bytes},
              {"DownloadedBytes", shelf.downloaded_bytes},
              {"BufferBytes", shelf.buffer.bytes},
              {"BufferLimitBytes", shelf.buffer.limit_bytes},
              {"WritersSlowed", shelf.buffer.slowing},
              {"WritersSlowedMs", shelf.buffer.slowed_ms},
              {"UploadsAtOnce", shelf.uploads_at_once},
              {"DownloadsAtOnce", shelf.downloads_at_once},
              {"UploadLimitBytesPerSecond", limits.upload_bytes_per_s},
              {"DownloadLimitBytesPerSecond", limits.download_bytes_per_s},
              {"UploadErrors", shelf.upload_errors},
              {"DownloadErrors", shelf.download_errors}};
  // The console asks every two seconds: no row of a tape is looked at.
  std::map<std::string, uint64_t> by_status;
  if (const auto counts = catalog().tape_counts(); counts.ok()) {
    for (const auto& [status, count] : *counts) {
      if (status != TapeStatus::deleted) by_status[std::string(to_string(status))] = count;
    }
  }
  Json problems = Json::array();
  if (const auto known = catalog().tape_problems(kMaxProblemsShown); known.ok()) {
    for (const auto& [barcode, problem] : *known) {
      problems.push_back({{"Barcode", barcode}, {"Problem", problem}});
    }
  }
  uint64_t loaded = 0;
  uint64_t drives = 0;
  for (const Element& e : library().elements(ElementType::data_transfer)) {
    ++drives;
    loaded += e.drive->loaded() ? 1 : 0;
  }
  if (const auto jobs = catalog().unfinished_jobs(); jobs.ok()) out["RunningJobs"] = jobs->size();
  out["Drives"] = drives;
  out["DrivesLoaded"] = loaded;
  out["Tapes"] = by_status;
  out["Problems"] = problems;
  out["Alarms"] = alarms_on();
  return out;
}

void Service::add_gateway_operations() {
  own("GatewayStatus", [this](const Params&) -> Result<Json> { return status(); });
  own("ListSessions", [this](const Params&) -> Result<Json> {
    Json out = {{"Sessions", Json::array()}};
    if (!env_.sessions) return out;
    for (const Session& s : env_.sessions()) {
      out["Sessions"].push_back({{"Initiator", s.initiator},
                                 {"Target", s.target},
                                 {"Peer", s.peer},
                                 {"Commands", s.commands},
                                 {"BytesReceived", s.bytes_received},
                                 {"BytesSent", s.bytes_sent}});
    }
    return out;
  });
}

}  // namespace coldshelf::api
