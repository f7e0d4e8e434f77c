#include "gateway/volume_points.h"

#include <nlohmann/json.hpp>

#include "base/log.h"

namespace coldshelf {

namespace {

using Json = nlohmann::json;

constexpr size_t kMaxDescription = 1'000;

std::string about_of(const VolumePoints::Request& request) {
  Json about = Json::object();
  if (request.volumes.size() > 1) about["volumes"] = request.volumes;
  if (!request.quiesce.empty()) about["quiesced"] = request.quiesce;
  if (!request.schedule.empty()) about["schedule"] = request.schedule;
  if (!request.description.empty()) about["description"] = request.description;
  // `replace`: text that is not UTF-8 must not throw.
  return about.empty() ? "" : about.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string names_of(const std::vector<std::string>& volumes) {
  std::string out;
  for (const std::string& name : volumes) out += (out.empty() ? "" : ", ") + name;
  return out;
}

}  // namespace

std::string schedule_of(const RecoveryPoint& point) {
  if (point.about.empty()) return "";
  const Json about = Json::parse(point.about, nullptr, false);
  if (!about.is_object()) return "";
  const auto at = about.find("schedule");
  return at != about.end() && at->is_string() ? at->get<std::string>() : "";
}

Status VolumePoints::check_quiesce(const std::string& name) const {
  if (name.empty()) return {};
  if (quiescer_ != nullptr && commands_.contains(name)) return {};
  std::string known;
  for (const auto& [other, commands] : commands_) known += (known.empty() ? "" : ", ") + other;
  return Error(ErrorCode::not_found, "the configuration has no [[quiesce]] named " + name +
                                         (known.empty() ? "" : "; it has " + known));
}

Result<VolumePoints::Made> VolumePoints::create(const Request& request) {
  TRY(check_quiesce(request.quiesce));
  // It stands in the manifest for as long as the point does.
  if (request.description.size() > kMaxDescription) {
    return Error(ErrorCode::out_of_range,
                 "a description has at most " + std::to_string(kMaxDescription) + " bytes");
  }
  VolumeService::PointRequest points;
  points.volumes = request.volumes;
  points.name = request.name;
  points.about = about_of(request);
  if (request.quiesce.empty()) {
    ASSIGN_OR_RETURN(auto made, volumes_->create_points(points));
    return Made{std::move(made), ""};
  }
  const std::string what = "recovery point of " + names_of(request.volumes);
  // 1. Applications hold still. 2. The moment. 3. They go on, while the points become durable.
  ASSIGN_OR_RETURN(const auto frozen, quiescer_->freeze(commands_.at(request.quiesce), what));
  Status thawed;
  bool passed = false;
  points.passed = [&] {
    passed = true;
    thawed = frozen->thaw();
  };
  auto made = volumes_->create_points(points);
  if (!passed) thawed = frozen->thaw();
  if (!thawed.ok()) {
    log_error("volumes", "quiescing", {{"what", what}, {"error", thawed.error().message()}});
  }
  if (!made.ok()) return std::move(made).error();
  if (thawed.ok()) return Made{std::move(*made), ""};
  if (thawed.error().code != ErrorCode::timed_out) {
    return Made{std::move(*made), "the command after failed: " + thawed.error().context};
  }
  // Let go too early: it is not what it says it is.
  for (const VolumePoint& point : *made) {
    const Status undone =
        volumes_->delete_point(point.volume.to_string() + "@" + point.point.id.to_string());
    if (!undone.ok()) log_warning("volumes", "point stays", {{"error", undone.error().message()}});
  }
  return Error(ErrorCode::timed_out, what + ": not made, the system had to be let go before it: " +
                                         thawed.error().context);
}

}  // namespace coldshelf
