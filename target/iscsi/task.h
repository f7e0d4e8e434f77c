// A SCSI task (RFC 7143 4.2.3, SAM-5 clause 8) from its command PDU to its response.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "target/iscsi/budget.h"
#include "target/iscsi/pdu.h"
#include "target/scsi/logical_unit.h"

namespace coldshelf::iscsi {

struct Task;
using TaskDone = std::function<void(std::shared_ptr<Task>)>;

// One solicited sequence.
struct R2t {
  uint32_t transfer_tag = 0;
  uint64_t offset = 0;
  uint64_t length = 0;
  uint64_t received = 0;
  uint32_t next_data_sn = 0;
};

// Owned by its connection's thread; while an LuQueue has it, `command` is read and `reply` written
// by the thread that executes it, and nothing else is touched there.
struct Task {
  enum class State {
    gathering,  // data-out is still to come
    ready,      // complete, behind others of this session
    submitted,  // with the LuQueue
    ended,      // answered or aborted
  };

  Bhs bhs;
  scsi::Command command;
  scsi::Reply reply;
  State state = State::gathering;
  bool counted = false;          // takes a place in the command window
  uint64_t expected_length = 0;  // Expected Data Transfer Length
  uint64_t promised_in = 0;      // data-in that the output queue must take; from submission on

  // Data-out.
  uint64_t total = 0;     // what we gather: min(expected, wanted by the CDB)
  uint64_t wanted = 0;    // by the CDB
  uint64_t received = 0;  // contiguous from 0, as DataPDUInOrder and DataSequenceInOrder make it
  uint64_t solicited = 0;
  uint64_t unsolicited_limit = 0;
  uint64_t unsolicited_at = 0;    // where the next unsolicited PDU must begin
  bool unsolicited_open = false;  // unsolicited Data-Out PDUs may still come
  uint32_t unsolicited_data_sn = 0;
  bool sequence_error = false;  // a Data-Out PDU with a wrong DataSN: the command must not run
  uint32_t r2t_sn = 0;
  std::deque<R2t> r2ts;
  std::shared_ptr<Buffer> data;
  std::shared_ptr<ByteBudget::Lease> lease;
  uint64_t budget_ticket = 0;  // not 0: waits for the budget, R2T is withheld

  // Aborted tasks: whether the initiator still gets TASK ABORTED, and who waits for the end.
  bool aborted = false;
  bool answer_aborted = false;
  std::vector<std::shared_ptr<void>> waiters;

  bool executed = false;  // waits for others to end before it is answered: PREEMPT AND ABORT

  int64_t submitted_ns = 0;  // when the LuQueue got it, by the monotonic clock
  TaskDone done;             // called by an LuQueue on its own thread

  uint32_t tag() const { return bhs.task_tag(); }
  bool gathers() const { return state == State::gathering; }
  bool complete() const { return received == total && !unsolicited_open; }
};

}  // namespace coldshelf::iscsi
