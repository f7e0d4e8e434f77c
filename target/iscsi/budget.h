// Bytes of data-out that all connections together may hold, handed out in the order asked for.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>

namespace coldshelf::iscsi {

class ByteBudget : public std::enable_shared_from_this<ByteBudget> {
 public:
  // Gives its bytes back when it goes.
  class Lease {
   public:
    Lease(std::shared_ptr<ByteBudget> budget, uint64_t bytes)
        : budget_(std::move(budget)), bytes_(bytes) {}
    ~Lease() { budget_->give_back(bytes_); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;

   private:
    std::shared_ptr<ByteBudget> budget_;
    uint64_t bytes_;
  };
  using Granted = std::function<void(std::shared_ptr<Lease>)>;

  static std::shared_ptr<ByteBudget> create(uint64_t limit_bytes);

  // nullptr: not now. Never overtakes those who wait.
  std::shared_ptr<Lease> try_take(uint64_t bytes);
  // Calls `granted` later, on the thread that made room (or at once). Returns a ticket to cancel.
  // Strict arrival order is what makes the wait free of deadlock: a command that holds bytes never
  // waits for one that asked after it.
  uint64_t take_later(uint64_t bytes, Granted granted);
  void cancel(uint64_t ticket);
  uint64_t used_bytes() const;

 private:
  struct Waiter {
    uint64_t ticket;
    uint64_t bytes;
    Granted granted;
  };
  explicit ByteBudget(uint64_t limit_bytes) : limit_bytes_(limit_bytes) {}
  void give_back(uint64_t bytes);
  void serve();
  // One command bigger than the whole budget still gets its turn, alone.
  bool fits(uint64_t bytes) const { return used_ == 0 || used_ + bytes <= limit_bytes_; }

  const uint64_t limit_bytes_;
  mutable std::mutex mutex_;
  uint64_t used_ = 0;
  uint64_t next_ticket_ = 1;
  std::deque<Waiter> waiting_;
};

}  // namespace coldshelf::iscsi
