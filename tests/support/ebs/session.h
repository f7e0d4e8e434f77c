// One connection to the stand-in: requests in, answers out, with what goes wrong on the way. Runs
// on a strand of the server's threads; latency and hangs are timers and waits, not threads.
#pragma once

#include <array>
#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tests/support/ebs/faults.h"
#include "tests/support/ebs/service.h"

namespace coldshelf::test::ebs {

// What all connections share.
struct Shared {
  Shared(const EbsStandinOptions& options, Clock& clock) : service(options, clock) {}
  void reject(const Call& call, const Answer& answer);

  Service service;
  FaultPlan faults;
  std::atomic<int64_t> latency_ms{0};
  std::atomic<unsigned> hang_connections{0};
  std::array<std::atomic<uint64_t>, kEbsOperations> requests{};
  std::atomic<uint64_t> bytes_in{0};
  std::atomic<uint64_t> bytes_out{0};
  std::atomic<uint64_t> connections{0};
  std::atomic<uint64_t> under_way{0};
  std::atomic<uint64_t> peak{0};
  std::mutex mutex;
  std::vector<std::string> rejections;
};

class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(boost::asio::ip::tcp::socket socket, Shared& shared);
  static boost::asio::awaitable<void> run(std::shared_ptr<Session> self);

 private:
  template <typename T>
  using Awaitable = boost::asio::awaitable<T>;
  Awaitable<bool> serve_one();  // false: the connection ends
  Awaitable<bool> read_head(Call& call);
  Awaitable<bool> read_body(Call& call);
  Awaitable<bool> answer(Call& call, int64_t started_ns);
  Awaitable<bool> send(const Call& call, Answer answer);
  Awaitable<bool> write_all(std::vector<ByteView> pieces);
  Awaitable<void> hang();
  Answer respond(Call& call);
  EbsFault choose_fault(const Call& call);
  void reset();

  boost::asio::ip::tcp::socket socket_;
  Shared& shared_;
  std::string ahead_;  // received, not yet used
};

}  // namespace coldshelf::test::ebs
