#include "tape/drive/drive_state.h"

#include "base/log.h"

namespace coldshelf {

namespace {
constexpr uint64_t kEarlyWarningPercent = 2;
constexpr uint64_t kEarlyWarningMin = 1 * MiB;
constexpr uint64_t kEarlyWarningMax = 8 * GiB;

// The medium or what is below it failed, as opposed to a request that was refused or came too
// early.
bool is_medium_failure(ErrorCode code) {
  switch (code) {
    case ErrorCode::io:
    case ErrorCode::no_space:
    case ErrorCode::permission:
    case ErrorCode::read_only:
    case ErrorCode::corrupt:
    case ErrorCode::not_found:
    case ErrorCode::internal:
      return true;
    default:
      return false;
  }
}
}  // namespace

DriveCounters TapeDrive::State::Counters::get() const {
  DriveCounters out;
  out.loads = loads.get();
  out.records_written = records_written.get();
  out.records_read = records_read.get();
  out.filemarks_written = filemarks_written.get();
  out.bytes_from_initiator = bytes_from_initiator.get();
  out.bytes_to_initiator = bytes_to_initiator.get();
  out.bytes_to_medium = bytes_to_medium.get();
  out.bytes_from_medium = bytes_from_medium.get();
  out.write_errors = write_errors.get();
  out.read_errors = read_errors.get();
  return out;
}

Status TapeDrive::State::require_loaded() const {
  if (loaded) return {};
  return Error(ErrorCode::not_ready, cartridge ? "the cartridge is not loaded" : "no cartridge");
}

Status TapeDrive::State::require_partition(uint32_t partition) const {
  TRY(require_loaded());
  if (partition < partitions) return {};
  return Error(ErrorCode::invalid_argument, "no partition " + std::to_string(partition));
}

Status TapeDrive::State::require_expected() const {
  TRY(require_loaded());
  if (expected_generation == 0 || expected_generation == generation) return {};
  return Error(ErrorCode::not_ready, "another cartridge has come in");
}

Status TapeDrive::State::writable() const {
  TRY(require_expected());
  if (failure) return *failure;
  if (protection) return *protection;
  if (software_protected) {
    return Error(ErrorCode::write_protected, "software write protection is on");
  }
  return {};
}

Status TapeDrive::State::prepare_write() {
  TRY(writable());
  if (!worm || at.block == cartridge->end_of_data(at.partition).block) return {};
  ASSIGN_OR_RETURN(const bool between, between_last_filemarks());
  if (between) return {};
  return Error(ErrorCode::write_protected, "WORM medium: only the end of data can be written");
}

Result<bool> TapeDrive::State::between_last_filemarks() {
  const Position end = cartridge->end_of_data(at.partition);
  if (at.filemark == 0 || end.block - at.block != end.filemark - at.filemark) return false;
  ASSIGN_OR_RETURN(const uint64_t before, filemark_block(at.filemark - 1));
  return before + 1 == at.block;
}

Status TapeDrive::State::begin_change() {
  if (!change_pending) return {};
  ++history.volume_change;
  // 0 and FFFFFFFFh mean "unknown" to applications (SPC-5 7.4.2.2.10).
  if (history.volume_change >= 0xFFFFFFFFU) history.volume_change = 1;
  Status saved = save_history();
  if (!saved.ok()) return write_failed(std::move(saved).error());
  change_pending = false;
  return {};
}

uint64_t TapeDrive::State::early_warning_of(uint64_t partition_capacity) const {
  uint64_t distance = options.early_warning_bytes;
  if (distance == 0) {
    distance = std::clamp(partition_capacity / 100 * kEarlyWarningPercent, kEarlyWarningMin,
                          kEarlyWarningMax);
    // A tiny partition still has a half in which nothing warns.
    distance = std::min(distance, partition_capacity / 2);
  }
  return partition_capacity - std::min(distance, partition_capacity);
}

uint64_t TapeDrive::State::programmable_zone_start() const {
  return early_warning - std::min(programmable_zone_bytes, early_warning);
}

void TapeDrive::State::refresh_limits() {
  capacity = cartridge->partition_capacity(at.partition);
  early_warning = early_warning_of(capacity);
}

void TapeDrive::State::jump_to(const Position& to) {
  const bool other_partition = to.partition != at.partition;
  at = to;
  zone_possible.reset();
  bytes_at.reset();
  if (at.block == 0) bytes_at = 0;
  if (other_partition) refresh_limits();
}

void TapeDrive::State::go_to(const Position& to) {
  jump_to(to);
  position_lost = false;
}

Status TapeDrive::State::learn_bytes() {
  if (bytes_at) return {};
  ASSIGN_OR_RETURN(bytes_at, cartridge->bytes_before(at));
  return {};
}

bool TapeDrive::State::behind(uint64_t threshold) {
  if (!bytes_at) {
    if (!zone_possible) {
      Result<uint64_t> used = cartridge->bytes_before(cartridge->end_of_data(at.partition));
      zone_possible = used.ok() && *used >= programmable_zone_start();
    }
    if (!*zone_possible) return false;
    if (!learn_bytes().ok()) {
      zone_possible = false;  // asked once per jump: a cold segment must not delay each command
      return false;
    }
  }
  return *bytes_at >= threshold;
}

void TapeDrive::State::wrote(uint64_t objects, uint64_t bytes) {
  *bytes_at += bytes;
  dirty = true;
  buffered_objects += objects;
  buffered_bytes += bytes;
}

Status TapeDrive::State::flush() {
  if (!dirty) return {};
  Status synced = cartridge->sync();
  if (!synced.ok()) return write_failed(std::move(synced).error());
  dirty = false;
  buffered_objects = buffered_bytes = 0;
  return {};
}

Error TapeDrive::State::write_failed(Error error) {
  if (is_medium_failure(error.code)) {
    counters.write_errors.add(1);
    remember(error);
  }
  Status usable = cartridge->check_writable();
  if (!usable.ok() && !failure && !protection) {
    failure = std::move(usable).error();
    protected_by_medium = true;
    log_error("drive", "medium turned read-only",
              {{"drive", options.number}, {"error", error.message()}});
    // What is lost has been told once, by this error: moving and reading must go on.
    dirty = false;
    buffered_objects = buffered_bytes = 0;
  }
  const Position end = cartridge->end_of_data(at.partition);
  jump_to(at.block > end.block ? end : at);
  return error;
}

void TapeDrive::State::remember(const Error& error) {
  const std::lock_guard lock(info_mutex);
  last_error = error;
}

void TapeDrive::State::fold_cartridge_counters() {
  if (!cartridge) return;
  const Cartridge::Counters now = cartridge->counters();
  counters.bytes_to_medium.add(now.stored_bytes_written - cartridge_seen.stored_bytes_written);
  counters.bytes_from_medium.add(now.stored_bytes_read - cartridge_seen.stored_bytes_read);
  cartridge_seen = now;
}

uint64_t TapeDrive::State::load_bytes_written() const {
  const std::lock_guard lock(info_mutex);
  return counters.bytes_from_initiator.get() - counters_at_load.bytes_from_initiator;
}

uint64_t TapeDrive::State::load_bytes_read() const {
  const std::lock_guard lock(info_mutex);
  return counters.bytes_to_initiator.get() - counters_at_load.bytes_to_initiator;
}

uint64_t TapeDrive::State::load_write_errors() const {
  const std::lock_guard lock(info_mutex);
  return counters.write_errors.get() - counters_at_load.write_errors;
}

uint64_t TapeDrive::State::load_read_errors() const {
  const std::lock_guard lock(info_mutex);
  return counters.read_errors.get() - counters_at_load.read_errors;
}

void TapeDrive::State::load_now() {
  const Manifest manifest = cartridge->manifest();
  const MediumProfile* profile = find_medium(manifest.medium);
  CHECK(profile != nullptr);  // insert() looked
  medium = profile;
  worm = manifest.worm;
  uuid = manifest.uuid;
  created_unix_ms = manifest.created_unix_ms;
  host_mam = manifest.mam;
  const auto past = manifest.properties.find(std::string(DriveHistory::kProperty));
  history = past == manifest.properties.end() ? DriveHistory{} : DriveHistory::decode(past->second);
  ++history.loads;
  std::rotate(history.devices.begin(), history.devices.end() - 1, history.devices.end());
  history.devices[0] = std::string(options.profile->vendor) + "|" + options.serial;
  change_pending = true;

  protection.reset();
  failure.reset();
  if (std::ranges::find(options.profile->writes, profile->name) == options.profile->writes.end()) {
    protection = Error(ErrorCode::write_protected, std::string(profile->name) +
                                                       " is read-only in a drive of generation " +
                                                       std::string(options.profile->medium));
  } else if (manifest.write_protected) {
    protection = Error(ErrorCode::write_protected, "the cartridge is write-protected");
  } else if (Status usable = cartridge->check_writable(); !usable.ok()) {
    failure = std::move(usable).error();
  }
  protected_by_medium = protection || failure;

  partitions = cartridge->partition_count();
  at = Position{};
  refresh_limits();
  go_to(Position{});
  dirty = false;
  buffered_objects = buffered_bytes = 0;
  fold_cartridge_counters();
  counters.loads.add(1);
  {
    const std::lock_guard lock(info_mutex);
    last_error.reset();
    counters_at_load = counters.get();
    counters_at_load.loads -= 1;
  }
  loaded = true;
  ++generation;
}

Status TapeDrive::State::save_history() {
  return cartridge->set_property(std::string(DriveHistory::kProperty), history.encode());
}

Status TapeDrive::State::unload_now() {
  if (!loaded) return {};
  // 1. No command reaches the medium any more, whatever happens below.
  loaded = false;
  // 2. Data first: on disk, then sealed.
  Status result = flush();
  Status sealed = cartridge->seal();
  if (result.ok() && !sealed.ok()) result = write_failed(std::move(sealed).error());
  // 3. The history last, so that it never delays or endangers data.
  fold_cartridge_counters();
  history.last_written_bytes = load_bytes_written();
  history.last_read_bytes = load_bytes_read();
  history.written_bytes += history.last_written_bytes;
  history.read_bytes += history.last_read_bytes;
  if (!failure) {
    if (Status saved = save_history(); !saved.ok()) {
      log_warning("drive", "the cartridge's history was not saved",
                  {{"drive", options.number}, {"error", saved.error().message()}});
    }
  }
  medium = nullptr;
  worm = false;
  partitions = 0;
  protected_by_medium = false;
  protection.reset();
  failure.reset();
  host_mam.clear();
  at = Position{};
  return result;
}

void TapeDrive::State::reset_after_format() {
  partitions = cartridge->partition_count();
  at = Position{};
  refresh_limits();
  jump_to(Position{});
  dirty = false;
  buffered_objects = buffered_bytes = 0;
}

}  // namespace coldshelf
