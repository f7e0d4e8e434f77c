#include "target/iscsi/budget.h"

#include <algorithm>

namespace coldshelf::iscsi {

std::shared_ptr<ByteBudget> ByteBudget::create(uint64_t limit_bytes) {
  return std::shared_ptr<ByteBudget>(new ByteBudget(limit_bytes));
}

std::shared_ptr<ByteBudget::Lease> ByteBudget::try_take(uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (!waiting_.empty() || !fits(bytes)) return nullptr;
  used_ += bytes;
  return std::make_shared<Lease>(shared_from_this(), bytes);
}

uint64_t ByteBudget::take_later(uint64_t bytes, Granted granted) {
  uint64_t ticket = 0;
  {
    const std::lock_guard lock(mutex_);
    ticket = next_ticket_++;
    waiting_.push_back({ticket, bytes, std::move(granted)});
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
    waiting_.erase(at);
  }
  serve();  // the next one may fit where this one did not
}

uint64_t ByteBudget::used_bytes() const {
  const std::lock_guard lock(mutex_);
  return used_;
}

void ByteBudget::give_back(uint64_t bytes) {
  {
    const std::lock_guard lock(mutex_);
    used_ -= bytes;
  }
  serve();
}

void ByteBudget::serve() {
  for (;;) {
    Waiter next;
    {
      const std::lock_guard lock(mutex_);
      if (waiting_.empty() || !fits(waiting_.front().bytes)) return;
      next = std::move(waiting_.front());
      waiting_.pop_front();
      used_ += next.bytes;
    }
    next.granted(std::make_shared<Lease>(shared_from_this(), next.bytes));
  }
}

}  // namespace coldshelf::iscsi
