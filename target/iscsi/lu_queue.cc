#include "target/iscsi/lu_queue.h"

#include <algorithm>
#include <exception>

#include "base/log.h"
#include "target/iscsi/sense.h"

namespace coldshelf::iscsi {

bool LuQueue::submit(const std::shared_ptr<Task>& task) {
  {
    const std::lock_guard lock(mutex_);
    if (busy_) {
      waiting_.push_back(task);
      return false;
    }
    busy_ = true;
    running_ = task;
  }
  if (unit_->may_block(task->command)) {
    {
      const std::lock_guard lock(mutex_);
      running_.reset();
      waiting_.push_front(task);
    }
    post_([self = shared_from_this()] { self->pump(); });
    return false;
  }
  run(*task);
  bool more = false;
  {
    const std::lock_guard lock(mutex_);
    running_.reset();  // the caller has another reference
    more = !waiting_.empty();
    busy_ = more;
  }
  if (more) post_([self = shared_from_this()] { self->pump(); });
  return true;
}

bool LuQueue::take_next(std::shared_ptr<Task>& task) {
  std::shared_ptr<Task> finished;  // may be the last reference: destroyed outside the lock
  const std::lock_guard lock(mutex_);
  finished = std::move(running_);
  running_.reset();
  if (waiting_.empty()) {
    busy_ = false;
    return false;
  }
  task = std::move(waiting_.front());
  waiting_.pop_front();
  running_ = task;
  return true;
}

void LuQueue::pump() {
  std::shared_ptr<Task> task;
  // A turn of a few tasks; then the thread goes to whoever else waits for one.
  for (int turn = 0; turn < 16; ++turn) {
    if (!take_next(task)) return;
    run(*task);
    const TaskDone done = task->done;
    done(std::move(task));
  }
  post_([self = shared_from_this()] { self->pump(); });
}

void LuQueue::run(Task& task) {
  try {
    task.reply = unit_->execute(task.command);
  } catch (const std::exception& failure) {
    // The last line of defence: whatever a device does, the daemon and the session live on.
    log_error("iscsi", "a logical unit threw", {{"what", failure.what()}});
    task.reply = sense_reply(sense::kInternalTargetFailure);
  }
}

bool LuQueue::cancel(const Task& task) {
  std::shared_ptr<Task> dropped;
  const std::lock_guard lock(mutex_);
  const auto at = std::find_if(waiting_.begin(), waiting_.end(),
                               [&task](const auto& w) { return w.get() == &task; });
  if (at == waiting_.end()) return false;
  dropped = std::move(*at);
  waiting_.erase(at);
  return true;
}

void LuQueue::abort_nexus(uint64_t nexus_id) {
  std::deque<std::shared_ptr<Task>> dropped;
  const std::lock_guard lock(mutex_);
  const auto of_nexus = [nexus_id](const std::shared_ptr<Task>& task) {
    return task->command.nexus->id == nexus_id;
  };
  if (running_ && of_nexus(running_)) running_->command.aborted->store(true);
  const auto first = std::stable_partition(waiting_.begin(), waiting_.end(),
                                           [&](const auto& task) { return !of_nexus(task); });
  dropped.assign(first, waiting_.end());
  waiting_.erase(first, waiting_.end());
}

}  // namespace coldshelf::iscsi
