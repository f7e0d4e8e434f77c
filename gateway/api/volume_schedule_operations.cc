// Schedules of recovery points; imports and exports.
#include "gateway/api/service.h"
#include "gateway/api/volume_json.h"
#include "gateway/volume_scheduler.h"
#include "gateway/volume_transfers.h"

namespace coldshelf::api {

namespace {

constexpr uint64_t kMostKept = 10'000;
constexpr uint64_t kMostMs = 100ULL * 365 * 86'400'000;

constexpr std::pair<const char*, unsigned RetentionRule::*> kKeep[] = {
    {"KeepLast", &RetentionRule::keep_last},  {"KeepHourly", &RetentionRule::hourly},
    {"KeepDaily", &RetentionRule::daily},     {"KeepWeekly", &RetentionRule::weekly},
    {"KeepMonthly", &RetentionRule::monthly}, {"KeepYearly", &RetentionRule::yearly}};

Json schedule_json(const VolumeScheduler::View& view) {
  const VolumeSchedule& s = view.schedule;
  Json out = {{"Name", s.name}, {"Volumes", s.volumes}, {"When", s.describe_when()}};
  if (s.calendar.empty()) {
    out["RecurrenceInHours"] = s.hours;
    out["StartAt"] = s.start_hour;
    out["Utc"] = s.utc;
  } else {
    out["Calendar"] = s.calendar;
  }
  for (const auto& [name, member] : kKeep) {
    if (s.keep.*member != 0) out[name] = s.keep.*member;
  }
  if (s.keep.keep_for_ms != 0) out["KeepForMs"] = s.keep.keep_for_ms;
  out["Keep"] = describe(s.keep);
  if (!s.quiesce.empty()) out["Quiesce"] = s.quiesce;
  if (!s.description.empty()) out["Description"] = s.description;
  if (view.last_run_ms != 0) out["LastRun"] = format_utc(view.last_run_ms);
  if (view.next_run_ms) out["NextRun"] = format_utc(*view.next_run_ms);
  if (!view.problem.empty()) out["Problem"] = view.problem;
  return out;
}

Result<VolumeSchedule> schedule_of(const Params& in) {
  VolumeSchedule s;
  ASSIGN_OR_RETURN(s.name, in.text("Name"));
  ASSIGN_OR_RETURN(s.volumes, in.texts("Volumes"));
  ASSIGN_OR_RETURN(s.calendar, in.text_or("Calendar", ""));
  ASSIGN_OR_RETURN(const uint64_t hours, in.number_or("RecurrenceInHours", 0, 0, 24));
  ASSIGN_OR_RETURN(const uint64_t start, in.number_or("StartAt", 0, 0, 23));
  ASSIGN_OR_RETURN(s.utc, in.flag_or("Utc", false));
  s.hours = static_cast<unsigned>(hours);
  s.start_hour = static_cast<unsigned>(start);
  for (const auto& [name, member] : kKeep) {
    ASSIGN_OR_RETURN(const uint64_t count, in.number_or(name, 0, 0, kMostKept));
    s.keep.*member = static_cast<unsigned>(count);
  }
  ASSIGN_OR_RETURN(const uint64_t keep_for, in.number_or("KeepForMs", 0, 0, kMostMs));
  s.keep.keep_for_ms = static_cast<int64_t>(keep_for);
  ASSIGN_OR_RETURN(s.quiesce, in.text_or("Quiesce", ""));
  ASSIGN_OR_RETURN(s.description, in.text_or("Description", ""));
  return s;
}

}  // namespace

void Service::add_volume_schedule_operations() {
  if (env_.volume_schedules == nullptr) return;
  VolumeScheduler& schedules = *env_.volume_schedules;
  own("PutVolumeSchedule", [&schedules](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(VolumeSchedule schedule, schedule_of(in));
    ASSIGN_OR_RETURN(const auto view, schedules.put(std::move(schedule)));
    return schedule_json(view);
  });
  own("ListVolumeSchedules", [&schedules](const Params&) -> Result<Json> {
    Json out = {{"Schedules", Json::array()}};
    for (const auto& view : schedules.list()) out["Schedules"].push_back(schedule_json(view));
    return out;
  });
  own("DeleteVolumeSchedule", [&schedules](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string name, in.text("Name"));
    TRY(schedules.remove(name));
    return Json{{"Name", name}};
  });
  own("RunVolumeSchedule", [&schedules](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string name, in.text("Name"));
    ASSIGN_OR_RETURN(const auto made, schedules.run(name));
    return made_json(made);
  });
}

void Service::add_volume_transfer_operations() {
  if (env_.volume_transfers == nullptr) return;
  VolumeTransfers& transfers = *env_.volume_transfers;
  own("ImportVolume", [&transfers](const Params& in) -> Result<Json> {
    VolumeTransfers::ImportRequest request;
    ASSIGN_OR_RETURN(request.volume, volume_request(in, 0));
    ASSIGN_OR_RETURN(request.file, in.text("File"));
    ASSIGN_OR_RETURN(request.format, in.text_or("Format", ""));
    ASSIGN_OR_RETURN(const int64_t job, transfers.import(request));
    return Json{{"JobId", job}, {"Volume", request.volume.name}};
  });
  own("CopyRecoveryPoint", [&transfers](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string point, in.text("RecoveryPoint"));
    ASSIGN_OR_RETURN(const std::string name, in.text("Name"));
    ASSIGN_OR_RETURN(const int64_t job, transfers.copy(point, name));
    return Json{{"JobId", job}, {"Volume", name}};
  });
  own("ExportRecoveryPoint", [&transfers](const Params& in) -> Result<Json> {
    VolumeTransfers::ExportRequest request;
    ASSIGN_OR_RETURN(request.point, in.text("RecoveryPoint"));
    ASSIGN_OR_RETURN(request.file, in.text("File"));
    ASSIGN_OR_RETURN(request.format, in.text_or("Format", "raw"));
    ASSIGN_OR_RETURN(request.replace, in.flag_or("Replace", false));
    ASSIGN_OR_RETURN(const int64_t job, transfers.export_point(request));
    return Json{{"JobId", job}, {"RecoveryPoint", request.point}};
  });
  own("CancelVolumeJob", [&transfers](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string volume, in.text("Volume"));
    TRY(transfers.cancel(volume));
    return Json{{"Volume", volume}};
  });
}

}  // namespace coldshelf::api
