// How many transfers of one direction run at once. The limit follows what the store makes of it:
// more while that raises the throughput, fewer where fewer do as well, and half as many at once
// when the store says that it has too much to do. Plain code on a clock; thread-safe.
#pragma once

#include <cstdint>
#include <mutex>

#include "base/clock.h"
#include "base/result.h"

namespace coldshelf {

struct GovernorOptions {
  unsigned maximum = 16;
  unsigned initial = 4;             // at most `maximum`
  int64_t window_ms = 1'000;        // a judgement takes at least this long and as many transfers
  unsigned window_transfers = 4;    // as this, or as run at once
  int64_t cool_down_ms = 5'000;     // after a decrease nothing is tried for so long
  int64_t probe_every_ms = 20'000;  // a limit that has proved itself is put to the test after this
  int64_t ceiling_ms = 60'000;      // what was too much is not tried again for so long
};

class TransferGovernor {
 public:
  TransferGovernor(Clock& clock, GovernorOptions options);

  // A place for one transfer, or none now. Whoever got one calls finish() or abandon().
  bool try_begin();
  // `duration_ns`: of this transfer. Bytes that did not arrive are not counted.
  void finish(uint64_t bytes, int64_t duration_ns);
  void abandon();  // there was nothing to transfer
  // The store refused something, or did not answer, for having too much to do.
  void overloaded();

  unsigned limit() const;
  unsigned active() const;
  unsigned maximum() const { return options_.maximum; }

 private:
  enum class Probe { none, up, down };
  struct Window {
    int64_t began_ns = 0;
    uint64_t bytes = 0;
    unsigned transfers = 0;
    int64_t busy_ns = 0;     // sum of the durations
    bool saturated = false;  // somebody asked for a place and got none
  };
  void judge(int64_t now_ns);
  void judge_probe(double rate, int64_t now_ns);
  void begin_probe(double rate, Probe direction);
  void end_probe(Probe next, int64_t now_ns, int64_t pause_ms);
  void open_window(int64_t now_ns);
  unsigned highest(int64_t now_ns) const;

  Clock& clock_;
  const GovernorOptions options_;
  mutable std::mutex mutex_;
  unsigned limit_;
  unsigned active_ = 0;
  Window window_;
  double last_rate_ = 0;         // bytes per second of the last window
  double best_ns_per_byte_ = 0;  // of a transfer when the store was not crowded
  Probe probe_ = Probe::none;    // what the window that is open tries out
  Probe next_probe_ = Probe::up;
  double rate_before_ = 0;  // before the probe
  unsigned limit_before_ = 0;
  unsigned step_ = 1;  // of a raise; doubles while raises pay, as in a slow start
  int64_t next_probe_ns_ = 0;
  unsigned ceiling_ = 0;  // below what was too much
  int64_t ceiling_until_ns_ = 0;
  int64_t deaf_until_ns_ = 0;  // complaints about what was begun before the last decrease
};

// Whether an error says that the store has too much to do or does not answer.
bool is_overload(const Error& error);

}  // namespace coldshelf
