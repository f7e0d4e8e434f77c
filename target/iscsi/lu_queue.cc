#include "target/iscsi/lu_queue.h"

#include <algorithm>
#include <exception>

#include "base/log.h"
#include "target/iscsi/sense.h"

namespace coldshelf::iscsi {

scsi::Footprint LuQueue::footprint_of(const scsi::Command& command) const {
  const bool free_order = command.attribute == scsi::TaskAttribute::simple ||
                          command.attribute == scsi::TaskAttribute::untagged;
  return free_order ? unit_->footprint(command) : scsi::Footprint{};
}

// Reads wait for the store when it is slow or away. They leave some threads to what needs the local
// disk alone: flushes, writes, reservations.
size_t LuQueue::threads_for(const scsi::Footprint& footprint) const {
  const size_t all = threads_;
  return footprint.only_reads() && all > 1 ? all - (all + 7) / 8 : all;
}

// Nothing that runs, and nothing that came earlier, stands against it. What waits behind one that
// is kept back does not hinder those that may overtake it, unless it is ordered (SAM-5 8.6).
bool LuQueue::may_start(const Entry& entry, size_t waiting_before) const {
  if (entry.pooled && !entry.footprint.alone && pooled_ >= threads_for(entry.footprint))
    return false;
  const auto conflicts = [&entry](const Entry& other) {
    return entry.footprint.conflicts_with(other.footprint);
  };
  const auto last = waiting_.begin() + static_cast<ptrdiff_t>(waiting_before);
  if (std::any_of(active_.begin(), active_.end(), conflicts)) return false;
  if (entry.overtakes && !waiting_.empty() && waiting_.front().held) {
    return std::all_of(waiting_.begin(), last, [](const Entry& other) {
      return other.task->command.attribute == scsi::TaskAttribute::simple;
    });
  }
  return std::none_of(waiting_.begin(), last, conflicts);
}

// Whether an entry that may start is to wait for its time first; `shortest_ms` of all that do, 0:
// none yet. Called with the lock held.
bool LuQueue::hold_back(Entry& entry, int64_t& shortest_ms) {
  const int64_t ms = unit_->hold_ms(entry.task->command);
  entry.held = ms > 0;
  if (entry.held) shortest_ms = shortest_ms == 0 ? ms : std::min(ms, shortest_ms);
  return entry.held;
}

// One timer for all that are kept back. It stands for what waited before: who comes later is asked
// with them.
void LuQueue::start_timer(int64_t ms) {
  if (ms == 0 || cancel_timer_) return;
  cancel_timer_ = later_(ms, [self = shared_from_this(), hold = hold_] { self->hold_over(hold); });
}

void LuQueue::stop_timer() {
  ++hold_;
  if (cancel_timer_) cancel_timer_();
  cancel_timer_ = nullptr;
}

void LuQueue::hold_over(uint64_t hold) {
  std::vector<TaskPtr> next;
  {
    const std::lock_guard lock(mutex_);
    if (hold != hold_) return;
    cancel_timer_ = nullptr;
    next = take_startable();
  }
  post_each(std::move(next));
}

void LuQueue::activate(Entry entry) {
  if (entry.pooled) ++pooled_;
  active_.push_back(std::move(entry));
}

bool LuQueue::submit(const TaskPtr& task) {
  if (clock_ != nullptr) task->submitted_ns = clock_->monotonic_ns();
  Entry entry{task, footprint_of(task->command)};
  entry.overtakes = unit_->may_overtake(task->command);
  const bool alone = entry.footprint.alone;
  task->command.alone = alone;
  // Whether one that runs alone may block can depend on what runs before it: asked when it starts.
  bool blocks = !alone && unit_->may_block(task->command);
  entry.pooled = blocks;
  int64_t hold_ms = 0;
  {
    const std::lock_guard lock(mutex_);
    if (has_ended(*task)) {
      task->command.aborted->store(true);
      return true;
    }
    if (!may_start(entry, waiting_.size()) || hold_back(entry, hold_ms)) {
      start_timer(hold_ms);
      waiting_.push_back(std::move(entry));
      return false;
    }
    activate(std::move(entry));
  }
  if (alone) blocks = unit_->may_block(task->command);
  if (blocks) {
    post_([self = shared_from_this(), task] { self->pump(task); });
    return false;
  }
  run(*task);
  if (TaskPtr next = finished(*task)) post_each({std::move(next)});
  return true;
}

std::vector<LuQueue::TaskPtr> LuQueue::take_startable() {
  std::vector<TaskPtr> out;
  stop_timer();
  int64_t hold_ms = 0;
  for (size_t i = 0; i < waiting_.size();) {
    Entry& entry = waiting_[i];
    entry.pooled = true;  // whoever had to wait runs there
    const bool alone = entry.footprint.alone;
    if (!may_start(entry, i) || hold_back(entry, hold_ms)) {
      // What follows one that runs alone, or finds no thread, waits as well; but some may overtake
      // the first when that is kept back.
      const bool overtaking = waiting_.front().held && active_.empty();
      if (!overtaking && (alone || pooled_ >= threads_)) break;
      ++i;
      continue;
    }
    out.push_back(entry.task);
    activate(std::move(entry));
    waiting_.erase(waiting_.begin() + static_cast<ptrdiff_t>(i));
    if (alone) break;
  }
  start_timer(hold_ms);
  return out;
}

LuQueue::TaskPtr LuQueue::finished(const Task& task, bool again) {
  Entry ended;  // may have the last reference: destroyed outside the lock
  std::vector<TaskPtr> next;
  {
    const std::lock_guard lock(mutex_);
    const auto at = std::find_if(active_.begin(), active_.end(),
                                 [&task](const Entry& e) { return e.task.get() == &task; });
    if (at->pooled) --pooled_;
    ended = std::move(*at);
    active_.erase(at);
    if (again) waiting_.push_back(std::move(ended));
    if (waiting_.empty()) return nullptr;
    next = take_startable();
  }
  if (next.empty()) return nullptr;
  TaskPtr mine = std::move(next.front());
  next.erase(next.begin());
  post_each(std::move(next));
  return mine;
}

void LuQueue::post_each(std::vector<TaskPtr> tasks) {
  for (TaskPtr& task : tasks)
    post_([self = shared_from_this(), task = std::move(task)] { self->pump(task); });
}

void LuQueue::pump(TaskPtr task) {
  // A turn of a few tasks; then the thread goes to whoever else waits for one.
  for (int turn = 0; turn < 16 && task; ++turn) {
    run(*task);
    const bool again = task->command.goes_on_at != 0;
    if (!again) {
      const TaskDone done = task->done;
      done(task);
    }
    task = finished(*task, again);
  }
  if (task) post_each({std::move(task)});
}

void LuQueue::run(Task& task) {
  // Aborted while it waited for its thread: nobody gets its reply.
  if (task.command.aborted->load()) {
    task.command.goes_on_at = 0;
    return;
  }
  try {
    task.reply = unit_->execute(task.command);
  } catch (const std::exception& failure) {
    // The last line of defence: whatever a device does, the daemon and the session live on.
    log_error("iscsi", "a logical unit threw", {{"what", failure.what()}});
    task.reply = sense_reply(sense::kInternalTargetFailure);
  }
  task.command.goes_on_at = task.reply.goes_on_at;
  if (clock_ != nullptr && task.command.goes_on_at == 0) {
    statistics_.record(task.command, task.reply, clock_->monotonic_ns() - task.submitted_ns);
  }
}

LuQueue::Cancelled LuQueue::cancel(const Task& task) {
  TaskPtr dropped;
  std::vector<TaskPtr> next;
  {
    const std::lock_guard lock(mutex_);
    const auto is_it = [&task](const Entry& e) { return e.task.get() == &task; };
    const auto at = std::find_if(waiting_.begin(), waiting_.end(), is_it);
    if (at == waiting_.end()) {
      const auto active = std::find_if(active_.begin(), active_.end(), is_it);
      const bool only_reads = active != active_.end() && active->footprint.only_reads();
      return only_reads ? Cancelled::only_reads : Cancelled::runs;
    }
    dropped = std::move(at->task);
    waiting_.erase(at);
    next = take_startable();  // those that waited for it alone
  }
  post_each(std::move(next));
  return Cancelled::never_runs;
}

bool LuQueue::has_ended(const Task& task) const {
  return std::any_of(ended_.begin(), ended_.end(),
                     [&task](const Ended& e) { return e.id == task.command.nexus->id; });
}

// The connection of the nexus may run on another thread, with commands at hand that it has not
// submitted yet. RFC 7143 6.3.5: they end with the session. It is remembered under the lock that
// submit() takes: whatever comes later would run after commands of the session that follows.
void LuQueue::abort_nexus(const std::shared_ptr<const scsi::Nexus>& nexus) {
  std::vector<TaskPtr> dropped;
  std::vector<TaskPtr> next;
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(ended_, [](const Ended& e) { return e.nexus.expired(); });
    ended_.push_back({nexus->id, nexus});
    const auto of_nexus = [&nexus](const Entry& entry) {
      return entry.task->command.nexus->id == nexus->id;
    };
    for (const Entry& entry : active_)
      if (of_nexus(entry)) entry.task->command.aborted->store(true);
    const auto first = std::stable_partition(waiting_.begin(), waiting_.end(),
                                             [&](const Entry& e) { return !of_nexus(e); });
    for (auto at = first; at != waiting_.end(); ++at) dropped.push_back(std::move(at->task));
    waiting_.erase(first, waiting_.end());
    next = take_startable();
  }
  post_each(std::move(next));
}

}  // namespace coldshelf::iscsi
