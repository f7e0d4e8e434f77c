// Which cached piece goes when there is room for no more: 2Q (Johnson and Shasha, VLDB 1994). What
// comes for the first time passes through a queue of its own and leaves no trace but its name; only
// what is asked for again, after it has left that queue, joins those that are kept by their last
// use. So a scan of any length flushes nothing but the first queue. Not thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

namespace coldshelf {

class TwoQueue {
 public:
  using Key = uint64_t;
  explicit TwoQueue(size_t capacity) { set_capacity(capacity); }

  // Of pieces. What is beyond a smaller one goes with the next insertions, one more each.
  void set_capacity(size_t capacity);
  size_t capacity() const { return capacity_; }
  size_t size() const { return recent_.size + often_.size; }

  bool contains(Key key) const;
  // It is used; false: it is not here.
  bool use(Key key);
  // It came, and was not here. What goes for it is appended to `gone`: at most two.
  void insert(Key key, std::vector<Key>& gone);
  // It is no longer of use to anybody; its name is forgotten too.
  void erase(Key key);

 private:
  enum class Where : uint8_t { none, recent, often, ghost };
  static constexpr uint32_t kNil = UINT32_MAX;
  struct Node {
    Key key = 0;
    uint32_t before = kNil, after = kNil;
    Where where = Where::none;
  };
  struct Queue {  // first: came last
    uint32_t first = kNil, last = kNil;
    size_t size = 0;
  };
  Queue& queue_of(Where where);
  void push(uint32_t node, Where where);
  void unlink(uint32_t node);
  void drop(uint32_t node);  // its name too
  uint32_t new_node(Key key);
  Key evict_one();

  size_t capacity_ = 0;
  std::vector<Node> nodes_;
  std::vector<uint32_t> free_;
  std::unordered_map<Key, uint32_t> index_;  // of all three
  Queue recent_, often_, ghosts_;
};

}  // namespace coldshelf
