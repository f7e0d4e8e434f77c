// Alarms: conditions that somebody should know of, each with the time it must last before it is
// raised and before it is over, so that what flickers does not ring. Plain code: whoever observes
// says when; a test moves the time. Thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace coldshelf {

enum class AlarmSeverity { warning, critical };
std::string_view to_string(AlarmSeverity severity);  // "warning"

struct AlarmRule {
  std::string name;  // "cache_dirty"
  AlarmSeverity severity = AlarmSeverity::warning;
  std::string help;  // what it means and what to do
  int64_t raise_after_ms = 0;
  int64_t clear_after_ms = 0;
  std::string raised_when = {};  // "80 % of the cache are not in the store"
  std::string over_when = {};
};

// One look at one condition. `unclear`: between the two thresholds; a raised alarm stays, one that
// is not does not begin.
enum class Condition { good, unclear, bad };
struct Observation {
  std::string alarm;    // the rule's name
  std::string subject;  // "tape ABC001L8"; empty: the gateway
  Condition condition = Condition::good;
  std::string detail;  // the numbers, for a person
};

struct Alarm {
  std::string name, subject, detail, help;
  AlarmSeverity severity = AlarmSeverity::warning;
  int64_t raised_ms = 0;      // unix time
  int64_t cleared_ms = 0;     // 0: it is on
  bool acknowledged = false;  // somebody knows
  bool active() const { return cleared_ms == 0; }
};

class Alarms {
 public:
  static constexpr size_t kMostActive = 1'000;
  static constexpr size_t kHistory = 500;
  using Listener = std::function<void(const Alarm&)>;

  // `listener` is told of each alarm raised and each one over, without the lock.
  Alarms(std::vector<AlarmRule> rules, Listener listener);

  // A round of looks at `now_ms` (unix time). What was raised or pending and is not among them is
  // taken for good: the tape or the drive is gone.
  void observe(const std::vector<Observation>& round, int64_t now_ms);
  std::vector<Alarm> active() const;   // critical ones first, then the oldest
  std::vector<Alarm> history() const;  // those that are over, newest first
  std::vector<AlarmRule> rules() const { return rules_; }
  // not_found: no such alarm is on.
  Status acknowledge(const std::string& name, const std::string& subject);

  // What a restart needs so that it does not ring again for what was known: JSON.
  std::string save() const;
  Status load(std::string_view saved);

 private:
  using Key = std::pair<std::string, std::string>;  // name, subject
  struct State {
    std::optional<Alarm> raised;
    int64_t bad_since_ms = 0;   // 0: not bad
    int64_t good_since_ms = 0;  // of a raised one; 0: not good
  };
  const AlarmRule* rule(const std::string& name) const;
  void judge(State& state, const AlarmRule& rule, const Observation& seen, int64_t now_ms,
             std::vector<Alarm>& told);

  const std::vector<AlarmRule> rules_;
  const Listener listener_;
  mutable std::mutex mutex_;
  std::map<Key, State> states_;
  std::deque<Alarm> history_;  // newest first
};

}  // namespace coldshelf
