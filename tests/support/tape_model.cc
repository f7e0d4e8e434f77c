#include "tests/support/tape_model.h"

#include <algorithm>

namespace coldshelf {

TapeModel::TapeModel(uint64_t capacity_bytes, uint64_t early_warning_bytes, bool worm)
    : early_warning_bytes_(early_warning_bytes), worm_(worm), partitions_(1) {
  partitions_[0].capacity = capacity_bytes;
}

uint64_t TapeModel::filemark() const {
  uint64_t n = 0;
  for (uint64_t i = 0; i < block_; ++i) n += objects()[i].filemark ? 1 : 0;
  return n;
}

uint64_t TapeModel::bytes_before() const {
  uint64_t n = 0;
  for (uint64_t i = 0; i < block_; ++i) n += objects()[i].length;
  return n;
}

uint64_t TapeModel::used_bytes(uint32_t partition) const {
  uint64_t n = 0;
  for (const Object& object : partitions_[partition].objects) n += object.length;
  return n;
}

uint64_t TapeModel::early_warning_at() const {
  const uint64_t capacity = partitions_[partition_].capacity;
  return capacity > early_warning_bytes_ ? capacity - early_warning_bytes_ : 0;
}

bool TapeModel::behind_early_warning() const { return bytes_before() >= early_warning_at(); }

// On WORM the end alone, and the filemarks at it but for the first of them.
bool TapeModel::may_write() const {
  if (!worm_ || block_ == objects().size()) return true;
  if (block_ == 0) return false;
  return std::all_of(objects().begin() + static_cast<std::ptrdiff_t>(block_) - 1, objects().end(),
                     [](const Object& object) { return object.filemark; });
}

TapeModel::Written TapeModel::write(uint64_t length, uint64_t content) {
  Written out;
  if (!may_write()) return {.refused = true};
  const uint64_t before = bytes_before();
  if (before + length > partitions_[partition_].capacity) {
    return {.overflow = true, .early_warning = true};
  }
  objects().resize(block_);
  objects().push_back({false, length, content});
  ++block_;
  out.early_warning = behind_early_warning();
  if (programmable_bytes_ > 0) {
    const uint64_t warning = early_warning_at();
    const uint64_t zone = warning > programmable_bytes_ ? warning - programmable_bytes_ : 0;
    out.programmable_early_warning = before < zone && bytes_before() >= zone;
  }
  return out;
}

TapeModel::Written TapeModel::write_filemarks(uint64_t count) {
  if (count > 0) {
    if (!may_write()) return {.refused = true};
    objects().resize(block_);
    for (uint64_t i = 0; i < count; ++i) objects().push_back({true, 0, 0});
    block_ += count;
  }
  Written out;
  out.early_warning = behind_early_warning();
  return out;
}

const TapeModel::Object* TapeModel::read() {
  if (block_ == objects().size()) return nullptr;
  return &objects()[block_++];
}

TapeModel::Moved TapeModel::space_blocks(int64_t count) {
  for (; count > 0; --count) {
    if (block_ == objects().size()) return {Stop::end_of_data, static_cast<uint64_t>(count)};
    if (objects()[block_++].filemark) return {Stop::filemark, static_cast<uint64_t>(count)};
  }
  for (; count < 0; ++count) {
    if (block_ == 0) return {Stop::beginning_of_partition, static_cast<uint64_t>(-count)};
    if (objects()[--block_].filemark) return {Stop::filemark, static_cast<uint64_t>(-count)};
  }
  return {};
}

TapeModel::Moved TapeModel::space_filemarks(int64_t count) {
  while (count > 0) {
    if (block_ == objects().size()) return {Stop::end_of_data, static_cast<uint64_t>(count)};
    if (objects()[block_++].filemark) --count;
  }
  while (count < 0) {
    if (block_ == 0) return {Stop::beginning_of_partition, static_cast<uint64_t>(-count)};
    if (objects()[--block_].filemark) ++count;
  }
  return {};
}

TapeModel::Moved TapeModel::space_sequential_filemarks(int64_t count) {
  const int64_t wanted = count < 0 ? -count : count;
  int64_t run = 0;
  while (run < wanted) {
    if (count > 0) {
      if (block_ == objects().size()) return {Stop::end_of_data, static_cast<uint64_t>(wanted)};
      run = objects()[block_++].filemark ? run + 1 : 0;
    } else {
      if (block_ == 0) return {Stop::beginning_of_partition, static_cast<uint64_t>(wanted)};
      run = objects()[--block_].filemark ? run + 1 : 0;
    }
  }
  return {};
}

TapeModel::Moved TapeModel::locate_block(uint32_t partition, uint64_t block) {
  partition_ = partition;
  block_ = block;
  if (block <= objects().size()) return {};
  block_ = objects().size();
  return {Stop::end_of_data, 0};
}

TapeModel::Moved TapeModel::locate_filemark(uint32_t partition, uint64_t filemark) {
  partition_ = partition;
  block_ = 0;
  for (uint64_t seen = 0; seen < filemark; ++block_) {
    if (block_ == objects().size()) return {Stop::end_of_data, 0};
    if (objects()[block_].filemark) ++seen;
  }
  return {};
}

void TapeModel::locate_end_of_data(uint32_t partition) {
  partition_ = partition;
  block_ = objects().size();
}

bool TapeModel::erase() {
  if (worm_) return block_ == objects().size();
  objects().resize(block_);
  return true;
}

bool TapeModel::format(const std::vector<uint64_t>& capacities) {
  if (worm_) return false;
  partitions_.assign(capacities.size(), Part{});
  for (std::size_t i = 0; i < capacities.size(); ++i) partitions_[i].capacity = capacities[i];
  load();
  return true;
}

void TapeModel::load() {
  partition_ = 0;
  block_ = 0;
}

}  // namespace coldshelf
