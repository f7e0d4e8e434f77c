// The manifest in memory: searches and edits.
#include "tape/format/manifest.h"

#include <algorithm>

namespace coldshelf {

namespace {

constexpr size_t kMaxNameBytes = 64 * KiB;  // of a property, a MAM value, a label

Error wrong(std::string what) { return Error(ErrorCode::corrupt, "manifest: " + std::move(what)); }

// Whether `entry` can follow the last segment of `to`.
Status check_entry(const SegmentEntry& entry, const Partition& to, uint64_t epoch) {
  const std::string name = "segment " + std::to_string(entry.sequence) + ": ";
  if (entry.sequence > UINT32_MAX || entry.epoch > UINT32_MAX) {
    return wrong(name + "sequence or epoch too big");
  }
  if (entry.epoch > epoch) return wrong(name + "of an epoch that has not begun");
  if (!to.segments.empty()) {
    if (entry.sequence <= to.segments.back().sequence) return wrong(name + "sequence goes back");
    if (entry.epoch < to.segments.back().epoch) return wrong(name + "epoch goes back");
  }
  if (entry.first_block != to.end_block() || entry.first_filemark != to.end_filemark()) {
    return wrong(name + "does not continue its partition");
  }
  if (entry.block_count > UINT64_MAX / 2 - entry.first_block ||
      entry.filemark_count > entry.block_count) {
    return wrong(name + "object counts out of bounds");
  }
  return {};
}

Status apply(Manifest& m, const Manifest& edit, std::vector<SegmentEntry>* dropped) {
  TRY(check_manifest(edit));
  if (!m.uuid.is_nil() && m.uuid != edit.uuid) return wrong("a snapshot of another cartridge");
  const uint64_t generation = m.generation;
  for (const Partition& p : m.partitions) {
    if (dropped == nullptr) break;
    for (const SegmentEntry& s : p.segments) {
      const SegmentEntry* kept = edit.find_block(s.partition, s.first_block);
      if (kept == nullptr || kept->sequence != s.sequence || kept->epoch != s.epoch) {
        dropped->push_back(s);
      }
    }
  }
  m = edit;
  m.generation = std::max(edit.generation, generation + 1) - 1;
  return {};
}

Status apply(Manifest& m, const AddSegment& edit, std::vector<SegmentEntry>*) {
  const SegmentEntry& entry = edit.entry;
  if (entry.partition >= m.partitions.size()) return wrong("a segment of no partition");
  Partition& partition = m.partitions[entry.partition];
  TRY(check_entry(entry, partition, m.epoch));
  partition.segments.push_back(entry);
  m.next_sequence = std::max(m.next_sequence, entry.sequence + 1);
  return {};
}

Status apply(Manifest& m, const TruncatePartition& edit, std::vector<SegmentEntry>* dropped) {
  if (edit.partition >= m.partitions.size()) return wrong("truncating no partition");
  Partition& partition = m.partitions[edit.partition];
  auto& segments = partition.segments;
  if (edit.block > partition.end_block()) return wrong("truncating beyond the end");
  // The first segment that goes altogether.
  const auto gone =
      std::lower_bound(segments.begin(), segments.end(), edit.block,
                       [](const SegmentEntry& s, uint64_t b) { return s.first_block < b; });
  const uint64_t whole_filemarks =
      gone != segments.end() ? gone->first_filemark : partition.end_filemark();
  const bool in_middle = gone != segments.begin() && std::prev(gone)->end_block() > edit.block;
  if (in_middle) {
    const SegmentEntry& cut = *std::prev(gone);
    const uint64_t blocks = edit.block - cut.first_block;
    if (edit.filemark < cut.first_filemark || edit.filemark > cut.end_filemark() ||
        edit.filemark - cut.first_filemark > blocks || edit.plain_bytes > cut.plain_bytes) {
      return wrong("truncating to counts the segment does not have");
    }
  } else if (edit.filemark != whole_filemarks) {
    return wrong("truncating to a filemark count that is not there");
  }
  if (dropped != nullptr) dropped->insert(dropped->end(), gone, segments.end());
  if (in_middle) {
    SegmentEntry& cut = *std::prev(gone);
    cut.block_count = edit.block - cut.first_block;
    cut.filemark_count = edit.filemark - cut.first_filemark;
    cut.plain_bytes = edit.plain_bytes;
  }
  segments.erase(gone, segments.end());
  return {};
}

Status apply(Manifest& m, const SetEpoch& edit, std::vector<SegmentEntry>*) {
  if (edit.epoch > UINT32_MAX || edit.next_sequence > uint64_t{UINT32_MAX} + 1) {
    return wrong("epoch or sequence too big");
  }
  if (edit.epoch < m.epoch) return wrong("epoch goes back");
  if (edit.next_sequence < m.next_sequence) return wrong("next sequence goes back");
  m.epoch = edit.epoch;
  m.next_sequence = edit.next_sequence;
  return {};
}

Status apply(Manifest& m, const SetMam& edit, std::vector<SegmentEntry>*) {
  if (edit.value.value.size() > kMaxNameBytes) return wrong("an attribute too long");
  if (edit.key.partition >= kMaxPartitions) return wrong("an attribute of no partition");
  m.mam[edit.key] = edit.value;
  return {};
}

Status apply(Manifest& m, const RemoveMam& edit, std::vector<SegmentEntry>*) {
  m.mam.erase(edit.key);
  return {};
}

Status apply(Manifest& m, const SetProperty& edit, std::vector<SegmentEntry>*) {
  if (edit.name.empty() || edit.name.size() > kMaxNameBytes || edit.value.size() > kMaxNameBytes) {
    return wrong("a property too long, or without a name");
  }
  if (edit.value.empty()) {
    m.properties.erase(edit.name);
  } else {
    m.properties[edit.name] = edit.value;
  }
  return {};
}

Status apply(Manifest& m, const SetWriteProtected& edit, std::vector<SegmentEntry>*) {
  m.write_protected = edit.write_protected;
  return {};
}

Status apply(Manifest& m, const SetPartitions& edit, std::vector<SegmentEntry>* dropped) {
  if (edit.capacity_bytes.empty() || edit.capacity_bytes.size() > kMaxPartitions) {
    return wrong("1 to " + std::to_string(kMaxPartitions) + " partitions are possible");
  }
  for (const Partition& p : m.partitions) {
    if (dropped != nullptr) dropped->insert(dropped->end(), p.segments.begin(), p.segments.end());
  }
  m.partitions.clear();
  for (uint64_t capacity : edit.capacity_bytes) m.partitions.push_back({capacity, {}});
  return {};
}

Status apply(Manifest& m, const SetCapacity& edit, std::vector<SegmentEntry>* dropped) {
  return apply(m, SetPartitions{{edit.capacity_bytes}}, dropped);
}

Status apply(Manifest& m, const SetWrappedKey& edit, std::vector<SegmentEntry>*) {
  if (edit.key.key_id.size() > kMaxNameBytes || edit.key.wrapped.size() > kMaxNameBytes) {
    return wrong("a wrapped key too long");
  }
  m.key = edit.key;
  return {};
}

Status apply(Manifest& m, const DropSegments& edit, std::vector<SegmentEntry>* dropped) {
  if (m.kind != CartridgeKind::image) return wrong("dropping segments of what is no image");
  if (edit.partition >= m.partitions.size()) return wrong("dropping segments of no partition");
  auto& segments = m.partitions[edit.partition].segments;
  auto next = edit.sequences.begin();
  for (const SegmentEntry& s : segments) {
    if (next != edit.sequences.end() && *next == s.sequence) ++next;
    if (s.block_count != 0) return wrong("dropping segments between objects");
  }
  // Both ascend: each is met once, or is not there.
  if (next != edit.sequences.end()) return wrong("dropping a segment that is not there");
  next = edit.sequences.begin();
  std::erase_if(segments, [&](const SegmentEntry& s) {
    if (next == edit.sequences.end() || *next != s.sequence) return false;
    ++next;
    if (dropped != nullptr) dropped->push_back(s);
    return true;
  });
  return {};
}

}  // namespace

uint64_t Partition::plain_bytes() const {
  uint64_t total = 0;
  for (const SegmentEntry& s : segments) total += s.plain_bytes;
  return total;
}

const SegmentEntry* Manifest::find_block(uint32_t partition, uint64_t block) const {
  if (partition >= partitions.size()) return nullptr;
  const auto& segments = partitions[partition].segments;
  const auto at =
      std::upper_bound(segments.begin(), segments.end(), block,
                       [](uint64_t b, const SegmentEntry& s) { return b < s.end_block(); });
  return at != segments.end() ? &*at : nullptr;
}

const SegmentEntry* Manifest::find_filemark(uint32_t partition, uint64_t filemark) const {
  if (partition >= partitions.size()) return nullptr;
  const auto& segments = partitions[partition].segments;
  const auto at =
      std::upper_bound(segments.begin(), segments.end(), filemark,
                       [](uint64_t f, const SegmentEntry& s) { return f < s.end_filemark(); });
  return at != segments.end() ? &*at : nullptr;
}

uint64_t Manifest::plain_bytes() const {
  uint64_t total = 0;
  for (const Partition& p : partitions) total += p.plain_bytes();
  return total;
}

uint64_t Manifest::stored_bytes() const {
  uint64_t total = 0;
  for (const Partition& p : partitions) {
    for (const SegmentEntry& s : p.segments) total += s.stored_bytes;
  }
  return total;
}

Status check_manifest(const Manifest& m) {
  if (m.partitions.empty() || m.partitions.size() > kMaxPartitions) {
    return wrong(std::to_string(m.partitions.size()) + " partitions");
  }
  if (m.kind != CartridgeKind::tape && m.kind != CartridgeKind::image) return wrong("unknown kind");
  if (m.epoch > UINT32_MAX || m.next_sequence > uint64_t{UINT32_MAX} + 1) {
    return wrong("epoch or sequence too big");
  }
  for (uint32_t number = 0; number < m.partitions.size(); ++number) {
    Partition before;  // holds the last segment seen, all that check_entry looks at
    for (const SegmentEntry& s : m.partitions[number].segments) {
      if (s.partition != number) return wrong("a segment in the wrong partition");
      if (s.sequence >= m.next_sequence) return wrong("a segment beyond the next sequence");
      TRY(check_entry(s, before, m.epoch));
      before.segments.assign(1, s);
    }
  }
  return {};
}

Status apply_edit(Manifest& manifest, const ManifestEdit& edit,
                  std::vector<SegmentEntry>* dropped) {
  TRY(std::visit([&](const auto& e) { return apply(manifest, e, dropped); }, edit));
  ++manifest.generation;
  return {};
}

}  // namespace coldshelf
