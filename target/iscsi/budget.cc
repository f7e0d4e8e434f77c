#include "target/iscsi/budget.h"

#include <algorithm>

namespace coldshelf::iscsi {

std::shared_ptr<ByteBudget> ByteBudget::create(uint64_t limit_bytes) {
  return std::shared_ptr<ByteBudget>(new ByteBudget(limit_bytes));
}

// The first whose session has room for it, and who may still wait for room in the whole. Commands
// of one session never go past each other: an earlier one could wait for bytes that only a later
// one of its own gives back.
std::deque<ByteBudget::Waiter>::iterator ByteBudget::first_in_turn() {
  ++walk_;
  return std::find_if(waiting_.begin(), waiting_.end(), [this](const Waiter& w) {
    if (w.share->passed_ == walk_) return false;
    if (share_fits(*w.share, w.bytes)) return true;
    w.share->passed_ = walk_;
    return false;
  });
}

std::shared_ptr<ByteBudget::Lease> ByteBudget::lease(const std::shared_ptr<Share>& share,
                                                     uint64_t bytes) {
  return std::make_shared<Lease>(shared_from_this(), share, bytes);
}

std::shared_ptr<ByteBudget::Lease> ByteBudget::try_take(const std::shared_ptr<Share>& share,
                                                        uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (share->waiting_ > 0 || !share_fits(*share, bytes) || !fits(bytes)) return nullptr;
  if (first_in_turn() != waiting_.end()) return nullptr;
  used_ += bytes;
  share->used_ += bytes;
  return lease(share, bytes);
}

uint64_t ByteBudget::take_later(std::shared_ptr<Share> share, uint64_t bytes, Granted granted) {
  uint64_t ticket = 0;
  {
    const std::lock_guard lock(mutex_);
    ticket = next_ticket_++;
    ++share->waiting_;
    waiting_.push_back({ticket, std::move(share), bytes, std::move(granted)});
  }
  serve();
  return ticket;
}

void ByteBudget::cancel(uint64_t ticket) {
  Granted dropped;  // destroyed outside the lock: it may own a connection
  {
    const std::lock_guard lock(mutex_);
    const auto at = std::find_if(waiting_.begin(), waiting_.end(),
                                 [ticket](const Waiter& w) { return w.ticket == ticket; });
    if (at == waiting_.end()) return;
    dropped = std::move(at->granted);
    --at->share->waiting_;
    waiting_.erase(at);
  }
  serve();  // the next one may fit where this one did not
}

uint64_t ByteBudget::used_bytes() const {
  const std::lock_guard lock(mutex_);
  return used_;
}

void ByteBudget::give_back(Share& share, uint64_t bytes) {
  {
    const std::lock_guard lock(mutex_);
    used_ -= bytes;
    share.used_ -= bytes;
  }
  serve();
}

void ByteBudget::serve() {
  for (;;) {
    Waiter next;
    {
      const std::lock_guard lock(mutex_);
      const auto at = first_in_turn();
      if (at == waiting_.end() || !fits(at->bytes)) return;
      next = std::move(*at);
      waiting_.erase(at);
      used_ += next.bytes;
      next.share->used_ += next.bytes;
      --next.share->waiting_;
    }
    next.granted(lease(next.share, next.bytes));
  }
}

}  // namespace coldshelf::iscsi
