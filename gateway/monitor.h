// Looks at the gateway every few seconds: keeps what metrics need over a while (I/O wait, cache
// hits), and lets the alarms judge what it sees. Plain code: a test calls tick(), the daemon
// start().
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "base/clock.h"
#include "base/host_load.h"
#include "gateway/alarm_rules.h"
#include "tape/library/library.h"
#include "uploader/ownership.h"

namespace coldshelf {

class Monitor {
 public:
  struct Env {
    Clock* clock = nullptr;
    FileSystem* files = nullptr;
    Catalog* catalog = nullptr;
    Shelf* shelf = nullptr;
    Library* library = nullptr;         // may be null
    Ownership* ownership = nullptr;     // may be null
    std::shared_ptr<StoreMeter> meter;  // may be null
    const Config* config = nullptr;
    std::function<Status()> health;          // of the data directory
    std::function<uint64_t()> reads;         // commands of initiators; null: none are counted
    std::function<Result<HostLoad>()> host;  // read_host_load, but in tests
    // Unix time; null, or none: there is no certificate.
    std::function<std::optional<int64_t>()> certificate_expires_ms;
    std::function<std::vector<std::pair<std::string, std::string>>()> volume_problems;
    std::function<std::vector<std::pair<std::string, std::string>>()> schedule_problems;
    // Told of every alarm raised and over, on the monitor's thread.
    std::function<void(const Alarm&)> notify;
  };
  static constexpr int64_t kIntervalMs = 5'000;
  static constexpr int64_t kWindowMs = 60'000;  // of what is told "over a while"

  explicit Monitor(Env env);
  ~Monitor();

  Status open();  // takes up the alarms that were on
  void start();
  void stop();
  void tick();  // one look

  Alarms& alarms() { return alarms_; }
  StorageLoad storage() const;
  struct Recent {
    double io_wait_percent = 0, user_cpu_percent = 0;
    // Of initiators' reads, those that did not wait for the store. None: nothing was read.
    std::optional<double> cache_hit_percent;
    HostLoad host;  // of the last look
  };
  Recent recent() const;

 private:
  struct Sample {
    int64_t at_ms = 0;
    HostLoad host;
    uint64_t reads = 0, waited = 0;
  };
  void sample();
  GatewayState look();
  void save();
  void tell(const Alarm& alarm);

  const Env env_;
  Alarms alarms_;
  std::string saved_;  // by tick() alone
  mutable std::mutex mutex_;
  std::deque<Sample> samples_;  // of the last kWindowMs
  std::condition_variable wake_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace coldshelf
