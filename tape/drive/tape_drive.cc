// Medium, state and configuration. Moving: drive_movement.cc; data: drive_io.cc; MAM: drive_mam.cc.
#include "tape/drive/tape_drive.h"

#include "tape/drive/drive_state.h"

namespace coldshelf {

TapeDrive::TapeDrive(Options options) : state_(std::make_unique<State>(std::move(options))) {
  CHECK(state_->options.profile != nullptr);
}

TapeDrive::~TapeDrive() = default;

const TapeDrive::Options& TapeDrive::options() const { return state_->options; }

Status TapeDrive::insert(std::unique_ptr<Cartridge>& cartridge) {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  const State::Doing doing(s, DriveActivity::loading);
  CHECK(cartridge != nullptr);
  if (s.cartridge) {
    return Error(ErrorCode::element_full, "drive " + std::to_string(s.options.number) +
                                              " already holds " + s.cartridge->label());
  }
  const std::string medium = cartridge->manifest().medium;
  const auto& reads = s.options.profile->reads;
  if (std::ranges::find(reads, std::string_view(medium)) == reads.end() || !find_medium(medium)) {
    return Error(ErrorCode::invalid_argument, std::string(s.options.profile->name) +
                                                  " cannot read " + medium + " medium " +
                                                  cartridge->label());
  }
  s.cartridge = std::move(cartridge);
  s.cartridge->set_compression(s.compression);
  s.cartridge_seen = s.cartridge->counters();
  {
    const std::lock_guard info(s.info_mutex);
    s.label = s.cartridge->label();
  }
  s.inserted = true;
  s.load_now();
  return {};
}

bool TapeDrive::inserted() const { return state_->inserted; }

bool TapeDrive::loaded() const { return state_->loaded; }

Status TapeDrive::load() {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  const State::Doing doing(s, DriveActivity::loading);
  if (!s.cartridge) return Error(ErrorCode::not_ready, "no cartridge");
  if (!s.loaded) {
    s.load_now();
    return {};
  }
  // SSC-5 7.4: a load of what is loaded leaves it at the beginning of the medium.
  TRY(s.flush());
  s.go_to(Position{});
  return {};
}

Status TapeDrive::unload() {
  State& s = *state_;
  Status result;
  UnloadListener listener;
  {
    const std::lock_guard lock(s.mutex);
    const State::Doing doing(s, DriveActivity::unloading);
    if (!s.cartridge) return Error(ErrorCode::not_ready, "no cartridge");
    if (!s.loaded) return {};
    result = s.unload_now();
    const std::lock_guard info(s.info_mutex);
    listener = s.unload_listener;
  }
  if (listener) listener(s.options.number);
  return result;
}

Status TapeDrive::eject(std::unique_ptr<Cartridge>* cartridge) {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  const State::Doing doing(s, DriveActivity::unloading);
  if (!s.cartridge) return Error(ErrorCode::not_ready, "no cartridge");
  Status result = s.unload_now();
  s.inserted = false;
  *cartridge = std::move(s.cartridge);
  ++s.generation;
  const std::lock_guard info(s.info_mutex);
  s.label.clear();
  return result;
}

void TapeDrive::set_unload_listener(UnloadListener listener) {
  const std::lock_guard info(state_->info_mutex);
  state_->unload_listener = std::move(listener);
}

uint64_t TapeDrive::medium_generation() const { return state_->generation; }

void TapeDrive::expect_medium(uint64_t generation) { state_->expected_generation = generation; }

std::string TapeDrive::label() const {
  const std::lock_guard info(state_->info_mutex);
  return state_->label;
}

const MediumProfile* TapeDrive::medium() const { return state_->medium; }

bool TapeDrive::worm() const { return state_->worm; }

bool TapeDrive::write_protected() const {
  return state_->protected_by_medium || state_->software_protected;
}

Status TapeDrive::check_writable() const {
  const std::lock_guard lock(state_->mutex);
  return state_->writable();
}

void TapeDrive::set_software_write_protect(bool persistent_or_associated) {
  state_->software_protected = persistent_or_associated;
}

void TapeDrive::set_compression(bool on) {
  const std::lock_guard lock(state_->mutex);
  state_->compression = on;
  if (state_->cartridge) state_->cartridge->set_compression(on);
}

void TapeDrive::set_programmable_early_warning(uint64_t bytes) {
  const std::lock_guard lock(state_->mutex);
  state_->programmable_zone_bytes = bytes;
  state_->zone_possible.reset();
}

uint64_t TapeDrive::programmable_early_warning() const {
  const std::lock_guard lock(state_->mutex);
  return state_->programmable_zone_bytes;
}

Result<TapeDrive::Capacity> TapeDrive::capacity(uint32_t partition) const {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  TRY(s.require_partition(partition));
  Capacity out;
  out.maximum_bytes = s.cartridge->partition_capacity(partition);
  ASSIGN_OR_RETURN(out.used_bytes, s.cartridge->bytes_before(s.cartridge->end_of_data(partition)));
  out.remaining_bytes = out.maximum_bytes - std::min(out.used_bytes, out.maximum_bytes);
  return out;
}

uint64_t TapeDrive::medium_capacity() const {
  const std::lock_guard lock(state_->mutex);
  return state_->loaded ? state_->cartridge->manifest().capacity_bytes : 0;
}

uint32_t TapeDrive::partition_count() const { return state_->partitions; }

DriveCounters TapeDrive::counters() const {
  // What the cartridge stored is fetched when nothing long is under way, else it is a moment old.
  if (const std::unique_lock lock(state_->mutex, std::try_to_lock); lock) {
    state_->fold_cartridge_counters();
  }
  return state_->counters.get();
}

DriveCounters TapeDrive::load_counters() const {
  (void)counters();  // fetches what the cartridge stored
  // A load between the two would make the difference negative: load_now() holds this mutex too.
  const std::lock_guard info(state_->info_mutex);
  DriveCounters now = state_->counters.get();
  const DriveCounters& then = state_->counters_at_load;
  now.loads -= then.loads;
  now.records_written -= then.records_written;
  now.records_read -= then.records_read;
  now.filemarks_written -= then.filemarks_written;
  now.bytes_from_initiator -= then.bytes_from_initiator;
  now.bytes_to_initiator -= then.bytes_to_initiator;
  now.bytes_to_medium -= then.bytes_to_medium;
  now.bytes_from_medium -= then.bytes_from_medium;
  now.write_errors -= then.write_errors;
  now.read_errors -= then.read_errors;
  return now;
}

DriveActivity TapeDrive::activity() const {
  const DriveActivity doing = state_->doing.load(std::memory_order_relaxed);
  if (doing != DriveActivity::idle) return doing;
  if (!state_->inserted) return DriveActivity::empty;
  return state_->loaded ? DriveActivity::idle : DriveActivity::not_ready;
}

std::optional<Position> TapeDrive::position_now() const {
  const std::unique_lock lock(state_->mutex, std::try_to_lock);
  if (!lock || !state_->loaded) return std::nullopt;
  return state_->at;
}

std::string_view to_string(DriveActivity activity) {
  switch (activity) {
    case DriveActivity::empty:
      return "empty";
    case DriveActivity::not_ready:
      return "not_ready";
    case DriveActivity::idle:
      return "idle";
    case DriveActivity::loading:
      return "loading";
    case DriveActivity::unloading:
      return "unloading";
    case DriveActivity::positioning:
      return "positioning";
    case DriveActivity::erasing:
      return "erasing";
    case DriveActivity::reading:
      return "reading";
    case DriveActivity::writing:
      return "writing";
  }
  return "unknown";
}

std::optional<Error> TapeDrive::last_medium_error() const {
  const std::lock_guard info(state_->info_mutex);
  return state_->last_error;
}

}  // namespace coldshelf
