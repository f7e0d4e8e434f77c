#include "target/iscsi/server.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <condition_variable>
#include <list>
#include <thread>
#include <unordered_map>

#include "base/log.h"
#include "target/iscsi/connection.h"

namespace coldshelf::iscsi {

namespace {

using asio::ip::tcp;
constexpr size_t kMinChapSecretLength = 12;  // RFC 7143 9.2.1
constexpr std::chrono::milliseconds kAcceptRetryDelay{20};
constexpr size_t kMinPoolThreads = 4;
// What a command may take to end once its session is gone.
constexpr std::chrono::milliseconds kLastCommandTime{30000};

Result<tcp::endpoint> parse_endpoint(const std::string& text) {
  const size_t colon = text.rfind(':');
  const auto port = colon == std::string::npos
                        ? std::nullopt
                        : parse_number(std::string_view(text).substr(colon + 1));
  if (!port || *port > 65535)
    return Error(ErrorCode::invalid_argument, "not a listen address (host:port): " + text);
  std::string host = text.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  if (host == "localhost") host = "127.0.0.1";
  boost::system::error_code error;
  const auto address = asio::ip::make_address(host, error);
  if (error) return Error(ErrorCode::invalid_argument, "not a numeric listen address: " + text);
  return tcp::endpoint(address, static_cast<uint16_t>(*port));
}

std::string to_text(const tcp::endpoint& endpoint) {
  const std::string address = endpoint.address().to_string();
  const std::string port = std::to_string(endpoint.port());
  return endpoint.address().is_v6() ? "[" + address + "]:" + port : address + ":" + port;
}

Status check_chap(const ChapCredentials& credentials, std::string_view which) {
  const std::string name(which);
  if (credentials.user.empty())
    return Error(ErrorCode::invalid_argument, name + " CHAP needs a user name");
  if (credentials.secret.reveal().size() < kMinChapSecretLength)
    return Error(ErrorCode::invalid_argument,
                 name + " CHAP secret is shorter than 12 bytes (RFC 7143 9.2.1)");
  return {};
}

Status check_limits(const ServerOptions& options) {
  const NegotiationLimits& limits = options.limits;
  for (const uint32_t length :
       {limits.max_recv_data_segment_length, limits.max_burst_length, limits.first_burst_length})
    if (length < 512 || length >= (1U << 24))
      return Error(ErrorCode::out_of_range, "iSCSI lengths go from 512 to 16777215 bytes");
  if (limits.max_outstanding_r2t == 0 || options.command_window == 0 ||
      options.command_window > 4096 || options.max_connections == 0 ||
      options.max_pending_logins == 0 || options.io_threads == 0 || options.io_threads > 64)
    return Error(ErrorCode::out_of_range, "an iSCSI limit is zero or too large");
  return {};
}

Status check_options(const ServerOptions& options) {
  TRY(check_limits(options));
  if (options.listen.empty()) return Error(ErrorCode::invalid_argument, "no listen address");
  if (options.chap) TRY(check_chap(*options.chap, "initiator"));
  if (options.mutual) {
    TRY(check_chap(*options.mutual, "mutual"));
    if (!options.chap)
      return Error(ErrorCode::invalid_argument, "mutual CHAP needs initiator CHAP too");
    // RFC 7143 9.2.1: one secret for both directions invites reflection.
    if (options.mutual->secret.reveal() == options.chap->secret.reveal())
      return Error(ErrorCode::invalid_argument, "both directions of CHAP use the same secret");
  }
  for (const std::string& text : options.listen) {
    ASSIGN_OR_RETURN(const tcp::endpoint endpoint, parse_endpoint(text));
    if (!endpoint.address().is_loopback() && !options.chap && !options.allow_unauthenticated)
      return Error(ErrorCode::permission,
                   "listening on " + text +
                       " needs CHAP credentials, or allow_unauthenticated = true: anybody who "
                       "reaches it could read and overwrite everything");
  }
  return {};
}

}  // namespace

class Server::Impl {
 public:
  Impl(ServerOptions options, Random& random) : core_(std::move(options), random) {}
  ~Impl() { stop(std::chrono::milliseconds(0)); }

