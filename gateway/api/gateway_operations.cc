// The gateway as AWS describes one: its name, its disks, its cache and upload buffer.
#include <algorithm>
#include <filesystem>

#include "gateway/api/service.h"

namespace coldshelf::api {

namespace {

constexpr const char* kNameSetting = "gateway_name_shown";
constexpr const char* kTimezoneSetting = "gateway_timezone";
constexpr const char* kDiskId = "coldshelf-data";

double percent(uint64_t part, uint64_t whole) {
  if (whole == 0) return 0;
  return std::min(100.0, 100.0 * static_cast<double>(part) / static_cast<double>(whole));
}

// "GMT", "GMT+1:00", "GMT-11:30".
bool valid_timezone(const std::string& text) {
  if (!text.starts_with("GMT")) return false;
  const std::string offset = text.substr(3);
  if (offset.empty()) return true;
  const size_t colon = offset.find(':');
  if (colon == std::string::npos || (offset[0] != '+' && offset[0] != '-')) return false;
  const std::string hours = offset.substr(1, colon - 1), minutes = offset.substr(colon + 1);
  const auto digits = [](const std::string& s) {
    return !s.empty() && s.find_first_not_of("0123456789") == std::string::npos;
  };
  return digits(hours) && hours.size() <= 2 && digits(minutes) && minutes.size() == 2 &&
         std::stoi(hours) <= 14 && std::stoi(minutes) < 60;
}

bool visible(const std::string& text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return c >= ' ' && c <= '~' && c != '/' && c != '\\'; }) &&
         text.find_first_not_of(' ') != std::string::npos;
}

}  // namespace

Result<std::string> Service::shown_name() const {
  ASSIGN_OR_RETURN(const auto name, catalog().setting(kNameSetting));
  return name && !name->empty() ? *name : env_.config.gateway.name;
}

Result<Json> Service::describe_gateway() const {
  ASSIGN_OR_RETURN(const std::string name, shown_name());
  ASSIGN_OR_RETURN(const auto timezone, catalog().setting(kTimezoneSetting));
  Json out = {{"GatewayARN", gateway_arn()},
              {"GatewayId", env_.gateway_id},
              {"GatewayName", name},
              {"GatewayTimezone", timezone && !timezone->empty() ? *timezone : "GMT"},
              {"GatewayState", "RUNNING"},
              {"GatewayType", "VTL"},
              {"EndpointType", "STANDARD"},
              {"HostEnvironment", "OTHER"},
              {"GatewayNetworkInterfaces", Json::array()}};
  for (const std::string& endpoint :
       env_.endpoints ? env_.endpoints() : std::vector<std::string>()) {
    ASSIGN_OR_RETURN(const HostPort where, parse_listen_address(endpoint, 3260));
    const bool v6 = where.host.find(':') != std::string::npos;
    out["GatewayNetworkInterfaces"].push_back({{v6 ? "Ipv6Address" : "Ipv4Address", where.host}});
  }
  if (env_.tags != nullptr) {
    ASSIGN_OR_RETURN(const TagMap tags, env_.tags->get("gateway/" + env_.gateway_id));
    out["Tags"] = tags_json(tags);
  }
  return out;
}

Result<Json> Service::update_gateway(const Params& in) {
  ASSIGN_OR_RETURN(const std::string name, in.text_or("GatewayName", ""));
  ASSIGN_OR_RETURN(const std::string timezone, in.text_or("GatewayTimezone", ""));
  if (in.has("GatewayCapacity") || in.has("CloudWatchLogGroupARN")) {
    return Error(ErrorCode::not_supported,
                 "GatewayCapacity and CloudWatchLogGroupARN are AWS's own");
  }
  if (!name.empty() && !visible(name)) {
    return Error(ErrorCode::invalid_argument, "GatewayName must be visible ASCII without / and \\");
  }
  if (!timezone.empty() && !valid_timezone(timezone)) {
    return Error(ErrorCode::invalid_argument, "GatewayTimezone must be as GMT-hr:mm or GMT+hr:mm");
  }
  if (!name.empty()) TRY(catalog().set_setting(kNameSetting, name));
  if (!timezone.empty()) TRY(catalog().set_setting(kTimezoneSetting, timezone));
  ASSIGN_OR_RETURN(const std::string now, shown_name());
  return Json{{"GatewayARN", gateway_arn()}, {"GatewayName", now}};
}

