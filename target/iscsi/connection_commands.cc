// SCSI commands: their order, their execution, their end.
#include <algorithm>
#include <boost/asio/post.hpp>

#include "base/log.h"
#include "target/iscsi/connection.h"
#include "target/iscsi/sense.h"

namespace coldshelf::iscsi {

namespace {
constexpr std::byte kReportLuns{0xa0};
constexpr uint32_t kMaxImmediateCommands = 16;
constexpr uint64_t kMaxHeldBytes = 1 * MiB;
// Reads up to this always begin: the command window bounds what they bring together.
constexpr uint64_t kShortRead = 64 * KiB;

scsi::TaskAttribute attribute_of(const Bhs& bhs) {
  const uint8_t value = bhs.flags() & flag::kAttributeMask;
  return value <= 4 ? static_cast<scsi::TaskAttribute>(value) : scsi::TaskAttribute::simple;
}
}  // namespace

// RFC 7143 4.2.2.1: immediate requests act at once, the others in CmdSN order; what lies outside
// the window, or came before, is silently ignored.
Connection::Order Connection::order_of(const Bhs& bhs) const {
  if (bhs.immediate()) return Order::now;
  const uint32_t cmd_sn = bhs.get32(field::kCmdSn);
  if (cmd_sn == exp_cmd_sn_ && serial_less_equal(cmd_sn, last_max_cmd_sn_)) return Order::now;
  const bool ahead =
      serial_less(exp_cmd_sn_, cmd_sn) && serial_less_equal(cmd_sn, last_max_cmd_sn_);
  return ahead && held_.count(cmd_sn) == 0 ? Order::held : Order::dropped;
}

// The window shrinks by the commands at work; it never goes back (RFC 7143 4.2.2.1).
uint32_t Connection::max_cmd_sn() {
  const uint32_t now = exp_cmd_sn_ + options_.command_window - 1 - in_flight_;
  if (serial_less(last_max_cmd_sn_, now)) last_max_cmd_sn_ = now;
  return last_max_cmd_sn_;
}

// With one connection, commands come in order unless the initiator errs: what is kept for it is
// small, and unsolicited Data-Out for it is not supported.
Awaitable<bool> Connection::hold_pdu() {
  Held held;
  held.bhs = bhs_;
  const bool keep = held_bytes_ + bhs_.data_length() <= kMaxHeldBytes;
  if (bhs_.opcode() == Opcode::scsi_command && !bhs_.has(flag::kFinal)) {
    fatal_reject(RejectReason::protocol_error, "unsolicited data for a command out of order");
    co_return false;
  }
  if (keep) held.data.resize(bhs_.data_length());
  const Received received = co_await receive_data(held.data, held.bhs.data_length());
  if (!check_data_result(received)) co_return false;
  if (keep) {
    held_bytes_ += held.data.size();
    held_.emplace(held.bhs.get32(field::kCmdSn), std::move(held));
  }
  co_return true;
}

void Connection::release_held() {
  for (auto at = held_.find(exp_cmd_sn_); at != held_.end() && phase_ == Phase::full_feature;
       at = held_.find(exp_cmd_sn_)) {
    Held held = std::move(at->second);
    held_.erase(at);
    held_bytes_ -= held.data.size();
    ++exp_cmd_sn_;
    if (held.skipped) continue;
    if (held.bhs.opcode() == Opcode::scsi_command)
      accept_held_command(held.bhs, held.data);
    else
      handle_request(held.bhs, std::move(held.data));
  }
}

Awaitable<bool> Connection::receive_command() {
  const Bhs bhs = bhs_;
  const Order order = order_of(bhs);
  if (order == Order::held) co_return co_await hold_pdu();
  bool accepted = order == Order::now;
  if (accepted) {
    if (!bhs.immediate()) ++exp_cmd_sn_;
    accepted = check_command(bhs);
  }
  if (!accepted) {
    const Received received = co_await receive_data({}, bhs.data_length());
    if (!check_data_result(received)) co_return false;
  } else {
    const bool alive = co_await accept_command(bhs);
    if (!alive) co_return false;
  }
  release_held();
  pump_ready();
  co_return phase_ == Phase::full_feature;
}

// Sends a Reject for what cannot become a task at all.
bool Connection::check_command(const Bhs& bhs) {
  if (bhs.task_tag() == kReservedTag) {
    send_reject(RejectReason::invalid_pdu_field, bhs);
    return false;
  }
  if (tasks_.count(bhs.task_tag()) != 0) {
    send_reject(RejectReason::task_in_progress, bhs);
    return false;
  }
  if (bhs.immediate() && immediate_in_flight_ >= kMaxImmediateCommands) {
    send_reject(RejectReason::immediate_command_reject, bhs);
    return false;
  }
  return true;
}

std::shared_ptr<Task> Connection::make_task(const Bhs& bhs) {
  auto task = std::make_shared<Task>();
  task->bhs = bhs;
  task->expected_length = bhs.get32(field::kExpectedLength);
  scsi::Command& command = task->command;
  command.nexus = session_->nexus;
  const ByteView cdb = bhs.bytes(field::kCdb, command.cdb.size());
  std::copy(cdb.begin(), cdb.end(), command.cdb.begin());
  command.attribute = attribute_of(bhs);
  command.aborted = std::make_shared<std::atomic<bool>>(false);
  if (bhs.has(flag::kRead)) command.expected_in = task->expected_length;
  if (bhs.has(flag::kWrite)) command.expected_out = task->expected_length;
  task->wanted = session_->target->queue->unit().data_out_length(command.cdb);
  if (bhs.has(flag::kWrite)) task->total = std::min(task->expected_length, task->wanted);
  task->unsolicited_limit =
      std::min<uint64_t>(parameters_.first_burst_length, task->expected_length);
  task->unsolicited_open = !bhs.has(flag::kFinal);
  task->done = [self = shared_from_this()](std::shared_ptr<Task> done) {
    asio::post(self->io_, [self, done = std::move(done)] { self->on_task_done(done); });
  };
  task->counted = !bhs.immediate();
  ++(task->counted ? in_flight_ : immediate_in_flight_);
  tasks_.emplace(bhs.task_tag(), task);
  session_->commands.fetch_add(1, std::memory_order_relaxed);
  return task;
}

// The conditions that the transport answers by itself.
std::optional<scsi::Reply> Connection::refuse_command(const Task& task) const {
  const Bhs& bhs = task.bhs;
  const bool writes = bhs.has(flag::kWrite);
  // An extended CDB or bidirectional transfer: no device of ours has one (RFC 7143 11.2.2).
  if (bhs.ahs_length() > 0 || (writes && bhs.has(flag::kRead)))
    return sense_reply(sense::kInvalidFieldInInformationUnit);
  // RFC 7143 11.4.7.2: data that the negotiated values do not allow.
  const uint64_t immediate = bhs.data_length();
  const bool unsolicited_follows = !bhs.has(flag::kFinal);
  if (immediate > 0 && (!writes || !parameters_.immediate_data))
    return sense_reply(sense::kUnexpectedUnsolicitedData);
  if (unsolicited_follows && (!writes || parameters_.initial_r2t))
    return sense_reply(sense::kUnexpectedUnsolicitedData);
  if (immediate > task.unsolicited_limit) return sense_reply(sense::kUnexpectedUnsolicitedData);
  if (!is_lun_zero(bhs.lun()) && task.command.cdb[0] != kReportLuns)
    return wrong_lun_reply(task.command);
  if (task.total > options_.max_data_out_bytes) return sense_reply(sense::kInvalidFieldInCdb);
  return std::nullopt;
}

Awaitable<bool> Connection::accept_command(Bhs bhs) {
  const auto task = make_task(bhs);
  auto refusal = refuse_command(*task);
  if (!refusal) co_return co_await gather_command_data(task);
  const Received received = co_await receive_data({}, bhs.data_length());
  if (!check_data_result(received)) co_return false;
  answer_now(task, std::move(*refusal));
  co_return true;
}

void Connection::accept_held_command(const Bhs& bhs, ByteView data) {
  if (!check_command(bhs)) return;
  const auto task = make_task(bhs);
  if (auto refusal = refuse_command(*task)) {
    answer_now(task, std::move(*refusal));
    return;
  }
  if (task->total > 0) {
    if (!try_place(*task)) {
      answer_now(task, status_reply(scsi::ScsiStatus::task_set_full));
      return;
    }
    task->received = std::min<uint64_t>(data.size(), task->total);
    std::copy_n(data.begin(), task->received, task->data->begin());
  }
  order_.push_back(task);
  if (task->complete())
    task->state = Task::State::ready;
  else
    solicit(*task);
}

void Connection::answer_now(const std::shared_ptr<Task>& task, scsi::Reply reply) {
  if (task->state == Task::State::ended) return;
  task->reply = std::move(reply);
  finish(task);
}

// What reads are to bring counts from their start on: on threads of their own they would have
// brought it all before any of it shows in out_bytes_. One at least runs, however much it reads.
bool Connection::has_output_room(const Task& task) const {
  const uint64_t limit = options_.max_queued_output_bytes;
  if (out_bytes_ > limit) return false;
  return task.command.expected_in <= kShortRead || promised_in_ == 0 ||
         out_bytes_ + promised_in_ <= limit;
}

// Those before it in order_ wait for room in the output queue, or for their data. While the store
// is away that may be a minute: what does not conflict with them goes past, as it would in the
// LuQueue.
bool Connection::may_begin(const Task& task, size_t waiting_before) const {
  if (!has_output_room(task)) return false;
  if (waiting_before == 0) return true;
  const LuQueue& queue = *session_->target->queue;
  const scsi::Footprint footprint = queue.footprint_of(task.command);
  return std::none_of(order_.begin(), order_.begin() + static_cast<ptrdiff_t>(waiting_before),
                      [&](const std::shared_ptr<Task>& other) {
                        scsi::Footprint theirs = queue.footprint_of(other->command);
                        // What UNMAP and its like touch is in their data.
                        if (other->gathers() && !theirs.writes) theirs = {};
                        return footprint.conflicts_with(theirs);
                      });
}

// Gives the tasks whose turn it is to the logical unit: in order where it matters, when their data
// are there, and of reads not more than the output queue can take.
void Connection::pump_ready() {
  if (pumping_) return;
  pumping_ = true;
  for (size_t at = 0; at < order_.size() && phase_ == Phase::full_feature;) {
    const std::shared_ptr<Task> task = order_[at];
    const bool ready = task->state == Task::State::ready;  // else aborted meanwhile
    if (ready && task->data)
      task->command.data_out = ByteView(*task->data).first(static_cast<size_t>(task->received));
    if (task->gathers() || (ready && !may_begin(*task, at))) {
      ++at;
      continue;
    }
    order_.erase(order_.begin() + static_cast<ptrdiff_t>(at));
    if (!ready) continue;
    task->state = Task::State::submitted;
    if (task->sequence_error) {
      answer_now(task, sense_reply(sense::kProtocolServiceCrcError));
      continue;
    }
    task->promised_in = task->command.expected_in;
    promised_in_ += task->promised_in;
    if (session_->target->queue->submit(task)) finish(task);
  }
  pumping_ = false;
}

void Connection::on_task_done(const std::shared_ptr<Task>& task) {
  if (task->state == Task::State::ended) promised_in_ -= std::exchange(task->promised_in, 0);
  finish(task);
  pump_ready();
  flush_output();
}

// The task has ended: executed, refused, or aborted.
void Connection::finish(const std::shared_ptr<Task>& task) {
  if (task->state == Task::State::ended) return;
  if (task->command.aborted->load()) task->aborted = true;  // with its nexus, by the LuQueue
  if (!task->reply.abort_ports.empty()) {
    task->executed = true;
    abort_preempted(task);
    return;
  }
  task->command.data_out = {};
  task->data.reset();
  task->lease.reset();
  end_task(*task);
  if (phase_ == Phase::full_feature) {
    if (!task->aborted) {
      send_reply(*task);
    } else if (task->answer_aborted) {
      // Another initiator ended it: TASK ABORTED, as with TAS set (SPC-5 7.5.8).
      task->reply = status_reply(scsi::ScsiStatus::task_aborted);
      send_scsi_response(*task, 0);
    }
  }
  task->waiters.clear();
}

// Before its response is sent: the response then shows the place in the window as free again.
void Connection::end_task(Task& task) {
  task.state = Task::State::ended;
  if (task.budget_ticket != 0) core_.budget->cancel(task.budget_ticket);
  task.budget_ticket = 0;
  const auto at = tasks_.find(task.tag());
  if (at != tasks_.end() && at->second.get() == &task) tasks_.erase(at);
  promised_in_ -= std::exchange(task.promised_in, 0);
  --(task.counted ? in_flight_ : immediate_in_flight_);
}

}  // namespace coldshelf::iscsi
