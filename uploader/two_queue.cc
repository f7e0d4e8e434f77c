#include "uploader/two_queue.h"

#include <algorithm>

#include "base/check.h"

namespace coldshelf {

namespace {
// As the authors of 2Q found good over many traces.
constexpr size_t kRecentShare = 4;  // a quarter of the capacity
constexpr size_t kGhostShare = 2;   // names of half of it
}  // namespace

void TwoQueue::set_capacity(size_t capacity) { capacity_ = std::max<size_t>(1, capacity); }

TwoQueue::Queue& TwoQueue::queue_of(Where where) {
  if (where == Where::recent) return recent_;
  return where == Where::often ? often_ : ghosts_;
}

void TwoQueue::push(uint32_t node, Where where) {
  Queue& queue = queue_of(where);
  Node& n = nodes_[node];
  n.where = where;
  n.before = kNil;
  n.after = queue.first;
  if (queue.first != kNil) nodes_[queue.first].before = node;
  queue.first = node;
  if (queue.last == kNil) queue.last = node;
  ++queue.size;
}

void TwoQueue::unlink(uint32_t node) {
  Node& n = nodes_[node];
  Queue& queue = queue_of(n.where);
  (n.before != kNil ? nodes_[n.before].after : queue.first) = n.after;
  (n.after != kNil ? nodes_[n.after].before : queue.last) = n.before;
  --queue.size;
  n.where = Where::none;
}

void TwoQueue::drop(uint32_t node) {
  unlink(node);
  index_.erase(nodes_[node].key);
  free_.push_back(node);
}

uint32_t TwoQueue::new_node(Key key) {
  uint32_t node = 0;
  if (free_.empty()) {
    CHECK(nodes_.size() < kNil);
    node = static_cast<uint32_t>(nodes_.size());
    nodes_.emplace_back();
  } else {
    node = free_.back();
    free_.pop_back();
  }
  nodes_[node].key = key;
  index_[key] = node;
  return node;
}

bool TwoQueue::contains(Key key) const {
  const auto at = index_.find(key);
  return at != index_.end() && nodes_[at->second].where != Where::ghost;
}

bool TwoQueue::use(Key key) {
  const auto at = index_.find(key);
  if (at == index_.end()) return false;
  const uint32_t node = at->second;
  if (nodes_[node].where == Where::ghost) return false;
  // Uses shortly after the first belong to it: a piece is read in many small parts.
  if (nodes_[node].where == Where::often) {
    unlink(node);
    push(node, Where::often);
  }
  return true;
}

TwoQueue::Key TwoQueue::evict_one() {
  const size_t recent_share = std::max<size_t>(1, capacity_ / kRecentShare);
  if (recent_.size >= recent_share || often_.size == 0) {
    const uint32_t node = recent_.last;
    unlink(node);
    push(node, Where::ghost);
    const size_t names = std::max<size_t>(1, capacity_ / kGhostShare);
    const Key key = nodes_[node].key;
    while (ghosts_.size > names) drop(ghosts_.last);
    return key;
  }
  const Key key = nodes_[often_.last].key;
  drop(often_.last);
  return key;
}

void TwoQueue::insert(Key key, std::vector<Key>& gone) {
  const auto at = index_.find(key);
  const bool known = at != index_.end();
  CHECK(!known || nodes_[at->second].where == Where::ghost);
  // Its own name must not be what goes to make room.
  if (known) drop(at->second);
  for (int i = 0; i < 2 && size() >= capacity_; ++i) gone.push_back(evict_one());
  push(new_node(key), known ? Where::often : Where::recent);
}

void TwoQueue::erase(Key key) {
  const auto at = index_.find(key);
  if (at != index_.end()) drop(at->second);
}

}  // namespace coldshelf