uint64_t Service::disk_bytes() const {
  std::error_code failed;
  const auto space = std::filesystem::space(env_.config.gateway.data_dir, failed);
  return failed ? 0 : space.capacity;
}

Json Service::describe_cache() const {
  const Shelf::Statistics shelf = env_.tapes->env().shelf->statistics();
  const uint64_t limit = env_.config.cache.limit_bytes;
  const uint64_t allocated = limit != 0 ? limit : disk_bytes();
  double hit = 0, miss = 0;  // both 0: nothing was read
  if (env_.monitor != nullptr) {
    if (const auto now = env_.monitor->recent().cache_hit_percent) {
      hit = *now;
      miss = 100.0 - hit;
    }
  }
  return {{"GatewayARN", gateway_arn()},
          {"DiskIds", {kDiskId}},
          {"CacheAllocatedInBytes", allocated},
          {"CacheUsedPercentage", percent(shelf.cache_bytes, allocated)},
          {"CacheDirtyPercentage", percent(shelf.not_uploaded_bytes, allocated)},
          {"CacheHitPercentage", hit},
          {"CacheMissPercentage", miss}};
}

void Service::add_disk_operations() {
  aws("DescribeCache", [this](const Params&) -> Result<Json> { return describe_cache(); });
  const auto buffer = [this](const std::string& used, const std::string& allocated) -> Json {
    const Shelf::Statistics shelf = env_.tapes->env().shelf->statistics();
    const uint64_t limit = shelf.buffer.limit_bytes;
    return {{"GatewayARN", gateway_arn()},
            {"DiskIds", {kDiskId}},
            {used, shelf.buffer.bytes},
            {allocated, limit != 0 ? limit : disk_bytes()}};
  };
  aws("DescribeUploadBuffer", [buffer](const Params&) -> Result<Json> {
    return buffer("UploadBufferUsedInBytes", "UploadBufferAllocatedInBytes");
  });
  aws("DescribeWorkingStorage", [buffer](const Params&) -> Result<Json> {
    return buffer("WorkingStorageUsedInBytes", "WorkingStorageAllocatedInBytes");
  });
  // Cache and upload buffer share the data directory's disk.
  aws("ListLocalDisks", [this](const Params&) -> Result<Json> {
    return Json{{"GatewayARN", gateway_arn()},
                {"Disks",
                 {{{"DiskId", kDiskId},
                   {"DiskPath", env_.config.gateway.data_dir},
                   {"DiskNode", env_.config.gateway.data_dir},
                   {"DiskStatus", env_.health && !env_.health().ok() ? "missing" : "present"},
                   {"DiskSizeInBytes", disk_bytes()},
                   {"DiskAllocationType", "CACHE STORAGE"},
                   {"DiskAttributeList", Json::array()}}}}};
  });
  aws("DescribeGatewayInformation", [this](const Params&) { return describe_gateway(); });
  aws("UpdateGatewayInformation", [this](const Params& in) { return update_gateway(in); });
  aws("ListGateways", [this](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string marker, in.text_or("Marker", ""));
    ASSIGN_OR_RETURN(const std::string name, shown_name());
    Json out = {{"Gateways", Json::array()}};
    if (marker >= env_.gateway_id) return out;
    out["Gateways"].push_back({{"GatewayARN", gateway_arn()},
                               {"GatewayId", env_.gateway_id},
                               {"GatewayName", name},
                               {"GatewayType", "VTL"},
                               {"HostEnvironment", "OTHER"},
                               {"GatewayOperationalState", "ACTIVE"}});
    return out;
  });
}

}  // namespace coldshelf::api
