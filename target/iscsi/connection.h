// One TCP connection: its login, its full feature phase, its end. Everything of it runs on the one
// thread of its io_context; other threads only post.
#pragma once

#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "target/iscsi/login.h"
#include "target/iscsi/pdu.h"
#include "target/iscsi/session.h"
#include "target/iscsi/task.h"

namespace coldshelf::iscsi {

namespace asio = boost::asio;
template <typename T>
using Awaitable = asio::awaitable<T>;

class Connection final : public SessionPeer, public std::enable_shared_from_this<Connection> {
 public:
  using Ended = std::function<void(Connection*)>;  // called once, on the connection's thread
  using LoggedIn = std::function<void(Connection*)>;

  Connection(ServerCore& core, asio::io_context& io, asio::ip::tcp::socket socket, Ended ended,
             LoggedIn logged_in);
  ~Connection() override;

  void start();  // any thread

  // SessionPeer; any thread.
  void post_close() override;
  void post_logout_request(std::chrono::milliseconds grace) override;
  void post_abort_tasks(std::shared_ptr<void> waiter, bool answer_aborted) override;
  asio::io_context& io() { return io_; }

 private:
  enum class Phase { login, full_feature, draining, closed };
  // What receiving a data segment came to.
  enum class Received { ok, bad_digest, lost };
  // A command that came before its turn (RFC 7143 4.2.2.1).
  struct Held {
    bool skipped = false;  // aborted before it came (RFC 7143 11.5.1)
    Bhs bhs;
    Buffer data;
  };

  // connection.cc: the life of it.
  Awaitable<void> run();
  Awaitable<void> login_phase();
  Awaitable<void> full_feature_phase();
  Awaitable<void> drain_input();
  bool register_session(LoginMachine& machine, LoginMachine::Response& response);
  void send_login_response(LoginMachine::Response response);
  void close();
  enum class Goodbye { now, when_peer_has_read };
  void close_after_flush(Goodbye goodbye);
  void end_session();
  void start_ticking();
  void on_tick();
  void tick_full_feature();
  bool expects_data_out() const;
  bool peer_takes_output();
  unsigned ticks_of(std::chrono::milliseconds time) const;
  void request_logout(std::chrono::milliseconds grace);

  // connection_receive.cc.
  Awaitable<bool> fill(size_t bytes);
  Awaitable<bool> read_into(MutableBytes to);
  Awaitable<bool> receive_header();
  Awaitable<Received> receive_data(MutableBytes to, size_t length);
  Awaitable<bool> receive_pdu();
  Awaitable<bool> receive_request();
  Awaitable<bool> receive_refused(RejectReason reason);
  bool check_data_result(Received result);
  Awaitable<void> wait_output_room();

  // connection_send.cc.
  enum class StatSn { none, shown, advanced };
  void send(OutPdu pdu, StatSn stat_sn);
  void flush_output();
  bool write_some();
  void wait_writable();
  void send_reject(RejectReason reason, const Bhs& rejected);
  void fatal_reject(RejectReason reason, const char* why);
  void send_reply(Task& task);
  uint32_t send_data_in(Task& task, bool with_status);
  void send_scsi_response(Task& task, uint32_t data_in_pdus);
  void set_residual(Task& task, Bhs& bhs) const;

  // connection_commands.cc: order and execution.
  enum class Order { now, held, dropped };
  Order order_of(const Bhs& bhs) const;
  uint32_t max_cmd_sn();
  Awaitable<bool> receive_command();
  std::shared_ptr<Task> make_task(const Bhs& bhs);
  bool check_command(const Bhs& bhs);
  std::optional<scsi::Reply> refuse_command(const Task& task) const;
  Awaitable<bool> accept_command(Bhs bhs);
  Awaitable<bool> hold_pdu();
  void accept_held_command(const Bhs& bhs, ByteView data);
  void release_held();
  void answer_now(const std::shared_ptr<Task>& task, scsi::Reply reply);
  void finish(const std::shared_ptr<Task>& task);
  void on_task_done(const std::shared_ptr<Task>& task);
  bool has_output_room(const Task& task) const;
  bool may_begin(const Task& task, size_t waiting_before) const;
  void pump_ready();
  void end_task(Task& task);

  // connection_data_out.cc.
  Awaitable<bool> gather_command_data(std::shared_ptr<Task> task);
  Awaitable<bool> wait_for_budget(std::shared_ptr<Task> task);
  Awaitable<bool> receive_data_out();
  const char* check_data_out(const Task& task, const Bhs& bhs) const;
  void after_data_out(const std::shared_ptr<Task>& task, const Bhs& bhs);
  bool try_place(Task& task);
  void take_lease(Task& task, std::shared_ptr<ByteBudget::Lease> lease);
  void park_for_budget(const std::shared_ptr<Task>& task);
  void solicit(Task& task);
  bool gathers_any() const;

