// What drives have written and the store does not have yet, and the pace that keeps it within its
// limit: back-pressure that no initiator takes for an error. Thread-safe; knows no catalog and no
// store, so that a test drives it on a simulated clock.
//
// While the buffer is less than 70 % full writers go as fast as they can. From there on their pace
// is what the store has taken lately, twice that at first and nothing when the buffer is full: in
// between, at 85 %, what comes in is what goes out. A writer waits for a single command no longer
// than kLongestHoldMs, and at most kMostHoldMs when the limit is passed: a store that is gone does
// not end a backup at once.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <mutex>

#include "base/clock.h"
#include "base/uuid.h"

namespace coldshelf {

class UploadBuffer {
 public:
  static constexpr double kBeginsAt = 0.7;
  static constexpr int64_t kMeasureMs = 60'000;
  static constexpr int64_t kLongestHoldMs = 2'000;
  static constexpr int64_t kMostHoldMs = 10'000;

  UploadBuffer(Clock& clock, uint64_t limit_bytes)  // 0: no limit
      : clock_(clock), limit_bytes_(limit_bytes) {}

  // How long a writer of this cartridge should wait before its next record; 0: now.
  int64_t hold_ms(const Uuid& cartridge);
  // It wrote `bytes`; `unsealed_bytes` of it all are in segments that are not sealed yet.
  void wrote(const Uuid& cartridge, uint64_t bytes, uint64_t unsealed_bytes);
  // Of these, so many bytes are sealed now: whoever counts sealed segments has them.
  void sealed(const Uuid& cartridge, uint64_t stored_bytes);
  void closed(const Uuid& cartridge);
  // Sealed segments that the store has not confirmed: told again whenever that changes.
  void set_sealed_bytes(uint64_t bytes);

  struct View {
    uint64_t limit_bytes = 0;
    uint64_t bytes = 0;  // all that the store does not have
    bool slowing = false;
    uint64_t slowed_ms = 0;  // in all, with the time that goes on now
  };
  View view() const;
  uint64_t unsealed_bytes(const Uuid& cartridge) const;
  // Whether anything was written within the last `ms`.
  bool written_within(int64_t ms) const;

 private:
  struct Writer {
    uint64_t unsealed_bytes = 0;
    int64_t last_ns = 0;  // when it wrote
    int64_t next_ns = 0;  // when it may write again
  };
  uint64_t bytes() const;  // the rest: under the lock
  void judge(int64_t now_ns);
  void drained(uint64_t bytes, int64_t now_ns);
  double drain_rate(int64_t now_ns) const;  // bytes per second
  double rate(int64_t now_ns) const;        // of one writer
  int64_t longest_hold_ms() const;

  Clock& clock_;
  const uint64_t limit_bytes_;
  mutable std::mutex mutex_;
  std::map<Uuid, Writer> writers_;  // as many as cartridges are written
  uint64_t sealed_bytes_ = 0;
  uint64_t unsealed_bytes_ = 0;  // of all writers
  struct Drain {
    int64_t at_ns = 0;
    uint64_t bytes = 0;
  };
  std::deque<Drain> drains_;   // of the last kMeasureMs, at most one a second
  int64_t busy_since_ns_ = 0;  // the store has had something to take since then
  int64_t last_write_ns_ = INT64_MIN / 2;
  bool slowing_ = false;
  int64_t slowing_since_ns_ = 0;
  uint64_t slowed_ms_ = 0;  // before that
};

}  // namespace coldshelf
