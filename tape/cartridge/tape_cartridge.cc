#include "tape/cartridge/tape_cartridge.h"

#include <utility>

namespace coldshelf {

TapeCartridge::TapeCartridge(const CartridgeEnv& env, const CartridgeOptions& options,
                             std::string directory, std::unique_ptr<ManifestLog> log,
                             Secret data_key, uint64_t next_sequence)
    : state_(env, options, std::move(directory), std::move(log), std::move(data_key)),
      cache_(state_),
      locator_(state_, cache_),
      sealer_(state_, cache_),
      pipeline_(state_, [this] { sealer_.kick(); }),
      window_(state_, cache_, locator_),
      epoch_(state_.manifest.epoch),
      next_sequence_(next_sequence) {}

TapeCartridge::~TapeCartridge() { state_.jobs.wait(); }

Manifest TapeCartridge::manifest() const {
  const std::lock_guard lock(state_.mutex);
  return state_.manifest;
}

Status TapeCartridge::check_writable() const {
  const std::lock_guard lock(state_.mutex);
  if (state_.failure) return *state_.failure;
  if (state_.manifest.write_protected) {
    return Error(ErrorCode::write_protected, "cartridge " + state_.label + " is write-protected");
  }
  return {};
}

Status TapeCartridge::check_partition(uint32_t partition) const {
  const std::lock_guard lock(state_.mutex);
  if (partition < state_.manifest.partitions.size()) return {};
  return Error(ErrorCode::out_of_range, "cartridge " + state_.label + " has " +
                                            std::to_string(state_.manifest.partitions.size()) +
                                            " partitions, not " + std::to_string(partition + 1));
}

// The manifest log takes an edit that does not apply for a failure and ends; what a caller may get
// wrong is found before.
Status TapeCartridge::check_edit(const ManifestEdit& edit) const {
  Manifest scratch;
  scratch.partitions.resize(partition_count());
  const Status applies = apply_edit(scratch, edit, nullptr);
  if (!applies.ok()) return Error(ErrorCode::invalid_argument, applies.error().context);
  return {};
}

Status TapeCartridge::set_attribute(const ManifestEdit& edit) {
  TRY(state_.failed());
  TRY(check_edit(edit));
  return state_.commit({edit}, nullptr);
}

Status TapeCartridge::set_mam(const MamKey& key, const MamValue& value) {
  return set_attribute(SetMam{key, value});
}

Status TapeCartridge::remove_mam(const MamKey& key) {
  {
    const std::lock_guard lock(state_.mutex);
    if (!state_.manifest.mam.contains(key)) {
      return Error(ErrorCode::not_found, "no such attribute: " + std::to_string(key.id));
    }
  }
  return set_attribute(RemoveMam{key});
}

Status TapeCartridge::set_property(const std::string& name, const std::string& value) {
  return set_attribute(SetProperty{name, value});
}

Status TapeCartridge::set_write_protected(bool on) { return set_attribute(SetWriteProtected{on}); }

Status TapeCartridge::set_wrapped_key(const WrappedKey& key) {
  return set_attribute(SetWrappedKey{key});
}

Cartridge::Counters TapeCartridge::counters() const {
  Counters c;
  c.records_written = state_.records_written;
  c.records_read = state_.records_read;
  c.filemarks_written = state_.filemarks_written;
  c.plain_bytes_written = state_.plain_bytes_written;
  c.stored_bytes_written = state_.stored_bytes_written;
  c.plain_bytes_read = state_.plain_bytes_read;
  c.stored_bytes_read = state_.stored_bytes_read;
  return c;
}

void TapeCartridge::forget_read_state() {
  window_.clear();
  cursor_ = {};
}

Status TapeCartridge::seal() {
  const std::lock_guard user(user_mutex_);
  return seal_locked();
}

Status TapeCartridge::seal_locked() {
  close_frame();
  finish_segment();
  TRY(pipeline_.drain(true));
  return sealer_.drain();
}

Status TapeCartridge::close() {
  const std::lock_guard user(user_mutex_);
  if (closed_) return {};
  const Status done = seal_locked();
  closed_ = true;
  state_.jobs.wait();
  if (state_.env.gate != nullptr) state_.env.gate->closed(state_.uuid);
  forget_read_state();
  cache_.clear();
  return done;
}

}  // namespace coldshelf