  Status open(std::vector<TargetConfig> targets);
  Status add_target(TargetConfig config);
  Status remove_target(const std::string& iqn, std::chrono::milliseconds grace);
  void stop(std::chrono::milliseconds deadline);
  const std::vector<std::string>& endpoints() const { return endpoints_; }
  const ServerCore& core() const { return core_; }
  Traffic gone() const {
    const std::lock_guard lock(mutex_);
    return gone_;
  }
  SessionRegistry& registry() { return core_.registry; }
  size_t connection_count() const {
    const std::lock_guard lock(mutex_);
    return connections_.size();
  }

 private:
  struct IoThread {
    asio::io_context io{1};
    asio::executor_work_guard<asio::io_context::executor_type> work = asio::make_work_guard(io);
    std::thread thread;
    size_t connections = 0;  // under mutex_
  };

  Status listen(const std::string& text);
  void run_io(asio::io_context& io);
  Awaitable<void> accept_loop(size_t index);
  void take_connection(tcp::socket socket, IoThread& thread);
  IoThread& least_loaded();
  void drop_oldest_pending();
  void share_threads();
  void ended(Connection* connection);
  void logged_in(Connection* connection);
  std::vector<std::shared_ptr<Connection>> connections() const;

  ServerCore core_;
  std::vector<std::unique_ptr<IoThread>> io_threads_;
  std::vector<tcp::acceptor> acceptors_;  // on the first io thread
  std::vector<std::string> endpoints_;
  std::unique_ptr<asio::thread_pool> pool_;  // where logical units may block
  size_t pool_threads_ = 0;
  std::vector<std::thread> pool_helpers_;  // added for targets that came later

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool stopped_ = false;
  Traffic gone_;  // of targets that were removed
  struct Entry {
    std::shared_ptr<Connection> connection;
    IoThread* thread;
    std::list<Connection*>::iterator pending;
    bool is_pending;
  };
  std::unordered_map<Connection*, Entry> connections_;
  std::list<Connection*> pending_;  // not logged in, oldest first
};

Status Server::Impl::open(std::vector<TargetConfig> targets) {
  TRY(check_options(core_.options));
  for (const auto& [iqn, chap] : core_.options.target_chap) core_.registry.set_chap(iqn, chap);
  pool_threads_ = kMinPoolThreads;
  pool_ = std::make_unique<asio::thread_pool>(pool_threads_);
  for (TargetConfig& target : targets) TRY(add_target(std::move(target)));
  for (unsigned i = 0; i < core_.options.io_threads; ++i)
    io_threads_.push_back(std::make_unique<IoThread>());
  for (const std::string& text : core_.options.listen) TRY(listen(text));
  for (size_t i = 0; i < acceptors_.size(); ++i)
    asio::co_spawn(
        io_threads_.front()->io, [this, i] { return accept_loop(i); }, asio::detached);
  for (auto& thread : io_threads_)
    thread->thread = std::thread([this, &io = thread->io] { run_io(io); });
  return {};
}

Status Server::Impl::listen(const std::string& text) {
  ASSIGN_OR_RETURN(const tcp::endpoint endpoint, parse_endpoint(text));
  tcp::acceptor acceptor(io_threads_.front()->io);
  boost::system::error_code error;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error && endpoint.address().is_v6()) acceptor.set_option(asio::ip::v6_only(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(1024, error);
  if (error) return Error(ErrorCode::io, "listening on " + text + ": " + error.message());
  const tcp::endpoint bound = acceptor.local_endpoint(error);
  if (error) return Error(ErrorCode::io, "listening on " + text + ": " + error.message());
  endpoints_.push_back(to_text(bound));
  if (!bound.address().is_unspecified()) core_.portals.push_back(to_text(bound));
  acceptors_.push_back(std::move(acceptor));
  return {};
}

void Server::Impl::run_io(asio::io_context& io) {
  for (;;) {
    try {
      io.run();
      return;
    } catch (const std::exception& failure) {
      log_error("iscsi", "a handler threw", {{"what", failure.what()}});
    }
  }
}

Status Server::Impl::add_target(TargetConfig config) {
  const std::string iqn = normalize_name(config.iqn);
  if (!is_valid_name(iqn))
    return Error(ErrorCode::invalid_argument, "not an iSCSI name: " + config.iqn);
  if (!config.lun0) return Error(ErrorCode::invalid_argument, "target without a device: " + iqn);
  auto target = std::make_shared<Target>();
  target->iqn = iqn;
  target->alias = std::move(config.alias);
  const auto post = [this](std::function<void()> work) { asio::post(*pool_, std::move(work)); };
  const auto later = [this](int64_t ms, std::function<void()> work) -> std::function<void()> {
    auto timer = std::make_shared<asio::steady_timer>(*pool_, std::chrono::milliseconds(ms));
    timer->async_wait([timer, work = std::move(work)](boost::system::error_code cancelled) {
      if (!cancelled) work();
    });
    return [timer] { timer->cancel(); };
  };
  // What the queue, and so every session and command, holds: the last to let go tells.
  const auto last = std::make_shared<std::promise<void>>();
  target->unused = last->get_future().share();
  scsi::LogicalUnit* const unit = config.lun0.get();
  std::shared_ptr<scsi::LogicalUnit> used(
      unit, [owner = std::move(config.lun0), last](scsi::LogicalUnit*) mutable {
        owner.reset();
        last->set_value();
      });
  target->queue = std::make_shared<LuQueue>(std::move(used), post, later, &core_.clock);
  if (!core_.registry.add_target(std::move(target)))
    return Error(ErrorCode::exists, "there is a target of this name: " + iqn);
  share_threads();
  return {};
}

// A command that waits for a recall holds a thread. Every unit may hold as many as it can use; when
// that is too many for all of them, those that want most hold fewer, so that units that wait never
// take the last thread from one that could work.
void Server::Impl::share_threads() {
  const std::lock_guard lock(mutex_);
  const auto targets = core_.registry.targets();
  const size_t most = std::max<size_t>(core_.options.max_lu_threads, targets.size());
  const auto threads_of = [](const Target& target, unsigned share) {
    return std::clamp(target.queue->unit().concurrency(), 1U, share);
  };
  const auto all_with = [&](unsigned share) {
    size_t sum = 0;
    for (const auto& target : targets) sum += threads_of(*target, share);
    return sum;
  };
  unsigned share = 1;
  for (const auto& target : targets) share = std::max(share, target->queue->unit().concurrency());
  while (share > 1 && all_with(share) > most) --share;
  for (const auto& target : targets) target->queue->set_threads(threads_of(*target, share));
  while (!stopped_ && pool_threads_ < all_with(share)) {
    ++pool_threads_;
    pool_helpers_.emplace_back([this] { pool_->attach(); });
  }
}

Status Server::Impl::remove_target(const std::string& iqn, std::chrono::milliseconds grace) {
  // 1. No new session from here on: a login that is under way finds no target.
  auto target = core_.registry.remove_target(normalize_name(iqn));
  if (!target) return Error(ErrorCode::not_found, "no target " + iqn);
  share_threads();
  // 2. Those that there are log out, or are closed.
  for (const auto& session : core_.registry.sessions_of(*target)) {
    const auto peer = session->connection.lock();
    if (!peer) continue;
    if (grace.count() > 0)
      peer->post_logout_request(grace);
    else
      peer->post_close();
  }
  {
    const std::lock_guard lock(mutex_);
    gone_.add(target->queue->statistics());
  }
  // 3. Sessions, tasks and what the pool still has to do each hold the device.
  const std::shared_future<void> unused = target->unused;
  target.reset();
  if (unused.wait_for(grace + kLastCommandTime) != std::future_status::ready)
    return Error(ErrorCode::busy, "a command of " + iqn + " has not ended");
  return {};
}

Awaitable<void> Server::Impl::accept_loop(size_t index) {
  tcp::acceptor& acceptor = acceptors_[index];
  asio::steady_timer pause(io_threads_.front()->io);
  while (!core_.registry.stopping()) {
    IoThread& thread = least_loaded();
    auto [error, socket] =
        co_await acceptor.async_accept(thread.io, asio::as_tuple(asio::use_awaitable));
    if (core_.registry.stopping()) co_return;
    if (!error) {
      take_connection(std::move(socket), thread);
      continue;
    }
    // Out of descriptors, most likely: those who never logged in make room.
    log_warning("iscsi", "accept failed", {{"error", error.message()}});
    drop_oldest_pending();
    pause.expires_after(kAcceptRetryDelay);
    const auto [waited] = co_await pause.async_wait(asio::as_tuple(asio::use_awaitable));
    static_cast<void>(waited);
  }
}

Server::Impl::IoThread& Server::Impl::least_loaded() {
  const std::lock_guard lock(mutex_);
  return **std::min_element(
      io_threads_.begin(), io_threads_.end(),
      [](const auto& a, const auto& b) { return a->connections < b->connections; });
}

void Server::Impl::take_connection(tcp::socket socket, IoThread& thread) {
  bool crowded = false;
  {
    const std::lock_guard lock(mutex_);
    crowded = pending_.size() >= core_.options.max_pending_logins ||
              (connections_.size() >= core_.options.max_connections && !pending_.empty());
  }
  // A real login takes milliseconds: the oldest of many that do not is the right one to close.
  if (crowded) drop_oldest_pending();
  auto connection = std::make_shared<Connection>(
      core_, thread.io, std::move(socket), [this](Connection* c) { ended(c); },
      [this](Connection* c) { logged_in(c); });
  {
    const std::lock_guard lock(mutex_);
    if (stopped_ || connections_.size() >= core_.options.max_connections + pending_.size()) return;
    pending_.push_back(connection.get());
    connections_[connection.get()] = {connection, &thread, std::prev(pending_.end()), true};
    ++thread.connections;
  }
  connection->start();
}

void Server::Impl::drop_oldest_pending() {
  std::shared_ptr<Connection> oldest;
  {
    const std::lock_guard lock(mutex_);
    if (pending_.empty()) return;
    Entry& entry = connections_.at(pending_.front());
    oldest = entry.connection;
    pending_.erase(entry.pending);
    entry.is_pending = false;
  }
  oldest->post_close();
}

void Server::Impl::ended(Connection* connection) {
  std::shared_ptr<Connection> last;  // destroyed outside the lock
  const std::lock_guard lock(mutex_);
  const auto at = connections_.find(connection);
  if (at == connections_.end()) return;
  if (at->second.is_pending) pending_.erase(at->second.pending);
  --at->second.thread->connections;
  last = std::move(at->second.connection);
  connections_.erase(at);
  changed_.notify_all();
}

void Server::Impl::logged_in(Connection* connection) {
  const std::lock_guard lock(mutex_);
  const auto at = connections_.find(connection);
  if (at == connections_.end() || !at->second.is_pending) return;
  pending_.erase(at->second.pending);
  at->second.is_pending = false;
}

std::vector<std::shared_ptr<Connection>> Server::Impl::connections() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Connection>> out;
  for (const auto& [key, entry] : connections_) out.push_back(entry.connection);
  return out;
}

void Server::Impl::stop(std::chrono::milliseconds deadline) {
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) return;
    stopped_ = true;
  }
  // 1. Nothing new.
  core_.registry.set_stopping();
  const bool running = !io_threads_.empty() && io_threads_.front()->thread.joinable();
  if (running) {
    asio::post(io_threads_.front()->io, [this] {
      boost::system::error_code ignored;
      for (tcp::acceptor& acceptor : acceptors_) acceptor.close(ignored);
    });
    // 2. Ask, and wait for those who listen.
    if (deadline.count() > 0) {
      for (const auto& connection : connections()) connection->post_logout_request(deadline);
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, deadline, [this] { return connections_.empty(); });
    }
    // 3. Close the rest.
    for (const auto& connection : connections()) connection->post_close();
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return connections_.empty(); });
  }
  // 4. Commands under way come to their end: they see that they are aborted.
  if (pool_) pool_->join();
  for (std::thread& helper : pool_helpers_) helper.join();
  // 5. The io threads run out of work.
  for (auto& thread : io_threads_) {
    thread->work.reset();
    if (thread->thread.joinable()) thread->thread.join();
  }
  acceptors_.clear();
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() = default;

