#include "target/iscsi/connection.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <utility>

#include "base/log.h"

namespace coldshelf::iscsi {

namespace {
constexpr size_t kReadAhead = 16 * KiB;
constexpr std::chrono::milliseconds kDrainTime{2000};

std::string to_text(const asio::ip::tcp::endpoint& endpoint) {
  const std::string address = endpoint.address().to_string();
  const std::string port = std::to_string(endpoint.port());
  return endpoint.address().is_v6() ? "[" + address + "]:" + port : address + ":" + port;
}
}  // namespace

Connection::Connection(ServerCore& core, asio::io_context& io, asio::ip::tcp::socket socket,
                       Ended ended, LoggedIn logged_in)
    : core_(core),
      options_(core.options),
      io_(io),
      socket_(std::move(socket)),
      ended_(std::move(ended)),
      logged_in_(std::move(logged_in)),
      output_room_(io),
      budget_wait_(io),
      tick_(io) {
  std::chrono::milliseconds shortest = std::chrono::milliseconds(4000);
  for (const auto time : {options_.login_timeout, options_.nop_interval, options_.nop_timeout,
                          options_.data_out_timeout})
    if (time.count() > 0) shortest = std::min(shortest, time);
  tick_length_ = std::max(std::chrono::milliseconds(10), shortest / 4);
}

Connection::~Connection() = default;

void Connection::start() {
  asio::co_spawn(
      io_, [self = shared_from_this()] { return self->run(); },
      [self = shared_from_this()](std::exception_ptr failure) {
        if (!failure) return;
        try {
          std::rethrow_exception(failure);
        } catch (const std::exception& e) {
          log_error("iscsi", "a connection failed", {{"what", e.what()}});
        }
        self->close();
      });
}

Awaitable<void> Connection::run() {
  boost::system::error_code ignored;
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
  socket_.set_option(asio::socket_base::keep_alive(true), ignored);
  socket_.non_blocking(true, ignored);
  const auto local = socket_.local_endpoint(ignored);
  local_address_ = to_text(local);
  rx_.resize(kReadAhead);
  start_ticking();
  co_await login_phase();
  if (phase_ == Phase::full_feature) co_await full_feature_phase();
  if (phase_ == Phase::draining) co_await drain_input();
  close();
}

Awaitable<void> Connection::login_phase() {
  LoginMachine machine(options_, core_.registry, core_.random);
  while (phase_ == Phase::login) {
    const bool got_header = co_await receive_header();
    if (!got_header || phase_ != Phase::login) co_return;
    const Bhs request = bhs_;
    // Nobody may send more than the default before we declared more (RFC 7143 13.12).
    if (request.data_length() > kDefaultMaxRecvDataSegmentLength) co_return;
    Buffer data(request.data_length());
    const Received received = co_await receive_data(data, data.size());
    if (received != Received::ok || phase_ != Phase::login) co_return;
    LoginMachine::Response response = machine.on_request(request, data);
    if (response.complete && !register_session(machine, response))
      response = machine.refuse(LoginStatus::out_of_resources);
    send_login_response(std::move(response));
  }
}

bool Connection::register_session(LoginMachine& machine, LoginMachine::Response& response) {
  boost::system::error_code ignored;
  const auto peer = socket_.remote_endpoint(ignored);
  session_ = core_.registry.establish(machine.result(), to_text(peer), weak_from_this());
  if (!session_) return false;
  response.bhs.set16(field::kTsih, session_->tsih);
  return true;
}

void Connection::send_login_response(LoginMachine::Response response) {
  if (response.send) {
    // Sent as it is: numbered by the login machine, and digests begin with the full feature phase.
    OutPdu pdu;
    pdu.bhs = response.bhs;
    pdu.inline_data = to_buffer(as_view(response.text));
    pdu.seal(false, false);
    out_bytes_ += pdu.wire_length;
    out_.push_back(std::move(pdu));
  }
  if (response.close) {
    close_after_flush(Goodbye::when_peer_has_read);
    return;
  }
  if (response.complete) {
    const LoginResult& login = session_->login;
    parameters_ = login.parameters;
    stat_sn_ = response.bhs.get32(field::kStatSn) + 1;
    exp_cmd_sn_ = login.cmd_sn;
    last_max_cmd_sn_ = login.cmd_sn + options_.command_window - 1;
    phase_ = Phase::full_feature;
    age_ticks_ = 0;
    log_info("iscsi", "session established",
             {{"initiator", login.initiator_name},
              {"target", login.discovery ? "(discovery)" : login.target_name},
              {"peer", session_->peer_address},
              {"tsih", session_->tsih}});
    logged_in_(this);
  }
  flush_output();
}

Awaitable<void> Connection::full_feature_phase() {
  while (phase_ == Phase::full_feature) {
    const bool alive = co_await receive_pdu();
    if (!alive) co_return;
    if (out_bytes_ > options_.max_queued_output_bytes) co_await wait_output_room();
  }
}

// After our last word the peer may still be sending: closing with unread input would make the
// kernel reset the connection and drop what the peer has not read yet.
Awaitable<void> Connection::drain_input() {
  flush_output();
  while (phase_ == Phase::draining) {
    rx_begin_ = rx_end_ = 0;
    const auto [error, bytes] =
        co_await socket_.async_read_some(asio::buffer(rx_), asio::as_tuple(asio::use_awaitable));
    if (error || bytes == 0) co_return;
  }
}

// Our last PDUs are still to go out. `when_peer_has_read`: the peer may be sending, unlike one that
// has logged out, and closing at once could take our last word from it.
void Connection::close_after_flush(Goodbye goodbye) {
  if (phase_ == Phase::closed || phase_ == Phase::draining) return;
  phase_ = Phase::draining;
  goodbye_ = goodbye;
  close_in_ticks_ = ticks_of(kDrainTime);
  end_session();
  budget_wait_.cancel();
  output_room_.cancel();
  flush_output();
}

void Connection::end_session() {
  if (!session_) return;
  abort_all(nullptr, false);
  core_.registry.end(session_);
}

void Connection::close() {
  if (phase_ == Phase::closed) return;
  phase_ = Phase::closed;
  boost::system::error_code ignored;
  socket_.close(ignored);
  tick_.cancel();
  budget_wait_.cancel();
  output_room_.cancel();
  end_session();
  order_.clear();
  tasks_.clear();
  held_.clear();
  if (session_)
    log_info("iscsi", "session closed",
             {{"initiator", session_->login.initiator_name}, {"peer", session_->peer_address}});
  ended_(this);
}

void Connection::post_close() {
  asio::post(io_, [self = shared_from_this()] { self->close(); });
}

void Connection::post_logout_request(std::chrono::milliseconds grace) {
  asio::post(io_, [self = shared_from_this(), grace] { self->request_logout(grace); });
}

void Connection::request_logout(std::chrono::milliseconds grace) {
  if (phase_ != Phase::full_feature || session_->login.discovery) {
    close();
    return;
  }
  // RFC 7143 11.9.1, event 1: the target requests Logout; Parameter3 is the time it waits for it.
  OutPdu pdu;
  pdu.bhs = Bhs(Opcode::async_message);
  pdu.bhs.set32(field::kInitiatorTaskTag, kReservedTag);
  pdu.bhs.set8(field::kAsyncEvent, 1);
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(grace).count();
  pdu.bhs.set16(field::kAsyncParameter3,
                static_cast<uint16_t>(std::clamp<int64_t>(seconds, 1, 0xffff)));
  send(std::move(pdu), StatSn::advanced);
  close_in_ticks_ = ticks_of(grace);
  flush_output();
}

unsigned Connection::ticks_of(std::chrono::milliseconds time) const {
  return static_cast<unsigned>(time / tick_length_) + 1;
}

void Connection::start_ticking() {
  tick_.expires_after(tick_length_);
  tick_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (!error && self && self->phase_ != Phase::closed) self->on_tick();
  });
}

