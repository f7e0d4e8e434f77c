// Task management (RFC 7143 11.5, 11.6; SAM-5 clause 7).
#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "base/log.h"
#include "target/iscsi/connection.h"
#include "target/iscsi/sense.h"

namespace coldshelf::iscsi {

namespace {

// Acts when the last reference goes: when every task that was to end has ended.
class Completion {
 public:
  explicit Completion(std::function<void()> action) : action_(std::move(action)) {}
  ~Completion() {
    if (action_) action_();
  }
  Completion(const Completion&) = delete;
  Completion& operator=(const Completion&) = delete;
  void drop() { action_ = nullptr; }

 private:
  std::function<void()> action_;
};

TaskFunction function_of(const Bhs& bhs) { return static_cast<TaskFunction>(bhs.flags() & 0x7f); }

bool needs_lun(TaskFunction function) {
  return function >= TaskFunction::abort_task && function <= TaskFunction::logical_unit_reset;
}

}  // namespace

void Connection::handle_task_management(const Bhs& bhs) {
  // As many as there can be commands: they take no place in the window, and each may wait for one
  // that runs.
  if (task_functions_ >= options_.command_window) {
    refuse_task_management(bhs);
    return;
  }
  ++task_functions_;
  const auto completion = std::make_shared<Completion>(completion_of(bhs));
  const TaskResponse response = start_task_function(bhs, completion);
  if (response == TaskResponse::complete) return;  // answered by the completion
  completion->drop();
  --task_functions_;
  send_task_management_response(bhs, response);
}

void Connection::refuse_task_management(const Bhs& bhs) {
  if (bhs.immediate())
    send_reject(RejectReason::immediate_command_reject, bhs);  // RFC 7143 4.2.2.1
  else
    send_task_management_response(bhs, TaskResponse::rejected);
}

// What follows when the tasks have ended. Runs on whichever thread ended the last one.
std::function<void()> Connection::completion_of(const Bhs& bhs) {
  return [self = shared_from_this(), bhs, session = session_] {
    if (session->replaced.load()) return;  // the request has ended with the session
    const auto& target = session->target;
    const auto& nexus = session->nexus;
    scsi::LogicalUnit& unit = target->queue->unit();
    const TaskFunction function = function_of(bhs);
    if (function == TaskFunction::clear_task_set) unit.task_set_cleared(*nexus);
    if (function == TaskFunction::logical_unit_reset) unit.reset(scsi::ResetKind::logical_unit);
    if (function == TaskFunction::target_warm_reset) unit.reset(scsi::ResetKind::target_warm);
    if (function == TaskFunction::target_cold_reset) unit.reset(scsi::ResetKind::target_cold);
    asio::post(self->io_, [self, bhs, function] {
      --self->task_functions_;
      if (self->phase_ != Phase::full_feature) return;
      self->send_task_management_response(bhs, TaskResponse::complete);
      self->flush_output();
      if (function != TaskFunction::target_cold_reset) return;
      // RFC 7143 11.5.1: a cold reset also ends every connection of the target.
      for (const auto& other : self->sessions_of_target())
        if (const auto peer = other->connection.lock(); peer && peer != self) peer->post_close();
      self->close_after_flush(Goodbye::now);
    });
  };
}

TaskResponse Connection::start_task_function(const Bhs& bhs, const std::shared_ptr<void>& waiter) {
  const TaskFunction function = function_of(bhs);
  if (needs_lun(function) && !is_lun_zero(bhs.lun())) return TaskResponse::no_such_lun;
  switch (function) {
    case TaskFunction::abort_task:
      return abort_one(bhs, waiter);
    case TaskFunction::abort_task_set:
      abort_all(waiter, false);
      return TaskResponse::complete;
    case TaskFunction::clear_task_set:
    case TaskFunction::logical_unit_reset:
    case TaskFunction::target_warm_reset:
    case TaskFunction::target_cold_reset:
      log_info("iscsi", "reset",
               {{"function", static_cast<int>(function)},
                {"initiator", session_->login.initiator_name},
                {"target", session_->login.target_name}});
      abort_everyone(waiter);
      return TaskResponse::complete;
    case TaskFunction::task_reassign:
      return TaskResponse::reassign_not_supported;
    case TaskFunction::clear_aca:
      break;
  }
  return TaskResponse::not_supported;
}

TaskResponse Connection::abort_one(const Bhs& bhs, const std::shared_ptr<void>& waiter) {
  const auto at = tasks_.find(bhs.get32(field::kReferencedTaskTag));
  if (at != tasks_.end()) {
    const auto task = at->second;
    abort_task(task, waiter, false);
    return TaskResponse::complete;
  }
  // RFC 7143 11.5.1: a command still on its way counts as received, and is never executed.
  const uint32_t reference = bhs.get32(field::kRefCmdSn);
  const uint32_t limit = bhs.get32(field::kCmdSn);
  const bool coming = serial_less_equal(exp_cmd_sn_, reference) && serial_less(reference, limit) &&
                      serial_less_equal(reference, last_max_cmd_sn_);
  if (!coming) return TaskResponse::no_such_task;
  const auto held = held_.find(reference);
  if (held != held_.end()) {
    held_bytes_ -= held->second.data.size();
    held_.erase(held);
  }
  Held skipped;
  skipped.skipped = true;
  held_.emplace(reference, std::move(skipped));
  release_held();
  return TaskResponse::complete;
}

void Connection::abort_task(const std::shared_ptr<Task>& task, const std::shared_ptr<void>& waiter,
                            bool answer_aborted) {
  if (task->state == Task::State::ended) return;
  if (!task->aborted) {
    task->aborted = true;
    task->answer_aborted = answer_aborted;
    task->command.aborted->store(true);
  }
  auto cancelled = LuQueue::Cancelled::never_runs;
  // One that has executed and waits for others ends at once: they may wait for it, too.
  if (task->state == Task::State::submitted && !task->executed)
    cancelled = session_->target->queue->cancel(*task);
  if (cancelled == LuQueue::Cancelled::runs) {
    // It ends when the logical unit has noticed, and whoever aborts it waits for that.
    if (waiter) task->waiters.push_back(waiter);
    return;
  }
  if (cancelled == LuQueue::Cancelled::only_reads)
    leave_behind(*task);
  else
    finish(task);
  budget_wait_.cancel();  // if the connection's reading waits for this one
}

// A read that was aborted while it runs. Its data may have to come from a store that does not
// answer: an initiator that waits for the end of its ABORT TASK resets the logical unit, and with
// it the commands of all. The logical unit has the task until it is done, so nothing of it is
// touched here.
void Connection::leave_behind(Task& task) {
  const uint64_t promised = std::exchange(task.promised_in, 0);
  end_task(task);
  task.promised_in = promised;  // its place in the output is given back when it has really ended
  task.waiters.clear();
  if (!task.answer_aborted || phase_ != Phase::full_feature) return;
  Task answer;
  answer.bhs = task.bhs;
  answer.expected_length = task.expected_length;
  answer.r2t_sn = task.r2t_sn;
  answer.reply = status_reply(scsi::ScsiStatus::task_aborted);
  send_scsi_response(answer, 0);
}

void Connection::abort_all(const std::shared_ptr<void>& waiter, bool answer_aborted) {
  std::vector<std::shared_ptr<Task>> all;
  for (const auto& [tag, task] : tasks_) all.push_back(task);
  for (const auto& task : all) abort_task(task, waiter, answer_aborted);
}

// None when our own session was replaced meanwhile: its successor would be among them, and is no
// business of a request to its predecessor.
std::vector<std::shared_ptr<Session>> Connection::sessions_of_target() const {
  auto sessions = core_.registry.sessions_of(*session_->target);
  if (session_->replaced.load()) sessions.clear();
  return sessions;
}

// The tasks of every session of the target (SAM-5 7.5, 7.7).
void Connection::abort_everyone(const std::shared_ptr<void>& waiter) {
  for (const auto& session : sessions_of_target()) {
    if (session == session_) continue;
    if (const auto peer = session->connection.lock()) peer->post_abort_tasks(waiter, true);
  }
  abort_all(waiter, false);
}

// PREEMPT AND ABORT: its status is sent when the commands of the preempted nexuses have really
// ended, TASK ABORTED each (SPC-5 5.13.11.2.6).
void Connection::abort_preempted(const std::shared_ptr<Task>& task) {
  const std::vector<std::string> ports = std::move(task->reply.abort_ports);
  task->reply.abort_ports.clear();
  const auto waiter = std::make_shared<Completion>([self = shared_from_this(), task] {
    asio::post(self->io_, [self, task] { self->on_task_done(task); });
  });
  for (const auto& session : sessions_of_target()) {
    if (session == session_ || !session->nexus) continue;
    if (std::ranges::find(ports, session->nexus->port_name()) == ports.end()) continue;
    if (const auto peer = session->connection.lock()) peer->post_abort_tasks(waiter, true);
  }
}

void Connection::post_abort_tasks(std::shared_ptr<void> waiter, bool answer_aborted) {
  asio::post(io_, [self = shared_from_this(), waiter = std::move(waiter), answer_aborted] {
    self->abort_all(waiter, answer_aborted);
    self->pump_ready();
    self->flush_output();
  });
}

void Connection::send_task_management_response(const Bhs& request, TaskResponse response) {
  OutPdu pdu;
  pdu.bhs = Bhs(Opcode::task_management_response);
  pdu.bhs.set8(field::kResponse, static_cast<uint8_t>(response));
  pdu.bhs.set32(field::kInitiatorTaskTag, request.task_tag());
  send(std::move(pdu), StatSn::advanced);
}

}  // namespace coldshelf::iscsi
