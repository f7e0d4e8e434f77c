// Data from the initiator: immediate, unsolicited, solicited by R2T (RFC 7143 4.2.5.2, 11.7, 11.8).
#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "target/iscsi/connection.h"
#include "target/iscsi/sense.h"

namespace coldshelf::iscsi {

namespace {
constexpr std::chrono::milliseconds kBudgetPatience{1500};
// What is shorter is not counted: reservations, mode parameters and the like do not wait for memory
// that writes have.
constexpr uint64_t kShortData = 512;
constexpr uint64_t kPooledBytes = 64 * KiB;  // the pool's buffers have as much at least
}  // namespace

bool Connection::gathers_any() const {
  // Only those whose place in the order is taken: not the command that asks.
  return std::any_of(order_.begin(), order_.end(),
                     [](const auto& task) { return task->gathers(); });
}

// Its place for data, if there is room for it now.
bool Connection::try_place(Task& task) {
  std::shared_ptr<ByteBudget::Lease> lease;
  if (task.total > kShortData) {
    lease = core_.budget->try_take(share_, task.total);
    if (!lease) return false;
  }
  take_lease(task, std::move(lease));
  return true;
}

void Connection::take_lease(Task& task, std::shared_ptr<ByteBudget::Lease> lease) {
  task.lease = std::move(lease);
  const auto bytes = static_cast<size_t>(task.total);
  task.data = bytes < kPooledBytes ? std::make_shared<Buffer>(bytes) : core_.buffers->take(bytes);
}

// A fresh command: its place for data, then its immediate data, then R2Ts for the rest.
//
// When the server holds as much data as it may:
//  - a command with nothing unsolicited waits, R2T withheld, while the connection is read on;
//  - one with unsolicited data stops the reading for a moment, but only while no earlier command of
//    this connection needs that reading to make progress; else it is answered TASK SET FULL. So it
//    is when the moment was in vain, for pings and task management come behind it.
// So whoever holds bytes can always come to its end.
Awaitable<bool> Connection::gather_command_data(std::shared_ptr<Task> task) {
  const uint32_t length = task->bhs.data_length();
  bool full = false;
  const bool placed = task->total == 0 || try_place(*task);
  if (!placed) {
    if (length == 0 && !task->unsolicited_open) {
      order_.push_back(task);
      park_for_budget(task);
      co_return true;
    }
    if (gathers_any() || budget_denied_) {
      full = true;
    } else {
      const bool alive = co_await wait_for_budget(task);
      if (!alive) co_return false;
      full = budget_denied_ = !task->lease;
    }
  }
  if (full || task->state == Task::State::ended) {
    const Received dropped = co_await receive_data({}, length);
    if (!check_data_result(dropped)) co_return false;
    answer_now(task, status_reply(scsi::ScsiStatus::task_set_full));
    co_return true;
  }
  order_.push_back(task);
  // An abort meanwhile takes them from the task: the bytes under way still need their place.
  const std::shared_ptr<Buffer> buffer = task->data;
  const std::shared_ptr<ByteBudget::Lease> lease = task->lease;
  MutableBytes to;
  if (buffer) to = MutableBytes(*buffer);
  const Received received = co_await receive_data(to, length);
  if (!check_data_result(received)) co_return false;
  if (task->state == Task::State::ended) co_return true;
  task->unsolicited_at = length;
  task->received = std::min<uint64_t>(length, task->total);
  if (task->complete())
    task->state = Task::State::ready;
  else if (!task->unsolicited_open)
    solicit(*task);
  co_return true;
}

void Connection::park_for_budget(const std::shared_ptr<Task>& task) {
  const std::weak_ptr<Task> weak_task = task;
  const std::weak_ptr<Connection> weak_self = weak_from_this();
  task->budget_ticket = core_.budget->take_later(
      share_, task->total, [weak_self, weak_task](std::shared_ptr<ByteBudget::Lease> lease) {
        const auto self = weak_self.lock();
        if (!self) return;
        asio::post(self->io_, [self, weak_task, lease = std::move(lease)] {
          const auto waiting = weak_task.lock();
          if (!waiting || !waiting->gathers() || self->phase_ != Phase::full_feature) return;
          waiting->budget_ticket = 0;
          self->take_lease(*waiting, lease);
          self->solicit(*waiting);
          self->flush_output();
        });
      });
}

// Without a lease when none came in time, or the task was aborted meanwhile.
Awaitable<bool> Connection::wait_for_budget(std::shared_ptr<Task> task) {
  const auto granted = std::make_shared<std::shared_ptr<ByteBudget::Lease>>();
  const std::weak_ptr<Connection> weak_self = weak_from_this();
  const auto on_grant = [weak_self, granted](std::shared_ptr<ByteBudget::Lease> lease) {
    const auto self = weak_self.lock();
    if (!self) return;
    asio::post(self->io_, [self, granted, lease = std::move(lease)] {
      *granted = lease;
      self->budget_wait_.cancel();
    });
  };
  const uint64_t ticket = core_.budget->take_later(share_, task->total, on_grant);
  reading_paused_ = true;
  flush_output();
  budget_wait_.expires_after(kBudgetPatience);
  bool in_time = true;
  while (in_time && !*granted && phase_ == Phase::full_feature &&
         task->state != Task::State::ended) {
    const auto [woken] = co_await budget_wait_.async_wait(asio::as_tuple(asio::use_awaitable));
    in_time = static_cast<bool>(woken);  // cancelled is how it is woken before its time
  }
  reading_paused_ = false;
  core_.budget->cancel(ticket);
  if (*granted && task->state != Task::State::ended) take_lease(*task, *granted);
  granted->reset();
  co_return phase_ == Phase::full_feature;
}

Awaitable<bool> Connection::receive_data_out() {
  const Bhs bhs = bhs_;
  const auto at = tasks_.find(bhs.task_tag());
  if (at == tasks_.end() || !at->second->gathers()) {
    // For a task that was refused or aborted while its data was on the way.
    const Received dropped = co_await receive_data({}, bhs.data_length());
    co_return check_data_result(dropped);
  }
  const std::shared_ptr<Task> task = at->second;
  if (const char* wrong = check_data_out(*task, bhs)) {
    fatal_reject(RejectReason::protocol_error, wrong);
    co_return false;
  }
  const std::shared_ptr<Buffer> buffer = task->data;
  const std::shared_ptr<ByteBudget::Lease> lease = task->lease;
  const uint64_t offset = bhs.get32(field::kBufferOffset);
  MutableBytes to;
  if (buffer && offset < task->total) to = MutableBytes(*buffer).subspan(offset);
  const Received received = co_await receive_data(to, bhs.data_length());
  if (!check_data_result(received)) co_return false;
  if (task->state == Task::State::ended) co_return true;
  after_data_out(task, bhs);
  if (!check_data_result(received)) co_return false;
  pump_ready();
  co_return phase_ == Phase::full_feature;
}

// DataPDUInOrder and DataSequenceInOrder are always Yes: any gap or overlap is an error, and at
// ErrorRecoveryLevel 0 one that nothing can repair (RFC 7143 11.7.5). nullptr: fits. The DataSN is
// looked at elsewhere.
const char* Connection::check_data_out(const Task& task, const Bhs& bhs) const {
  const uint64_t offset = bhs.get32(field::kBufferOffset);
  const uint64_t length = bhs.data_length();
  const uint32_t transfer_tag = bhs.get32(field::kTargetTransferTag);
  if (transfer_tag == kReservedTag) {
    if (!task.unsolicited_open) return "unsolicited data that was not announced";
    if (offset != task.unsolicited_at) return "wrong buffer offset";
    if (offset + length > task.unsolicited_limit) return "more than FirstBurstLength";
    return nullptr;
  }
  if (task.r2ts.empty() || task.r2ts.front().transfer_tag != transfer_tag)
    return "unknown target transfer tag";
  const R2t& r2t = task.r2ts.front();
  if (offset != r2t.offset + r2t.received) return "wrong buffer offset";
  if (r2t.received + length > r2t.length) return "more than the R2T asked for";
  if (bhs.has(flag::kFinal) && r2t.received + length != r2t.length)
    return "less than the R2T asked for";
  return nullptr;
}

void Connection::after_data_out(const std::shared_ptr<Task>& task, const Bhs& bhs) {
  const uint64_t length = bhs.data_length();
  // An initiator serves its R2Ts one after the other: whichever gets its data, the others may have
  // to wait for it. An empty PDU is no progress.
  if (length > 0) data_out_idle_ticks_ = 0;
  // RFC 7143 7.8, 7.9: a wrong DataSN tells of data that were lost. The command ends with CHECK
  // CONDITION when the rest of them has come.
  const bool unsolicited = bhs.get32(field::kTargetTransferTag) == kReservedTag;
  const uint32_t expected_sn =
      unsolicited ? task->unsolicited_data_sn : task->r2ts.front().next_data_sn;
  if (bhs.get32(field::kDataSn) != expected_sn) task->sequence_error = true;
  if (unsolicited) {
    task->unsolicited_at += length;
    ++task->unsolicited_data_sn;
    task->received = std::min(task->unsolicited_at, task->total);
    if (bhs.has(flag::kFinal)) task->unsolicited_open = false;
  } else {
    R2t& r2t = task->r2ts.front();
    r2t.received += length;
    ++r2t.next_data_sn;
    task->received += length;
    if (r2t.received == r2t.length) task->r2ts.pop_front();
  }
  if (task->complete())
    task->state = Task::State::ready;
  else if (!task->unsolicited_open)
    solicit(*task);
}

// R2Ts for what is missing, as many as MaxOutstandingR2T allows, each at most MaxBurstLength.
void Connection::solicit(Task& task) {
  if (task.r2t_sn == 0) task.solicited = task.received;
  while (task.solicited < task.total && task.r2ts.size() < parameters_.max_outstanding_r2t) {
    R2t r2t;
    r2t.transfer_tag = next_transfer_tag_++;
    if (next_transfer_tag_ == kReservedTag) next_transfer_tag_ = 1;
    r2t.offset = task.solicited;
    r2t.length = std::min<uint64_t>(parameters_.max_burst_length, task.total - task.solicited);
    OutPdu pdu;
    pdu.bhs = Bhs(Opcode::r2t);
    pdu.bhs.copy(field::kLun, task.bhs.lun());
    pdu.bhs.set32(field::kInitiatorTaskTag, task.tag());
    pdu.bhs.set32(field::kTargetTransferTag, r2t.transfer_tag);
    pdu.bhs.set32(field::kDataSn, task.r2t_sn++);
    pdu.bhs.set32(field::kBufferOffset, static_cast<uint32_t>(r2t.offset));
    pdu.bhs.set32(field::kDesiredLength, static_cast<uint32_t>(r2t.length));
    send(std::move(pdu), StatSn::shown);
    task.solicited += r2t.length;
    task.r2ts.push_back(r2t);
  }
}

}  // namespace coldshelf::iscsi