Result<std::unique_ptr<Server>> Server::start(ServerOptions options,
                                              std::vector<TargetConfig> targets, Random& random) {
  try {
    auto impl = std::make_unique<Impl>(std::move(options), random);
    TRY(impl->open(std::move(targets)));
    return std::unique_ptr<Server>(new Server(std::move(impl)));
  } catch (const std::exception& failure) {
    return Error(ErrorCode::internal, std::string("starting the iSCSI server: ") + failure.what());
  }
}

std::vector<std::string> Server::endpoints() const { return impl_->endpoints(); }
Status Server::add_target(TargetConfig target) { return impl_->add_target(std::move(target)); }
Status Server::remove_target(const std::string& iqn, std::chrono::milliseconds grace) {
  return impl_->remove_target(iqn, grace);
}
std::vector<UnitInfo> Server::units() const {
  std::vector<UnitInfo> out;
  for (const auto& target : impl_->core().registry.targets())
    out.push_back({target->iqn, target->queue->statistics()});
  return out;
}
Traffic Server::traffic() const {
  Traffic out = impl_->gone();
  for (const UnitInfo& unit : units()) out.add(unit.statistics);
  return out;
}

void Traffic::add(const scsi::UnitStatistics::Snapshot& unit) {
  const auto& read = unit[static_cast<size_t>(scsi::CommandKind::read)];
  const auto& write = unit[static_cast<size_t>(scsi::CommandKind::write)];
  reads += read.latency.count();
  read_bytes += read.bytes;
  read_ns += read.latency.total_ns;
  write_bytes += write.bytes;
  write_ns += write.latency.total_ns;
}

void Server::set_chap(const std::string& iqn, std::vector<TargetChap> chap) {
  impl_->registry().set_chap(iqn, std::move(chap));
}
size_t Server::connection_count() const { return impl_->connection_count(); }
uint64_t Server::data_out_bytes_held() const { return impl_->core().budget->used_bytes(); }
void Server::stop(std::chrono::milliseconds deadline) { impl_->stop(deadline); }

std::vector<SessionInfo> Server::sessions() const {
  std::vector<SessionInfo> out;
  for (const auto& session : impl_->core().registry.sessions()) {
    SessionInfo info;
    info.tsih = session->tsih;
    info.initiator_name = session->login.initiator_name;
    info.isid = to_hex(session->login.isid);
    info.target_name = session->login.target_name;
    info.peer = session->peer_address;
    info.header_digest = session->login.parameters.header_digest;
    info.data_digest = session->login.parameters.data_digest;
    info.commands = session->commands.load(std::memory_order_relaxed);
    info.bytes_received = session->bytes_received.load(std::memory_order_relaxed);
    info.bytes_sent = session->bytes_sent.load(std::memory_order_relaxed);
    out.push_back(std::move(info));
  }
  return out;
}

}  // namespace coldshelf::iscsi
