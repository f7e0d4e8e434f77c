// Reading PDUs: headers through the read-ahead buffer, big data segments straight to their place.
#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/crc32c.h"
#include "base/log.h"
#include "target/iscsi/connection.h"

namespace coldshelf::iscsi {

// At least `bytes` in the read-ahead buffer. False: the connection is over.
Awaitable<bool> Connection::fill(size_t bytes) {
  while (rx_end_ - rx_begin_ < bytes) {
    if (rx_begin_ == rx_end_) {
      rx_begin_ = rx_end_ = 0;
    } else if (rx_begin_ + bytes > rx_.size()) {
      std::copy(rx_.begin() + static_cast<ptrdiff_t>(rx_begin_),
                rx_.begin() + static_cast<ptrdiff_t>(rx_end_), rx_.begin());
      rx_end_ -= rx_begin_;
      rx_begin_ = 0;
    }
    // Answers go out together, once there is nothing more to do without new input.
    flush_output();
    if (phase_ == Phase::closed) co_return false;
    const asio::mutable_buffer room(rx_.data() + rx_end_, rx_.size() - rx_end_);
    const auto [error, got] =
        co_await socket_.async_read_some(room, asio::as_tuple(asio::use_awaitable));
    if (error || phase_ == Phase::closed) co_return false;
    rx_end_ += got;
    heard_ = true;
  }
  co_return true;
}

Awaitable<bool> Connection::read_into(MutableBytes to) {
  const size_t ready = std::min(to.size(), rx_end_ - rx_begin_);
  std::copy_n(rx_.begin() + static_cast<ptrdiff_t>(rx_begin_), ready, to.begin());
  rx_begin_ += ready;
  to = to.subspan(ready);
  while (!to.empty()) {
    rx_begin_ = rx_end_ = 0;
    flush_output();
    if (phase_ == Phase::closed) co_return false;
    // What follows the segment comes with the same call.
    const std::array<asio::mutable_buffer, 2> room = {asio::buffer(to.data(), to.size()),
                                                      asio::buffer(rx_.data(), rx_.size())};
    const auto [error, got] =
        co_await socket_.async_read_some(room, asio::as_tuple(asio::use_awaitable));
    if (error || phase_ == Phase::closed) co_return false;
    heard_ = true;
    const size_t taken = std::min(got, to.size());
    to = to.subspan(taken);
    rx_end_ = got - taken;
  }
  co_return true;
}

// The next header is in bhs_ and ahs_. A header that fails its digest ends the connection: where
// the next one begins is unknown (RFC 7143 7.7).
Awaitable<bool> Connection::receive_header() {
  const bool got_bhs = co_await fill(kBhsLength);
  if (!got_bhs) co_return false;
  bhs_ = Bhs::parse(ByteView(rx_).subspan(rx_begin_));
  const size_t covered = kBhsLength + bhs_.ahs_length();
  const size_t length = covered + (parameters_.header_digest ? kDigestLength : 0);
  const bool got_all = co_await fill(length);
  if (!got_all) co_return false;
  const ByteView header = ByteView(rx_).subspan(rx_begin_, length);
  if (parameters_.header_digest &&
      load_le<uint32_t>(&header[covered]) != crc32c(header.first(covered))) {
    log_warning("iscsi", "header digest error", {{"peer", session_->peer_address}});
    co_return false;
  }
  std::copy(header.begin() + kBhsLength, header.begin() + static_cast<ptrdiff_t>(covered),
            ahs_.begin());
  rx_begin_ += length;
  co_return true;
}

// A data segment of `length` bytes with its padding and digest: the first bytes to `to`, what is
// too much is dropped.
Awaitable<Connection::Received> Connection::receive_data(MutableBytes to, size_t length) {
  if (length == 0) co_return Received::ok;
  to = to.first(std::min(to.size(), length));
  const bool got_data = co_await read_into(to);
  if (!got_data) co_return Received::lost;
  uint32_t crc = parameters_.data_digest ? crc32c(to) : 0;
  // The rest passes through the read-ahead buffer, padding included: the digest covers it too.
  for (size_t left = length - to.size() + padding_of(length); left > 0;) {
    const bool more = co_await fill(1);
    if (!more) co_return Received::lost;
    const size_t n = std::min(left, rx_end_ - rx_begin_);
    if (parameters_.data_digest) crc = crc32c(ByteView(rx_).subspan(rx_begin_, n), crc);
    rx_begin_ += n;
    left -= n;
  }
  if (session_) session_->bytes_received.fetch_add(length, std::memory_order_relaxed);
  if (!parameters_.data_digest) co_return Received::ok;
  const bool got_digest = co_await fill(kDigestLength);
  if (!got_digest) co_return Received::lost;
  const uint32_t sent = load_le<uint32_t>(&rx_[rx_begin_]);
  rx_begin_ += kDigestLength;
  co_return sent == crc ? Received::ok : Received::bad_digest;
}

// True: go on. A damaged data segment ends the session at ErrorRecoveryLevel 0 (RFC 7143 7.8).
bool Connection::check_data_result(Received result) {
  if (result == Received::bad_digest && phase_ == Phase::full_feature)
    fatal_reject(RejectReason::data_digest_error, "data digest error");
  return result == Received::ok && phase_ == Phase::full_feature;
}

Awaitable<bool> Connection::receive_pdu() {
  const bool got_header = co_await receive_header();
  if (!got_header || phase_ != Phase::full_feature) co_return false;
  // What has been read ahead ends with the session; post_close() may still be on its way.
  if (session_->replaced.load()) co_return false;
  if (bhs_.data_length() > parameters_.our_max_recv_data_segment_length) {
    fatal_reject(RejectReason::invalid_pdu_field, "a data segment longer than we declared");
    co_return false;
  }
  const bool discovery = session_->login.discovery;
  switch (bhs_.opcode()) {
    case Opcode::scsi_command:
      if (discovery) break;
      co_return co_await receive_command();
    case Opcode::data_out:
      if (discovery) break;
      co_return co_await receive_data_out();
    case Opcode::task_management_request:
      if (discovery) break;
      co_return co_await receive_request();
    case Opcode::nop_out:
    case Opcode::text_request:
    case Opcode::logout_request:
      co_return co_await receive_request();
    case Opcode::snack:
      // ErrorRecoveryLevel 0 has none (RFC 7143 11.16).
      co_return co_await receive_refused(RejectReason::snack_reject);
    case Opcode::login_request:
      fatal_reject(RejectReason::protocol_error, "a login request in the full feature phase");
      co_return false;
    default:
      break;
  }
  co_return co_await receive_refused(RejectReason::command_not_supported);
}

// NOP-Out, Text, Task Management and Logout: small, taken whole, in CmdSN order.
Awaitable<bool> Connection::receive_request() {
  const Bhs bhs = bhs_;
  const Order order = order_of(bhs);
  if (order == Order::held) co_return co_await hold_pdu();
  Buffer data(order == Order::now ? bhs.data_length() : 0);
  const Received received = co_await receive_data(data, bhs.data_length());
  if (!check_data_result(received)) co_return false;
  if (order == Order::dropped) co_return true;
  if (!bhs.immediate()) ++exp_cmd_sn_;
  handle_request(bhs, std::move(data));
  release_held();
  pump_ready();
  co_return phase_ == Phase::full_feature;
}

Awaitable<bool> Connection::receive_refused(RejectReason reason) {
  const Bhs bhs = bhs_;
  const Received received = co_await receive_data({}, bhs.data_length());
  if (!check_data_result(received)) co_return false;
  send_reject(reason, bhs);
  co_return true;
}

Awaitable<void> Connection::wait_output_room() {
  flush_output();
  while (phase_ == Phase::full_feature && out_bytes_ > options_.max_queued_output_bytes) {
    output_room_.expires_at(asio::steady_timer::time_point::max());
    const auto [woken] = co_await output_room_.async_wait(asio::as_tuple(asio::use_awaitable));
    static_cast<void>(woken);  // cancelled is how it is woken; the loop looks at the state
  }
}

}  // namespace coldshelf::iscsi