  // connection_tmf.cc.
  void handle_task_management(const Bhs& bhs);
  TaskResponse start_task_function(const Bhs& bhs, const std::shared_ptr<void>& waiter);
  TaskResponse abort_one(const Bhs& bhs, const std::shared_ptr<void>& waiter);
  void abort_task(const std::shared_ptr<Task>& task, const std::shared_ptr<void>& waiter,
                  bool answer_aborted);
  void leave_behind(Task& task);
  void abort_all(const std::shared_ptr<void>& waiter, bool answer_aborted);
  void abort_everyone(const std::shared_ptr<void>& waiter);
  std::vector<std::shared_ptr<Session>> sessions_of_target() const;
  void abort_preempted(const std::shared_ptr<Task>& task);
  std::function<void()> completion_of(const Bhs& bhs);
  void refuse_task_management(const Bhs& bhs);
  void send_task_management_response(const Bhs& request, TaskResponse response);

  // connection_text.cc: NOP, Text, Logout.
  void handle_request(const Bhs& bhs, Buffer data);  // by opcode; also task management
  void handle_nop_out(const Bhs& bhs, Buffer data);
  void handle_text(const Bhs& bhs, Buffer data);
  void handle_logout(const Bhs& bhs);
  bool answer_text(std::string_view text);
  void reject_text(const Bhs& bhs);
  void end_text();
  bool answer_send_targets(const std::string& value);
  void send_text_response(const Bhs& request);
  void send_nop_in();

  ServerCore& core_;
  const ServerOptions& options_;
  asio::io_context& io_;
  asio::ip::tcp::socket socket_;
  Ended ended_;
  LoggedIn logged_in_;
  Phase phase_ = Phase::login;
  SessionParameters parameters_;
  std::shared_ptr<Session> session_;
  std::string local_address_;

  // Input: bytes read ahead, and the header in work.
  std::vector<std::byte> rx_;
  size_t rx_begin_ = 0, rx_end_ = 0;
  Bhs bhs_;
  std::array<std::byte, kMaxAhsLength> ahs_{};
  bool heard_ = false;  // something came since the last tick

  // Output.
  std::deque<OutPdu> out_;
  uint64_t out_bytes_ = 0;
  uint64_t promised_in_ = 0;  // of the tasks at work: what may come to out_
  uint64_t front_sent_ = 0;   // of out_.front()
  uint64_t written_bytes_ = 0;
  uint64_t taken_bytes_ = 0;  // of them, by the peer, at the last tick
  bool waiting_writable_ = false;
  Goodbye goodbye_ = Goodbye::now;
  asio::steady_timer output_room_;

  // Numbering and order.
  uint32_t stat_sn_ = 0;
  uint32_t exp_cmd_sn_ = 0;
  uint32_t last_max_cmd_sn_ = 0;
  uint32_t in_flight_ = 0;  // commands that take a place in the window
  uint32_t immediate_in_flight_ = 0;
  uint32_t task_functions_ = 0;    // task management requests that wait for tasks to end
  std::map<uint32_t, Held> held_;  // by CmdSN
  uint64_t held_bytes_ = 0;
  uint32_t next_transfer_tag_ = 1;

  // Tasks, by initiator task tag, and in the order of their arrival until submitted.
  std::unordered_map<uint32_t, std::shared_ptr<Task>> tasks_;
  std::deque<std::shared_ptr<Task>> order_;
  bool pumping_ = false;
  asio::steady_timer budget_wait_;
  bool reading_paused_ = false;  // by us, for the budget
  bool budget_denied_ = false;   // waited for it in vain, since the last tick
  const std::shared_ptr<ByteBudget::Share> share_ = std::make_shared<ByteBudget::Share>();

  // Text requests.
  std::string text_in_;
  std::string text_out_;  // the answer to one request
  size_t text_out_sent_ = 0;
  uint32_t text_tag_ = kReservedTag;

  // Time, counted in ticks.
  asio::steady_timer tick_;
  std::chrono::milliseconds tick_length_{1000};
  unsigned age_ticks_ = 0;            // in the phase
  unsigned quiet_ticks_ = 0;          // nothing heard, and nothing taken
  unsigned data_out_idle_ticks_ = 0;  // some is expected, and none came
  bool nop_outstanding_ = false;
  unsigned close_in_ticks_ = 0;  // 0: not set
};

}  // namespace coldshelf::iscsi
