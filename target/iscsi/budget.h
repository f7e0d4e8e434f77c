// Bytes of data-out that all connections together may hold, handed out in the order asked for. No
// session may hold more than it leaves: one alone has half of the whole, and however many ask for
// much and send nothing, something is left for those who come later. While a session waits for
// bytes of its own the others go past. One command it may always have, if there is room for it.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>

namespace coldshelf::iscsi {

class ByteBudget : public std::enable_shared_from_this<ByteBudget> {
 public:
  // What one session has; of the budget that it is used with.
  class Share {
    friend class ByteBudget;
    uint64_t used_ = 0;
    uint64_t waiting_ = 0;  // how often it is in the queue
    uint64_t passed_ = 0;   // the last walk through the queue in which it was gone past
  };
  // Gives its bytes back when it goes.
  class Lease {
   public:
    Lease(std::shared_ptr<ByteBudget> budget, std::shared_ptr<Share> share, uint64_t bytes)
        : budget_(std::move(budget)), share_(std::move(share)), bytes_(bytes) {}
    ~Lease() { budget_->give_back(*share_, bytes_); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;

   private:
    std::shared_ptr<ByteBudget> budget_;
    std::shared_ptr<Share> share_;
    uint64_t bytes_;
  };
  using Granted = std::function<void(std::shared_ptr<Lease>)>;

  static std::shared_ptr<ByteBudget> create(uint64_t limit_bytes);

  // nullptr: not now. Never overtakes those who wait and could be served next.
  std::shared_ptr<Lease> try_take(const std::shared_ptr<Share>& share, uint64_t bytes);
  // Calls `granted` later, on the thread that made room (or at once). Returns a ticket to cancel.
  // Arrival order is what makes the wait free of deadlock: a command that holds bytes never waits
  // for one of its session that asked after it, and those of other sessions end without it.
  uint64_t take_later(std::shared_ptr<Share> share, uint64_t bytes, Granted granted);
  void cancel(uint64_t ticket);
  uint64_t used_bytes() const;

 private:
  struct Waiter {
    uint64_t ticket;
    std::shared_ptr<Share> share;
    uint64_t bytes;
    Granted granted;
  };
  explicit ByteBudget(uint64_t limit_bytes) : limit_bytes_(limit_bytes) {}
  void give_back(Share& share, uint64_t bytes);
  void serve();
  // One command bigger than the whole budget still gets its turn, alone.
  bool fits(uint64_t bytes) const { return used_ == 0 || used_ + bytes <= limit_bytes_; }
  bool share_fits(const Share& share, uint64_t bytes) const {
    return share.used_ == 0 || share.used_ + bytes + used_ + bytes <= limit_bytes_;
  }
  std::deque<Waiter>::iterator first_in_turn();
  std::shared_ptr<Lease> lease(const std::shared_ptr<Share>& share, uint64_t bytes);

  const uint64_t limit_bytes_;
  mutable std::mutex mutex_;
  uint64_t used_ = 0;
  uint64_t walk_ = 0;  // through the queue
  uint64_t next_ticket_ = 1;
  std::deque<Waiter> waiting_;
};

}  // namespace coldshelf::iscsi
