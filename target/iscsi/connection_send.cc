// Writing PDUs: gathered, several to a system call, data from where the logical unit left it.
#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <span>

#include "base/log.h"
#include "target/iscsi/connection.h"
#include "target/iscsi/sense.h"

namespace coldshelf::iscsi {

void Connection::send(OutPdu pdu, StatSn stat_sn) {
  if (phase_ == Phase::closed) return;
  // Data-In without status carries no StatSN; R2T and our own NOP-In show the next one without
  // using it up (RFC 7143 11.7.4, 11.8.2, 11.19.2).
  if (stat_sn != StatSn::none) pdu.bhs.set32(field::kStatSn, stat_sn_);
  if (stat_sn == StatSn::advanced) ++stat_sn_;
  pdu.bhs.set32(field::kExpCmdSn, exp_cmd_sn_);
  pdu.bhs.set32(field::kMaxCmdSn, max_cmd_sn());
  pdu.seal(parameters_.header_digest, parameters_.data_digest);
  out_bytes_ += pdu.wire_length;
  out_.push_back(std::move(pdu));
}

void Connection::flush_output() {
  for (;;) {
    while (!out_.empty()) {
      if (waiting_writable_ || phase_ == Phase::closed) return;
      if (!write_some()) {
        wait_writable();
        return;
      }
    }
    // Tasks held back while the output queue was full.
    pump_ready();
    if (out_.empty()) break;
  }
  output_room_.cancel();
  if (phase_ != Phase::draining) return;
  if (goodbye_ == Goodbye::now) {
    close();
  } else {
    boost::system::error_code ignored;
    socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  }
}

// One system call. False: the socket takes no more now (or the connection is closed).
bool Connection::write_some() {
  std::array<asio::const_buffer, 64> pieces;
  size_t count = 0;
  uint64_t skip = front_sent_;
  const auto add = [&](ByteView bytes) {
    if (skip >= bytes.size()) {
      skip -= bytes.size();
    } else if (count < pieces.size()) {
      pieces[count++] = asio::buffer(bytes.data() + skip, bytes.size() - skip);
      skip = 0;
    }
  };
  for (const OutPdu& pdu : out_) {
    if (count == pieces.size()) break;
    add(pdu.bhs.bytes());
    add(ByteView(pdu.header_digest).first(pdu.header_digest_length));
    add(pdu.inline_data);
    for (ByteView part : pdu.parts) add(part);
    add(ByteView(pdu.trailer).first(pdu.trailer_length));
  }
  boost::system::error_code error;
  const uint64_t sent =
      socket_.write_some(std::span<const asio::const_buffer>(pieces.data(), count), error);
  if (error == asio::error::would_block || error == asio::error::try_again) return false;
  if (error) {
    close();
    return false;
  }
  if (session_) session_->bytes_sent.fetch_add(sent, std::memory_order_relaxed);
  front_sent_ += sent;
  written_bytes_ += sent;
  out_bytes_ -= sent;
  while (!out_.empty() && front_sent_ >= out_.front().wire_length) {
    front_sent_ -= out_.front().wire_length;
    out_.pop_front();
  }
  return true;
}

void Connection::wait_writable() {
  if (waiting_writable_ || phase_ == Phase::closed) return;
  waiting_writable_ = true;
  socket_.async_wait(asio::ip::tcp::socket::wait_write,
                     [self = shared_from_this()](const boost::system::error_code& error) {
                       self->waiting_writable_ = false;
                       if (error || self->phase_ == Phase::closed) return;
                       self->flush_output();
                       if (self->out_bytes_ <= self->options_.max_queued_output_bytes)
                         self->output_room_.cancel();
                     });
}

void Connection::send_reject(RejectReason reason, const Bhs& rejected) {
  OutPdu pdu;
  pdu.bhs = Bhs(Opcode::reject);
  pdu.bhs.set8(field::kResponse, static_cast<uint8_t>(reason));
  pdu.bhs.set32(field::kInitiatorTaskTag, kReservedTag);
  pdu.inline_data = to_buffer(rejected.bytes());  // RFC 7143 11.17.4
  send(std::move(pdu), StatSn::advanced);
}

void Connection::fatal_reject(RejectReason reason, const char* why) {
  log_warning("iscsi", "connection ended", {{"peer", session_->peer_address}, {"reason", why}});
  send_reject(reason, bhs_);
  close_after_flush(Goodbye::when_peer_has_read);
}

void Connection::send_reply(Task& task) {
  scsi::Reply& reply = task.reply;
  uint64_t length = 0;
  for (ByteView part : reply.data.parts) length += part.size();
  reply.data_in_wanted = std::max(reply.data_in_wanted, length);
  reply.data.size = length;
  if (length > task.command.expected_in) reply.data.truncate(task.command.expected_in);
  // Phase collapse: GOOD goes with the last Data-In. Sense cannot, and a short tape read has both:
  // then the data goes without status and a SCSI Response follows (RFC 7143 11.7.3).
  const bool collapse = reply.data.size > 0 && reply.status == scsi::ScsiStatus::good;
  uint32_t data_in_pdus = 0;
  if (reply.data.size > 0) data_in_pdus = send_data_in(task, collapse);
  if (!collapse) send_scsi_response(task, data_in_pdus);
}

uint32_t Connection::send_data_in(Task& task, bool with_status) {
  const auto data = std::make_shared<scsi::DataIn>(std::move(task.reply.data));
  task.reply.data.size = data->size;  // the residual is computed from it
  const uint64_t segment_limit = parameters_.peer_max_recv_data_segment_length;
  uint64_t burst_left = parameters_.max_burst_length;
  uint32_t data_sn = 0;
  size_t part = 0, part_offset = 0;
  for (uint64_t offset = 0; offset < data->size;) {
    const uint64_t length = std::min({segment_limit, burst_left, data->size - offset});
    OutPdu pdu;
    for (uint64_t left = length; left > 0;) {
      const ByteView rest = data->parts[part].subspan(part_offset);
      const auto take = static_cast<size_t>(std::min<uint64_t>(left, rest.size()));
      if (take > 0) pdu.parts.push_back(rest.first(take));
      left -= take;
      part_offset += take;
      if (part_offset == data->parts[part].size()) {
        ++part;
        part_offset = 0;
      }
    }
    pdu.owner = data;
    const bool last = offset + length == data->size;
    burst_left -= length;
    const bool sequence_ends = last || burst_left == 0;
    if (burst_left == 0) burst_left = parameters_.max_burst_length;
    pdu.bhs = Bhs(Opcode::data_in, sequence_ends ? flag::kFinal : uint8_t{0});
    pdu.bhs.copy(field::kLun, task.bhs.lun());
    pdu.bhs.set32(field::kInitiatorTaskTag, task.tag());
    pdu.bhs.set32(field::kTargetTransferTag, kReservedTag);
    pdu.bhs.set32(field::kDataSn, data_sn++);
    pdu.bhs.set32(field::kBufferOffset, static_cast<uint32_t>(offset));
    const bool status_here = last && with_status;
    if (status_here) {
      pdu.bhs.set8(field::kFlags, flag::kFinal | flag::kStatusPresent);
      pdu.bhs.set8(field::kStatus, static_cast<uint8_t>(task.reply.status));
      set_residual(task, pdu.bhs);
    }
    send(std::move(pdu), status_here ? StatSn::advanced : StatSn::none);
    offset += length;
  }
  return data_sn;
}

void Connection::send_scsi_response(Task& task, uint32_t data_in_pdus) {
  OutPdu pdu;
  pdu.bhs = Bhs(Opcode::scsi_response);
  pdu.bhs.set8(field::kResponse, 0);  // command completed at target
  pdu.bhs.set8(field::kStatus, static_cast<uint8_t>(task.reply.status));
  pdu.bhs.set32(field::kInitiatorTaskTag, task.tag());
  pdu.bhs.set32(field::kDataSn, data_in_pdus + task.r2t_sn);
  set_residual(task, pdu.bhs);
  const Buffer& sense_data = task.reply.sense;
  if (!sense_data.empty()) {
    const size_t length = std::min<size_t>(sense_data.size(), 252);  // SPC-5 4.5.1
    pdu.inline_data.resize(2);
    store_be(pdu.inline_data.data(), static_cast<uint16_t>(length));
    append(pdu.inline_data, ByteView(sense_data).first(length));
  }
  send(std::move(pdu), StatSn::advanced);
}

// RFC 7143 11.4.5: what the CDB had, against what the initiator expected.
void Connection::set_residual(Task& task, Bhs& bhs) const {
  const scsi::Reply& reply = task.reply;
  const uint64_t expected = task.expected_length;
  uint64_t wanted = 0;  // by the command
  uint64_t moved = 0;   // of it, in fact
  if (task.bhs.has(flag::kWrite)) {
    wanted = reply.data_out_wanted;
    if (wanted == 0 && reply.status == scsi::ScsiStatus::good) wanted = task.wanted;
    moved = std::min(wanted, expected);
  } else {
    wanted = std::max(reply.data_in_wanted, reply.data_out_wanted);
    moved = reply.data.size;
  }
  uint8_t bit = 0;
  uint64_t residual = 0;
  if (wanted > expected) {
    bit = flag::kOverflow;
    residual = wanted - expected;
  } else if (moved < expected) {
    bit = flag::kUnderflow;
    residual = expected - moved;
  }
  bhs.set8(field::kFlags, static_cast<uint8_t>(bhs.flags() | bit));
  bhs.set32(field::kResidual, static_cast<uint32_t>(std::min<uint64_t>(residual, 0xffffffffU)));
}

}  // namespace coldshelf::iscsi
