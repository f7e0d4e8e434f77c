#include "tests/support/ebs_standin.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <thread>

#include "tests/support/ebs/session.h"

namespace coldshelf::test {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

class EbsStandin::Impl {
 public:
  explicit Impl(EbsStandinOptions options)
      : options_(std::move(options)),
        shared_(options_, options_.clock != nullptr ? *options_.clock : system_clock_),
        acceptor_(io_) {
    shared_.latency_ms = options_.latency_ms;
  }
  ~Impl() {
    io_.stop();
    for (std::thread& thread : threads_) thread.join();
  }
  Status listen();

 private:
  friend class EbsStandin;
  asio::awaitable<void> accept_loop();

  const EbsStandinOptions options_;
  SystemClock system_clock_;
  ebs::Shared shared_;
  asio::io_context io_;  // sessions end with it, before what they use
  tcp::acceptor acceptor_;
  uint16_t port_ = 0;
  std::vector<std::thread> threads_;
};

Status EbsStandin::Impl::listen() {
  const tcp::endpoint endpoint(asio::ip::address_v4::loopback(), options_.port);
  error_code error;
  acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(1024, error);
  if (error) {
    return Error(ErrorCode::io,
                 "listen on port " + std::to_string(options_.port) + ": " + error.message());
  }
  port_ = acceptor_.local_endpoint().port();
  asio::co_spawn(io_, accept_loop(), asio::detached);
  for (unsigned i = 0; i < std::max(1U, options_.threads); ++i) {
    threads_.emplace_back([this] { io_.run(); });
  }
  return {};
}

asio::awaitable<void> EbsStandin::Impl::accept_loop() {
  while (acceptor_.is_open()) {
    error_code error;
    auto strand = asio::make_strand(io_);
    tcp::socket socket =
        co_await acceptor_.async_accept(strand, asio::redirect_error(asio::use_awaitable, error));
    if (error) continue;
    socket.set_option(tcp::no_delay(true), error);
    ++shared_.connections;
    auto session = std::make_shared<ebs::Session>(std::move(socket), shared_);
    asio::co_spawn(strand, ebs::Session::run(std::move(session)), asio::detached);
  }
}

Result<std::unique_ptr<EbsStandin>> EbsStandin::start(EbsStandinOptions options) {
  CHECK(!options.accounts.empty() && !options.regions.empty());
  auto impl = std::make_unique<Impl>(std::move(options));
  TRY(impl->listen());
  return std::unique_ptr<EbsStandin>(new EbsStandin(std::move(impl)));
}

EbsStandin::EbsStandin(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
EbsStandin::~EbsStandin() = default;

uint16_t EbsStandin::port() const { return impl_->port_; }
std::string EbsStandin::endpoint() const {
  return "http://127.0.0.1:" + std::to_string(impl_->port_);
}

std::string EbsStandin::make_volume(const EbsVolumeSpec& spec, const EbsPlace& place) {
  return impl_->shared_.service.make_volume(spec, place);
}
void EbsStandin::write_pattern(const std::string& volume, uint64_t first, uint64_t count,
                               uint64_t seed, EbsPattern pattern) {
  impl_->shared_.service.change(volume, first, count, ebs::Service::Change::pattern, seed, pattern);
}
void EbsStandin::write_zeros(const std::string& volume, uint64_t first, uint64_t count) {
  impl_->shared_.service.change(volume, first, count, ebs::Service::Change::zeros, 0,
                                EbsPattern::mixed);
}
void EbsStandin::write_block(const std::string& volume, uint64_t index, ByteView bytes) {
  impl_->shared_.service.write_block(volume, index, bytes);
}
void EbsStandin::trim(const std::string& volume, uint64_t first, uint64_t count) {
  impl_->shared_.service.change(volume, first, count, ebs::Service::Change::trim, 0,
                                EbsPattern::mixed);
}
void EbsStandin::grow_volume(const std::string& volume, uint64_t size_gib) {
  impl_->shared_.service.grow_volume(volume, size_gib);
}

void EbsStandin::touch(const std::string& volume, uint64_t first, uint64_t count) {
  impl_->shared_.service.change(volume, first, count, ebs::Service::Change::touch, 0,
                                EbsPattern::mixed);
}
std::string EbsStandin::make_snapshot(const std::string& volume, const EbsTags& tags) {
  return impl_->shared_.service.make_snapshot(volume, tags);
}
std::string EbsStandin::make_instance(const std::vector<std::string>& volumes,
                                      const EbsTags& tags) {
  return impl_->shared_.service.make_instance(volumes, tags);
}
void EbsStandin::set_tags(const std::string& resource, const EbsTags& tags) {
  impl_->shared_.service.set_tags(resource, tags);
}
void EbsStandin::add_role(const std::string& arn, const std::vector<std::string>& trusted,
                          const std::string& external_id) {
  impl_->shared_.service.add_role(arn, trusted, external_id);
}
void EbsStandin::archive_snapshot(const std::string& snapshot) {
  impl_->shared_.service.archive_snapshot(snapshot);
}
void EbsStandin::expire_key(const std::string& access_key) {
  impl_->shared_.service.expire_key(access_key);
}

std::optional<Buffer> EbsStandin::snapshot_block(const std::string& snapshot,
                                                 uint64_t index) const {
  return impl_->shared_.service.snapshot_block(snapshot, index);
}
std::vector<uint64_t> EbsStandin::snapshot_blocks(const std::string& snapshot) const {
  return impl_->shared_.service.snapshot_blocks(snapshot);
}
Buffer EbsStandin::volume_block(const std::string& volume, uint64_t index) const {
  return impl_->shared_.service.volume_block(volume, index);
}
std::vector<EbsSnapshotInfo> EbsStandin::snapshots() const {
  return impl_->shared_.service.snapshots();
}
std::optional<EbsSnapshotInfo> EbsStandin::snapshot(const std::string& id) const {
  for (EbsSnapshotInfo& info : impl_->shared_.service.snapshots()) {
    if (info.id == id) return std::move(info);
  }
  return std::nullopt;
}
std::vector<EbsVolumeInfo> EbsStandin::volumes() const { return impl_->shared_.service.volumes(); }
std::vector<EbsImageInfo> EbsStandin::images() const { return impl_->shared_.service.images(); }
std::vector<EbsMessage> EbsStandin::messages() const { return impl_->shared_.service.messages(); }

void EbsStandin::fail_next(EbsOperation operation, EbsFault fault, unsigned count,
                           std::string key_part, unsigned skip) {
  impl_->shared_.faults.script(operation, fault, count, std::move(key_part), skip);
}
void EbsStandin::set_storm(EbsStorm storm) { impl_->shared_.faults.set_storm(std::move(storm)); }
void EbsStandin::hang_next_connections(unsigned count) { impl_->shared_.hang_connections = count; }
void EbsStandin::clear_faults() {
  impl_->shared_.faults.clear();
  impl_->shared_.hang_connections = 0;
}
void EbsStandin::set_latency_ms(int64_t ms) { impl_->shared_.latency_ms = ms; }
void EbsStandin::set_limits(const EbsLimits& limits) { impl_->shared_.service.set_limits(limits); }

uint64_t EbsStandin::requests(EbsOperation operation) const {
  return impl_->shared_.requests[static_cast<size_t>(operation)];
}
uint64_t EbsStandin::requests() const {
  uint64_t sum = 0;
  for (const auto& count : impl_->shared_.requests) sum += count;
  return sum;
}
uint64_t EbsStandin::throttled() const { return impl_->shared_.service.throttled(); }
uint64_t EbsStandin::faults_done(EbsFault fault) const { return impl_->shared_.faults.done(fault); }
uint64_t EbsStandin::faults_done() const { return impl_->shared_.faults.done(); }
uint64_t EbsStandin::bytes_in() const { return impl_->shared_.bytes_in; }
uint64_t EbsStandin::bytes_out() const { return impl_->shared_.bytes_out; }
uint64_t EbsStandin::connections() const { return impl_->shared_.connections; }
uint64_t EbsStandin::peak_requests_under_way() const { return impl_->shared_.peak; }
void EbsStandin::reset_counts() {
  for (auto& count : impl_->shared_.requests) count = 0;
  impl_->shared_.faults.reset_counts();
  impl_->shared_.bytes_in = 0;
  impl_->shared_.bytes_out = 0;
  impl_->shared_.connections = 0;
  impl_->shared_.peak = impl_->shared_.under_way.load();
}
std::vector<std::string> EbsStandin::rejections() const {
  const std::lock_guard lock(impl_->shared_.mutex);
  return impl_->shared_.rejections;
}

}  // namespace coldshelf::test
