// Runs the tasks of one logical unit, one at a time, in the order they come from all sessions.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <mutex>

#include "target/iscsi/task.h"
#include "target/scsi/logical_unit.h"

namespace coldshelf::iscsi {

class LuQueue : public std::enable_shared_from_this<LuQueue> {
 public:
  using Post = std::function<void(std::function<void()>)>;  // to a thread that may block

  LuQueue(std::shared_ptr<scsi::LogicalUnit> unit, Post post)
      : unit_(std::move(unit)), post_(std::move(post)) {}

  // True: the task ran here and now, task->reply is there. False: task->done is called later.
  bool submit(const std::shared_ptr<Task>& task);
  // True: the task was still waiting and never runs. False: it runs now, or is done.
  bool cancel(const Task& task);
  // Takes every waiting task of a session out, and marks the running one as aborted.
  void abort_nexus(uint64_t nexus_id);
  scsi::LogicalUnit& unit() { return *unit_; }

 private:
  void pump();
  bool take_next(std::shared_ptr<Task>& task);
  void run(Task& task);

  const std::shared_ptr<scsi::LogicalUnit> unit_;
  const Post post_;
  std::mutex mutex_;
  bool busy_ = false;
  std::shared_ptr<Task> running_;
  std::deque<std::shared_ptr<Task>> waiting_;  // bounded by the sessions' command windows
};

}  // namespace coldshelf::iscsi
