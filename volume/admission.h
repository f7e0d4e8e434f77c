// Who may write to a volume at this moment: writers beside each other, or one that needs the disk
// to stand still. Whoever wants it alone goes first: writers that come later wait.
#pragma once

#include <atomic>
#include <mutex>
#include <shared_mutex>

namespace coldshelf {

// Lockable and SharedLockable: std::unique_lock, std::shared_lock.
class Admission {
 public:
  void lock() {
    turnstile_.lock();
    closing_ = true;
    writers_.lock();
  }
  void unlock() {
    writers_.unlock();
    closing_ = false;
    turnstile_.unlock();
  }
  void lock_shared() {
    if (closing_) const std::lock_guard wait_in_line(turnstile_);
    writers_.lock_shared();
  }
  void unlock_shared() { writers_.unlock_shared(); }
  // Whether a writer that comes now would wait.
  bool closing() const { return closing_; }

 private:
  std::mutex turnstile_;
  std::atomic<bool> closing_{false};
  std::shared_mutex writers_;
};

}  // namespace coldshelf
