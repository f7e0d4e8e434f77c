// What looks at the gateway: alarms, metrics, readiness.
#include "gateway/alarm_notification.h"
#include "gateway/composition.h"
#include "gateway/version.h"

namespace coldshelf {

namespace {

// Volumes and archives of EBS snapshots.
std::vector<VolumeView> all_images(VolumeService& volumes) {
  std::vector<VolumeView> out = volumes.list();
  for (auto& archive : volumes.archive_views()) out.push_back(std::move(archive.image));
  return out;
}

std::vector<std::pair<std::string, std::string>> problems_of(const std::vector<VolumeView>& all) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const VolumeView& volume : all) {
    if (!volume.problem.empty()) out.emplace_back(volume.name, volume.problem);
  }
  return out;
}

std::vector<std::pair<std::string, std::string>> problems_of(VolumeScheduler& schedules) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const VolumeScheduler::View& one : schedules.list()) {
    if (!one.problem.empty()) out.emplace_back(one.schedule.name, one.problem);
  }
  return out;
}

}  // namespace

std::vector<Metrics::Volume> Gateway::volume_metrics() const {
  std::vector<Metrics::Volume> out;
  for (const VolumeView& view : all_images(*volumes_)) {
    Metrics::Volume volume;
    volume.name = view.name;
    volume.size_bytes = view.size_bytes;
    volume.used_bytes = view.usage.mapped_bytes;
    volume.not_uploaded_bytes = view.not_uploaded_bytes;
    volume.not_uploaded_age_ms = view.not_uploaded_age_ms;
    if (view.points > 0) {
      const auto newest = volumes_->find_point(view.name + "@latest");
      if (newest.ok()) volume.newest_point_ms = newest->point.created_unix_ms;
    }
    out.push_back(std::move(volume));
  }
  return out;
}

std::optional<int64_t> Gateway::certificate_expires_ms() const {
  const int64_t at = doors_ ? doors_->identity().not_after_ms : 0;
  return at == 0 ? std::nullopt : std::optional<int64_t>(at);
}

Status Gateway::open_monitor() {
  Monitor::Env env;
  env.clock = env_.clock;
  env.files = env_.files;
  env.catalog = catalog_.get();
  env.shelf = shelf_.get();
  env.library = library_.get();
  env.ownership = ownership_.get();
  env.meter = meter_;
  env.config = &config_;
  env.health = [this] { return health(); };
  env.reads = [this] { return server_ ? server_->traffic().reads : 0; };
  env.certificate_expires_ms = [this] { return certificate_expires_ms(); };
  env.volume_problems = [this] { return problems_of(all_images(*volumes_)); };
  env.schedule_problems = [this] { return problems_of(*volume_schedules_); };
  env.notify = [this](const Alarm& alarm) {
    if (notifier_) notifier_->send(notification_of(alarm), {});
  };
  monitor_ = std::make_unique<Monitor>(std::move(env));
  TRY(monitor_->open());
  Metrics::Env metrics;
  metrics.tapes = tapes_.get();
  metrics.monitor = monitor_.get();
  metrics.meter = meter_;
  metrics.config = &config_;
  metrics.gateway_id = gateway_id_;
  metrics.version = kVersion;
  metrics.started_ms = started_ms_;
  metrics.units = [this] { return server_->units(); };
  metrics.traffic = [this] { return server_->traffic(); };
  metrics.sessions = [this] { return server_->sessions().size(); };
  metrics.health = [this] { return health(); };
  metrics.volumes = [this] { return volume_metrics(); };
  metrics.certificate_expires_ms = [this] { return certificate_expires_ms(); };
  metrics_ = std::make_unique<Metrics>(std::move(metrics));
  return {};
}

Status Gateway::ready() const {
  TRY(health());
  if (stopped_) return Error(ErrorCode::not_ready, "the daemon is stopping");
  const Status may_write = ownership_->may_write();
  if (!may_write.ok() && may_write.error().code == ErrorCode::write_protected) return may_write;
  return {};
}

}  // namespace coldshelf
