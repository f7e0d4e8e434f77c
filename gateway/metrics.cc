#include "gateway/metrics.h"

#include <algorithm>

namespace coldshelf {

namespace {

double seconds(uint64_t ns) { return static_cast<double>(ns) / 1e9; }
double seconds_of_ms(int64_t ms) { return static_cast<double>(ms) / 1e3; }

// "iqn.2026-11.io.coldshelf:gw-tapedrive-01" -> "tapedrive-01"
std::string device_of(const std::string& target, const std::string& gateway) {
  const std::string prefix = ":" + gateway + "-";
  const size_t at = target.find(prefix);
  return at == std::string::npos ? target : target.substr(at + prefix.size());
}

constexpr size_t kRead = static_cast<size_t>(scsi::CommandKind::read);
constexpr size_t kWrite = static_cast<size_t>(scsi::CommandKind::write);

}  // namespace

std::string Metrics::render() const {
  PrometheusText out;
  const Shelf::Statistics shelf = env_.tapes->env().shelf->statistics();
  gateway(out);
  storage(out, shelf);
  cloud(out, shelf);
  if (env_.meter) store_calls(out);
  drives(out);
  devices(out);
  volumes(out);
  tapes(out);
  host(out);
  alarms(out);
  return out.take();
}

void Metrics::gateway(PrometheusText& out) const {
  out.family("coldshelf_build_info", "gauge", "Always 1; which gateway, of which version.");
  out.sample({{"version", env_.version},
              {"gateway", env_.config->gateway.name},
              {"gateway_id", env_.gateway_id}},
             uint64_t{1});
  out.gauge("coldshelf_start_time_seconds", "Unix time of the daemon's start.",
            seconds_of_ms(env_.started_ms));
  const bool healthy = !env_.health || env_.health().ok();
  out.gauge("coldshelf_healthy", "1 while the data directory can be used.", uint64_t{healthy});
  out.gauge("coldshelf_iscsi_sessions", "Sessions of initiators.",
            uint64_t{env_.sessions ? env_.sessions() : 0});
  if (Ownership* const ownership = env_.tapes->env().ownership; ownership != nullptr) {
    out.gauge("coldshelf_lease_held", "1 while the store may be written.",
              uint64_t{ownership->may_write().ok()});
  }
  if (!env_.certificate_expires_ms) return;
  if (const auto expires = env_.certificate_expires_ms()) {
    out.gauge("coldshelf_certificate_expiry_timestamp_seconds",
              "Unix time at which the management API's certificate expires.",
              seconds_of_ms(*expires));
  }
}

void Metrics::storage(PrometheusText& out, const Shelf::Statistics& shelf) const {
  if (env_.monitor != nullptr) {
    const StorageLoad load = env_.monitor->storage();
    out.gauge("coldshelf_cache_percent_used", "CachePercentUsed: of the cache's size.",
              load.cache_percent_used());
    out.gauge("coldshelf_cache_percent_dirty",
              "CachePercentDirty: of the cache's size, what the store does not have.",
              load.cache_percent_dirty());
    out.gauge("coldshelf_cache_size_bytes",
              "TotalCacheSize: cache.limit, or what the disk can take.", load.cache_size_bytes);
    out.gauge("coldshelf_cache_free_bytes", "CacheFree.", load.cache_free_bytes());
    out.gauge("coldshelf_upload_buffer_percent_used", "UploadBufferPercentUsed.",
              load.buffer_percent_used());
    out.gauge("coldshelf_upload_buffer_used_bytes", "UploadBufferUsed.", load.buffer_used_bytes);
    out.gauge("coldshelf_upload_buffer_free_bytes", "UploadBufferFree.", load.buffer_free_bytes());
    out.gauge("coldshelf_data_disk_bytes", "Size of the data directory's file system.",
              load.disk_total_bytes);
    out.gauge("coldshelf_data_disk_available_bytes", "What is free of it.",
              load.disk_available_bytes);
    if (const auto hit = env_.monitor->recent().cache_hit_percent) {
      out.gauge("coldshelf_cache_hit_percent",
                "CacheHitPercent: of initiators' reads in the last minute, those that did not wait "
                "for the store.",
                *hit);
    }
  }
  if (env_.traffic) {
    out.family("coldshelf_cache_reads_total", "counter",
               "Reads of initiators: those that did not wait for the store, and those that did.");
    const uint64_t reads = env_.traffic().reads;
    const uint64_t waited = std::min(shelf.reader_waits, reads);
    out.sample({{"result", "hit"}}, reads - waited);
    out.sample({{"result", "miss"}}, waited);
  }
  out.gauge("coldshelf_cache_bytes", "CacheUsed: segments on the local disk.", shelf.cache_bytes);
  out.gauge("coldshelf_not_uploaded_bytes", "Sealed segments that the store does not have.",
            shelf.not_uploaded_bytes);
  out.gauge("coldshelf_queued_writes_bytes",
            "QueuedWrites: all that waits to be written to the store, unsealed data too.",
            shelf.buffer.bytes);
  out.gauge("coldshelf_queued_segments", "Segments whose upload is queued.", shelf.queued_segments);
  out.gauge("coldshelf_buffer_bytes", "What the upload buffer holds.", shelf.buffer.bytes);
  out.gauge("coldshelf_buffer_limit_bytes", "buffer.limit; 0: none.", shelf.buffer.limit_bytes);
  out.gauge("coldshelf_writers_slowed", "1 while writers are held back.",
            uint64_t{shelf.buffer.slowing});
  out.counter("coldshelf_writers_slowed_seconds_total", "For how long they were.",
              static_cast<double>(shelf.buffer.slowed_ms) / 1e3);
}

void Metrics::cloud(PrometheusText& out, const Shelf::Statistics& shelf) const {
  out.counter("coldshelf_cloud_bytes_uploaded_total", "CloudBytesUploaded: segments.",
              shelf.uploaded_bytes);
  out.counter("coldshelf_cloud_bytes_downloaded_total", "CloudBytesDownloaded: segments.",
              shelf.downloaded_bytes);
  out.counter("coldshelf_upload_errors_total", "Uploads that failed and are tried again.",
              shelf.upload_errors);
  out.counter("coldshelf_download_errors_total", "Downloads that failed.", shelf.download_errors);
  out.gauge("coldshelf_uploads_allowed", "Uploads that may run at once now.",
            uint64_t{shelf.uploads_at_once});
  out.gauge("coldshelf_downloads_allowed", "Downloads that may run at once now.",
            uint64_t{shelf.downloads_at_once});
}

void Metrics::store_calls(PrometheusText& out) const {
  std::array<StoreMeter::Call, kStoreCalls> calls;
  for (size_t i = 0; i < kStoreCalls; ++i) calls[i] = env_.meter->call(static_cast<StoreCall>(i));
  const auto name = [](size_t i) { return to_string(static_cast<StoreCall>(i)); };
  out.family("coldshelf_cloud_download_latency_seconds", "histogram",
             "CloudDownloadLatency: one request for a part of an object, until its last byte.");
  out.histogram({}, calls[static_cast<size_t>(StoreCall::get)].latency);
  out.family("coldshelf_cloud_upload_latency_seconds", "histogram",
             "One object put, until the store has confirmed it.");
  out.histogram({}, calls[static_cast<size_t>(StoreCall::put)].latency);
  out.family("coldshelf_cloud_requests_total", "counter", "Requests to the store, retries too.");
  for (size_t i = 0; i < kStoreCalls; ++i) {
    out.sample({{"operation", name(i)}}, calls[i].latency.count());
  }
  out.family("coldshelf_cloud_request_seconds_total", "counter", "How long they took together.");
  for (size_t i = 0; i < kStoreCalls; ++i) {
    out.sample({{"operation", name(i)}}, seconds(calls[i].latency.total_ns));
  }
  out.family("coldshelf_cloud_request_errors_total", "counter",
             "Those that got no answer, or were refused.");
  for (size_t i = 0; i < kStoreCalls; ++i) out.sample({{"operation", name(i)}}, calls[i].errors);
  const StoreMeter::Reach reach = env_.meter->reach();
  out.gauge("coldshelf_store_reachable", "1 when the last request was answered.",
            uint64_t{reach.failing_since_ms == 0});
}

void Metrics::drives(PrometheusText& out) const {
  const std::vector<Element> elements = env_.tapes->library().elements(ElementType::data_transfer);
  out.family("coldshelf_drive_loaded", "gauge", "1 while a tape is loaded.");
  for (const Element& e : elements) {
    out.sample({{"drive", std::to_string(e.number)}}, uint64_t{e.drive->loaded()});
  }
  struct Family {
    const char* name;
    const char* help;
    uint64_t DriveCounters::*value;
  };
  constexpr Family kFamilies[] = {
      {"coldshelf_drive_written_bytes_total", "Plain bytes written by initiators.",
       &DriveCounters::bytes_from_initiator},
      {"coldshelf_drive_read_bytes_total", "Plain bytes read by initiators.",
       &DriveCounters::bytes_to_initiator},
      {"coldshelf_drive_stored_bytes_total", "What came of the written ones, compressed.",
       &DriveCounters::bytes_to_medium},
      {"coldshelf_drive_loads_total", "Tapes loaded.", &DriveCounters::loads},
      {"coldshelf_drive_write_errors_total", "Writes that failed.", &DriveCounters::write_errors},
      {"coldshelf_drive_read_errors_total", "Reads that failed.", &DriveCounters::read_errors},
  };
  for (const Family& family : kFamilies) {
    out.family(family.name, "counter", family.help);
    for (const Element& e : elements) {
      const DriveCounters counters = e.drive->counters();
      out.sample({{"drive", std::to_string(e.number)}}, counters.*family.value);
    }
  }
}

// Per logical unit, from the command's arrival to its answer; and the sums AWS's metrics have.
void Metrics::devices(PrometheusText& out) const {
  if (!env_.units) return;
  const std::vector<iscsi::UnitInfo> units = env_.units();
  const iscsi::Traffic all = env_.traffic ? env_.traffic() : iscsi::Traffic();
  out.counter("coldshelf_read_bytes_total", "ReadBytes: of all devices.", all.read_bytes);
  out.counter("coldshelf_write_bytes_total", "WriteBytes: of all devices.", all.write_bytes);
  out.counter("coldshelf_read_time_seconds_total", "ReadTime: of all devices.",
              seconds(all.read_ns));
  out.counter("coldshelf_write_time_seconds_total", "WriteTime: of all devices.",
              seconds(all.write_ns));
  out.family("coldshelf_device_latency_seconds", "histogram",
             "From a command's arrival with its data to its answer, by device and kind.");
  for (const iscsi::UnitInfo& unit : units) {
    const std::string device = device_of(unit.target_name, env_.config->gateway.name);
    for (size_t i = 0; i < scsi::kCommandKinds; ++i) {
      const auto& kind = unit.statistics[i];
      // A kind that a device has not seen is left out: with 100 volumes that is most of the text.
      if (kind.latency.count() == 0) continue;
      out.histogram({{"device", device}, {"kind", to_string(static_cast<scsi::CommandKind>(i))}},
                    kind.latency);
    }
  }
  out.family("coldshelf_device_bytes_total", "counter", "Bytes read and written, by device.");
  for (const iscsi::UnitInfo& unit : units) {
    const std::string device = device_of(unit.target_name, env_.config->gateway.name);
    out.sample({{"device", device}, {"kind", "read"}}, unit.statistics[kRead].bytes);
    out.sample({{"device", device}, {"kind", "write"}}, unit.statistics[kWrite].bytes);
  }
  out.family("coldshelf_device_errors_total", "counter",
             "Commands answered with CHECK CONDITION, by device.");
  for (const iscsi::UnitInfo& unit : units) {
    uint64_t errors = 0;
    for (const auto& kind : unit.statistics) errors += kind.errors;
    out.sample({{"device", device_of(unit.target_name, env_.config->gateway.name)}}, errors);
  }
}

void Metrics::volumes(PrometheusText& out) const {
  if (!env_.volumes) return;
  const std::vector<Volume> all = env_.volumes();
  const int64_t now = env_.tapes->env().clock->unix_ms();
  out.gauge("coldshelf_volumes", "Volumes.", uint64_t{all.size()});
  out.family("coldshelf_volume_size_bytes", "gauge", "Size that initiators see.");
  for (const Volume& v : all) out.sample({{"volume", v.name}}, v.size_bytes);
  out.family("coldshelf_volume_used_bytes", "gauge", "What its blocks take.");
  for (const Volume& v : all) out.sample({{"volume", v.name}}, v.used_bytes);
  out.family("coldshelf_volume_not_uploaded_bytes", "gauge", "What the store does not have of it.");
  for (const Volume& v : all) out.sample({{"volume", v.name}}, v.not_uploaded_bytes);
  out.family("coldshelf_time_since_last_recovery_point_seconds", "gauge",
             "TimeSinceLastRecoveryPoint: since the moment up to which the store has all of it.");
  for (const Volume& v : all) {
    out.sample({{"volume", v.name}}, seconds_of_ms(v.not_uploaded_age_ms));
  }
  out.family("coldshelf_volume_newest_point_age_seconds", "gauge",
             "Since its newest recovery point; missing when it has none.");
  for (const Volume& v : all) {
    if (v.newest_point_ms == 0) continue;
    out.sample({{"volume", v.name}}, seconds_of_ms(now - v.newest_point_ms));
  }
}

void Metrics::tapes(PrometheusText& out) const {
  const auto counts = env_.tapes->env().catalog->tape_counts();
  if (!counts.ok()) return;
  out.family("coldshelf_tapes", "gauge", "Tapes by status.");
  for (const auto& [status, count] : *counts) {
    if (status != TapeStatus::deleted) out.sample({{"status", to_string(status)}}, count);
  }
}

void Metrics::host(PrometheusText& out) const {
  if (env_.monitor == nullptr) return;
  const Monitor::Recent recent = env_.monitor->recent();
  out.gauge("coldshelf_io_wait_percent", "IoWaitPercent: of the last minute.",
            recent.io_wait_percent);
  out.gauge("coldshelf_user_cpu_percent", "UserCpuPercent: of the last minute.",
            recent.user_cpu_percent);
  out.gauge("coldshelf_memory_total_bytes", "MemTotalBytes: of the machine.",
            recent.host.memory_total_bytes);
  out.gauge("coldshelf_memory_used_bytes", "MemUsedBytes: of the machine.",
            recent.host.memory_total_bytes - recent.host.memory_available_bytes);
  out.gauge("coldshelf_resident_memory_bytes", "Of the daemon.",
            recent.host.process_resident_bytes);
  out.counter("coldshelf_cpu_seconds_total", "Processor time of the daemon.",
              recent.host.process_cpu_seconds);
  out.gauge("coldshelf_open_files", "File descriptors of the daemon.",
            recent.host.process_open_files);
}

void Metrics::alarms(PrometheusText& out) const {
  if (env_.monitor == nullptr) return;
  out.family("coldshelf_alarm", "gauge", "1 for each alarm that is on.");
  for (const Alarm& alarm : env_.monitor->alarms().active()) {
    out.sample({{"alarm", alarm.name},
                {"subject", alarm.subject},
                {"severity", to_string(alarm.severity)}},
               uint64_t{1});
  }
}

}  // namespace coldshelf
