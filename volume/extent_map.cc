#include "volume/extent_map.h"

#include <algorithm>

#include "base/check.h"

namespace coldshelf {

namespace {

// The first entry that ends after `block`.
template <typename Entries>
auto first_after(Entries& entries, uint32_t block) {
  return std::upper_bound(entries.begin(), entries.end(), block,
                          [](uint32_t b, const MapEntry& e) { return b < e.end(); });
}

// Whether nobody else holds it. Only the owner of a map makes copies, so that the answer "alone"
// stays true; the fence orders our changes behind the last reads of whoever dropped a copy.
template <typename T>
bool alone(const std::shared_ptr<T>& held) {
  if (held.use_count() != 1) return false;
  std::atomic_thread_fence(std::memory_order_acquire);
  return true;
}

}  // namespace

const ExtentMap::Leaf* ExtentMap::leaf_of(uint64_t group) const {
  const uint64_t page = group / kPageLeaves;
  if (page >= pages_.size() || pages_[page] == nullptr) return nullptr;
  return pages_[page]->leaves[group % kPageLeaves].get();
}

ExtentMap::Leaf* ExtentMap::writable_leaf(uint64_t group, bool make) {
  const uint64_t number = group / kPageLeaves;
  if (!make && leaf_of(group) == nullptr) return nullptr;
  if (number >= pages_.size()) pages_.resize(number + 1);
  auto& page = pages_[number];
  if (page == nullptr) {
    page = std::make_shared<Page>();
  } else if (!alone(page)) {
    page = std::make_shared<Page>(*page);
  }
  auto& leaf = page->leaves[group % kPageLeaves];
  if (leaf == nullptr) {
    leaf = std::make_shared<Leaf>();
  } else if (!alone(leaf)) {
    leaf = std::make_shared<Leaf>(*leaf);
  }
  return leaf.get();
}

void ExtentMap::replace(const BlockRange& range, bool mapped, uint32_t slot, uint32_t offset,
                        const Freed& freed) {
  CHECK(range.end() <= kMaxImageBlocks && range.end() >= range.first);
  for (uint64_t at = range.first; at < range.end();) {
    const uint64_t group = at / kMapGroupBlocks;
    const uint64_t begin = group * kMapGroupBlocks;
    if (!mapped && group / kPageLeaves >= pages_.size()) return;  // nothing from here on
    const uint64_t end = std::min(range.end(), begin + kMapGroupBlocks);
    if (Leaf* leaf = writable_leaf(group, mapped)) {
      replace_in(*leaf, static_cast<uint32_t>(at - begin), static_cast<uint32_t>(end - begin),
                 mapped, slot, offset, freed);
      if (leaf->empty()) pages_[group / kPageLeaves]->leaves[group % kPageLeaves].reset();
    }
    at = end;
  }
}

void ExtentMap::replace_in(Leaf& leaf, uint32_t first, uint32_t end, bool mapped, uint32_t slot,
                           uint32_t offset, const Freed& freed) {
  const auto low = first_after(leaf, first);
  auto high = low;
  std::array<MapEntry, 3> fresh;
  size_t count = 0;
  if (low != leaf.end() && low->first < first) {
    fresh[count] = *low;
    fresh[count++].count = static_cast<uint16_t>(first - low->first);
  }
  if (mapped) {
    fresh[count++] = {static_cast<uint16_t>(first), static_cast<uint16_t>(end - first), slot,
                      offset};
  }
  for (; high != leaf.end() && high->first < end; ++high) {
    const uint32_t from = std::max<uint32_t>(high->first, first);
    const uint32_t to = std::min(high->end(), end);
    mapped_blocks_ -= to - from;
    freed(high->source, to - from);
    if (high->end() > end) {
      fresh[count] = *high;
      fresh[count].first = static_cast<uint16_t>(end);
      fresh[count++].count = static_cast<uint16_t>(high->end() - end);
    }
  }
  if (mapped) mapped_blocks_ += end - first;
  const auto gone = static_cast<size_t>(high - low);
  const auto at = low - leaf.begin();
  extent_count_ = extent_count_ + count - gone;
  const size_t kept = std::min(gone, count);
  std::copy_n(fresh.begin(), kept, low);
  if (gone > count) {
    leaf.erase(low + static_cast<std::ptrdiff_t>(kept), high);
  } else if (count > gone) {
    // Grown by an eighth at a time: 16 bytes for an extent is the promise.
    const size_t size = leaf.size() + count - gone;
    if (size > leaf.capacity()) leaf.reserve(std::max(size, leaf.capacity() + leaf.capacity() / 8));
    leaf.insert(leaf.begin() + at + static_cast<std::ptrdiff_t>(kept), fresh.begin() + kept,
                fresh.begin() + static_cast<std::ptrdiff_t>(count));
  }
}

void ExtentMap::find(const BlockRange& range, std::vector<Extent>& out, size_t limit) const {
  for (uint64_t at = range.first; at < range.end() && limit > 0;) {
    const uint64_t group = at / kMapGroupBlocks;
    const uint64_t begin = group * kMapGroupBlocks;
    if (group / kPageLeaves >= pages_.size()) return;
    const uint64_t group_end = std::min(range.end(), begin + kMapGroupBlocks);
    if (const Leaf* leaf = leaf_of(group)) {
      const auto end = static_cast<uint32_t>(group_end - begin);
      for (auto e = first_after(*leaf, static_cast<uint32_t>(at - begin));
           e != leaf->end() && e->first < end && limit > 0; ++e, --limit) {
        const uint64_t from = std::max(begin + e->first, at);
        const uint64_t to = std::min(begin + e->end(), group_end);
        out.push_back({{from, to - from}, e->source, e->offset});
      }
    }
    at = group_end;
  }
}

uint64_t ExtentMap::run_at(uint64_t block, uint64_t limit, bool& mapped) const {
  std::vector<Extent> found;
  uint64_t at = block;
  const uint64_t end = block + limit;
  mapped = false;
  find({block, limit}, found, 1);
  if (found.empty()) return limit;
  if (found[0].range.first > block) return found[0].range.first - block;
  mapped = true;
  while (at < end) {  // each turn moves to the end of a mapped extent
    found.clear();
    find({at, end - at}, found, 64);
    if (found.empty()) break;
    for (const Extent& e : found) {
      if (e.range.first != at) return at - block;
      at = e.range.end();
    }
  }
  return at - block;
}

void ExtentMap::set_group(uint64_t group, std::span<const MapEntry> entries) {
  Leaf* leaf = writable_leaf(group, true);
  CHECK(leaf->empty());
  leaf->assign(entries.begin(), entries.end());
  extent_count_ += entries.size();
  for (const MapEntry& entry : entries) mapped_blocks_ += entry.count;
}

Status ExtentMap::for_each_group(
    const std::function<Status(uint64_t, std::span<const MapEntry>)>& use) const {
  for (size_t page = 0; page < pages_.size(); ++page) {
    if (pages_[page] == nullptr) continue;
    for (size_t i = 0; i < kPageLeaves; ++i) {
      const auto& leaf = pages_[page]->leaves[i];
      if (leaf != nullptr && !leaf->empty()) TRY(use(page * kPageLeaves + i, *leaf));
    }
  }
  return {};
}

uint64_t ExtentMap::memory_bytes() const {
  uint64_t sum = pages_.capacity() * sizeof(pages_[0]);
  for (const auto& page : pages_) {
    if (page == nullptr) continue;
    sum += sizeof(Page) + 32;
    for (const auto& leaf : page->leaves) {
      if (leaf != nullptr) sum += sizeof(Leaf) + 48 + leaf->capacity() * sizeof(MapEntry);
    }
  }
  return sum;
}

}  // namespace coldshelf
