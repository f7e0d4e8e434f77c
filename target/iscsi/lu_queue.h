// Runs the tasks of one logical unit: in the order they come from all sessions, but for those that
// the unit lets run beside each other (LogicalUnit::footprint). A task that the unit wants kept
// back holds no thread: a timer brings the queue back to it. Until then those run that may overtake
// it, and it can be aborted as any that waits.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "base/clock.h"
#include "target/iscsi/task.h"
#include "target/scsi/logical_unit.h"
#include "target/scsi/unit_statistics.h"

namespace coldshelf::iscsi {

class LuQueue : public std::enable_shared_from_this<LuQueue> {
 public:
  using Post = std::function<void(std::function<void()>)>;  // to a thread that may block
  // The same after so many ms, unless what it gives back is called before.
  using Later = std::function<std::function<void()>(int64_t ms, std::function<void()>)>;

  // `clock` outlives the queue; null: durations are not measured.
  LuQueue(std::shared_ptr<scsi::LogicalUnit> unit, Post post, Later later, Clock* clock = nullptr)
      : unit_(std::move(unit)),
        post_(std::move(post)),
        later_(std::move(later)),
        clock_(clock),
        threads_(unit_->concurrency()) {}

  // True: the task ran here and now, task->reply is there, or its session has ended and it is
  // marked as aborted. False: task->done is called later.
  bool submit(const std::shared_ptr<Task>& task);
  // Of one that `runs`, or is done, task->done is called. So it is of one that `only_reads` blocks:
  // it changes nothing any more, and nobody need wait for it.
  enum class Cancelled { never_runs, only_reads, runs };
  Cancelled cancel(const Task& task);
  // Another session takes the place of this one's: its waiting tasks are taken out, the running
  // ones marked as aborted, and what its connection submits from now on never runs.
  void abort_nexus(const std::shared_ptr<const scsi::Nexus>& nexus);
  // What the command touches; one that is not SIMPLE conflicts with every other.
  scsi::Footprint footprint_of(const scsi::Command& command) const;
  scsi::LogicalUnit& unit() { return *unit_; }
  // How many threads its tasks may hold: no more than the unit's concurrency(), and fewer where
  // there are not so many for all units. At least one.
  void set_threads(unsigned threads) { threads_ = threads; }
  scsi::UnitStatistics::Snapshot statistics() const { return statistics_.snapshot(); }

 private:
  using TaskPtr = std::shared_ptr<Task>;
  struct Entry {
    TaskPtr task;
    scsi::Footprint footprint;
    bool pooled = false;     // takes a thread of the pool
    bool overtakes = false;  // one that is kept back
    bool held = false;       // kept back, at the front of those that wait
  };

  // A nexus that may not start anything any more; to be remembered while somebody has it.
  struct Ended {
    uint64_t id = 0;
    std::weak_ptr<const scsi::Nexus> nexus;
  };

  bool has_ended(const Task& task) const;
  size_t threads_for(const scsi::Footprint& footprint) const;
  bool may_start(const Entry& entry, size_t waiting_before) const;
  bool hold_back(Entry& entry, int64_t& shortest_ms);
  void start_timer(int64_t ms);
  void stop_timer();
  void hold_over(uint64_t hold);
  void activate(Entry entry);
  // Of the waiting tasks, those that may run now. They are active from here on.
  std::vector<TaskPtr> take_startable();
  // The task has run; `again`: a turn of it, and it waits for the next behind those that wait now.
  // The next one for this thread, if there is one.
  TaskPtr finished(const Task& task, bool again = false);
  void post_each(std::vector<TaskPtr> tasks);
  void pump(TaskPtr task);
  void run(Task& task);

  const std::shared_ptr<scsi::LogicalUnit> unit_;
  const Post post_;
  const Later later_;
  Clock* const clock_;
  scsi::UnitStatistics statistics_;
  std::mutex mutex_;
  std::vector<Entry> active_;
  size_t pooled_ = 0;                   // of them
  std::atomic<unsigned> threads_;       // for them
  std::deque<Entry> waiting_;           // bounded by the sessions' command windows
  std::vector<Ended> ended_;            // bounded by the connections that are not closed yet
  uint64_t hold_ = 0;                   // number of the latest timer: an older one means nothing
  std::function<void()> cancel_timer_;  // null: none runs
};

}  // namespace coldshelf::iscsi
