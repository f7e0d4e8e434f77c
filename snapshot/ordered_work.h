// Many threads work on a sequence of items; what becomes of them is taken in the items' order, by
// one thread at a time. Bounded: no item is begun that is more than `ahead` places beyond the last
// one taken.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>

#include "base/executor.h"
#include "base/result.h"

namespace coldshelf {

template <typename Item, typename Made>
class OrderedWork {
 public:
  struct Parts {
    std::function<Result<bool>(Item&)> next;   // false: there are no more; one caller at a time
    std::function<Result<Made>(Item&)> work;   // on many threads
    std::function<Status(Item&, Made&)> take;  // in order
  };
  OrderedWork(Parts parts, size_t ahead) : parts_(std::move(parts)), ahead_(ahead) {}

  // Ends when everything is taken, or with the first error.
  Status run(unsigned threads) {
    {
      WorkerPool pool(threads);
      for (unsigned i = 0; i < threads; ++i) pool.submit([this] { loop(); });
    }
    if (error_) return *error_;
    return {};
  }

 private:
  struct Ready {
    Item item;
    Made made;
  };

  void loop() {
    while (true) {  // ends with the items
      Item item;
      uint64_t position = 0;
      if (!begin(item, position)) return;
      Result<Made> made = parts_.work(item);
      if (!made.ok()) {
        fail(made.error());
        return;
      }
      finish(position, {std::move(item), std::move(made).value()});
    }
  }

  bool begin(Item& item, uint64_t& position) {
    const std::lock_guard turn(next_mutex_);
    {
      std::unique_lock lock(mutex_);
      room_.wait(lock, [this] { return error_ || ended_ || begun_ < taken_ + ahead_; });
      if (error_ || ended_) return false;
    }
    Result<bool> more = parts_.next(item);
    if (!more.ok()) fail(more.error());
    const std::lock_guard lock(mutex_);
    if (error_) return false;
    if (!*more) {
      ended_ = true;
      return false;
    }
    position = begun_++;
    return true;
  }

  void finish(uint64_t position, Ready ready) {
    std::unique_lock lock(mutex_);
    ready_.emplace(position, std::move(ready));
    if (taking_) return;
    taking_ = true;
    while (!error_ && !ready_.empty() && ready_.begin()->first == taken_) {
      auto node = ready_.extract(ready_.begin());
      lock.unlock();
      const Status done = parts_.take(node.mapped().item, node.mapped().made);
      lock.lock();
      if (!done.ok() && !error_) error_ = done.error();
      ++taken_;
      room_.notify_all();
    }
    taking_ = false;
  }

  void fail(const Error& error) {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = error;
    room_.notify_all();
  }

  const Parts parts_;
  const size_t ahead_;
  std::mutex next_mutex_;
  std::mutex mutex_;
  std::condition_variable room_;
  std::map<uint64_t, Ready> ready_;
  uint64_t begun_ = 0;
  uint64_t taken_ = 0;
  bool taking_ = false;
  bool ended_ = false;
  std::optional<Error> error_;
};

}  // namespace coldshelf