void Connection::on_tick() {
  ++age_ticks_;
  if (phase_ == Phase::login && age_ticks_ >= ticks_of(options_.login_timeout)) {
    close();
    return;
  }
  if (close_in_ticks_ > 0 && --close_in_ticks_ == 0) {
    close();
    return;
  }
  if (phase_ == Phase::full_feature) tick_full_feature();
  if (phase_ != Phase::closed) start_ticking();
}

bool Connection::expects_data_out() const {
  return std::any_of(tasks_.begin(), tasks_.end(), [](const auto& entry) {
    const Task& task = *entry.second;
    return task.gathers() && (!task.r2ts.empty() || task.unsolicited_open);
  });
}

// Whether its TCP has acknowledged anything since the last tick. What lies in our socket's buffer
// has not come anywhere yet.
bool Connection::peer_takes_output() {
  int queued = 0;
  if (ioctl(socket_.native_handle(), SIOCOUTQ, &queued) != 0 || queued < 0) queued = 0;
  const uint64_t taken = written_bytes_ - std::min(written_bytes_, static_cast<uint64_t>(queued));
  return taken > std::exchange(taken_bytes_, taken);
}

void Connection::tick_full_feature() {
  budget_denied_ = false;
  const bool moving = peer_takes_output();
  if (!expects_data_out()) {
    data_out_idle_ticks_ = 0;
  } else if (!reading_paused_ && (!moving || out_.empty()) &&
             ++data_out_idle_ticks_ > ticks_of(options_.data_out_timeout)) {
    log_warning("iscsi", "data-out never came", {{"peer", session_->peer_address}});
    close();
    return;
  }
  if (heard_ || reading_paused_) {
    heard_ = false;
    quiet_ticks_ = 0;
    nop_outstanding_ = false;
    return;
  }
  // On a slow link the ping, or its answer, comes behind much else.
  quiet_ticks_ = moving ? 0 : quiet_ticks_ + 1;
  if (options_.nop_interval.count() == 0) return;
  if (!nop_outstanding_ && quiet_ticks_ >= ticks_of(options_.nop_interval)) {
    nop_outstanding_ = true;
    quiet_ticks_ = 0;
    send_nop_in();
    flush_output();
  } else if (nop_outstanding_ && quiet_ticks_ >= ticks_of(options_.nop_timeout)) {
    log_warning("iscsi", "an initiator went silent", {{"peer", session_->peer_address}});
    close();
  }
}

}  // namespace coldshelf::iscsi
