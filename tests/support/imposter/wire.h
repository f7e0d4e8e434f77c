// One connection's bytes: requests in, answers out, with what goes wrong on the way. Blocking; a
// thread each.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string>

#include "base/clock.h"
#include "tests/support/imposter/message.h"

namespace coldshelf::test::imposter {

// Ends every wait of the server's threads.
class StopSign {
 public:
  void stop();
  bool stopped() const { return stopped_; }
  void wait_ms(int64_t ms);  // or until stopped

 private:
  std::atomic<bool> stopped_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
};

// Bytes per second over all connections.
class Throttle {
 public:
  explicit Throttle(StopSign& stop) : stop_(stop) {}
  void set(uint64_t bytes_per_s);
  void take(uint64_t bytes);
  bool limited() const { return bytes_per_s_ != 0; }

 private:
  StopSign& stop_;
  SystemClock clock_;
  std::mutex mutex_;
  std::atomic<uint64_t> bytes_per_s_{0};
  int64_t free_at_ns_ = 0;
};

class Wire {
 public:
  Wire(int fd, StopSign& stop, Throttle& in, Throttle& out, uint64_t slow_bytes_per_s);
  ~Wire();  // closes
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  enum class Read { ok, closed, malformed };
  // The head of the next request, unparsed target in `target`.
  Read read_head(Request& request, std::string& target);
  // The body, without its transfer coding. `limit`: reads that many bytes at most and stops (for
  // a reset in the middle).
  Read read_body(Request& request, uint64_t limit, uint64_t& bytes);
  bool send_continue();
  // False: the connection is to be closed.
  bool send(const Response& response, S3Fault fault, int64_t now_ms, uint64_t& bytes);
  void reset();      // RST
  void hang();       // until the peer goes or the server stops
  void interrupt();  // from another thread: every call ends soon

 private:
  bool fill();  // more bytes into ahead_
  bool receive(MutableBytes out);
  Read read_chunked(Buffer& out, uint64_t limit);
  bool write_all(ByteView bytes, bool more = false);
  void close();
  bool send_body(const Response& response, S3Fault fault, uint64_t& bytes);

  std::mutex closing_;  // fd_ is closed under it, so that interrupt() never meets another's
  int fd_;
  StopSign& stop_;
  Throttle& in_;
  Throttle& out_;
  const uint64_t slow_bytes_per_s_;
  std::string ahead_;  // received, not yet used
};

}  // namespace coldshelf::test::imposter
