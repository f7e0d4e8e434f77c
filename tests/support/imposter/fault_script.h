// Which request fails in which way: scripted, or by a seed: the same faults in the same places
// however threads interleave. Knows no service. Thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"

namespace coldshelf::test::imposter {

// FNV-1a over the seed and the text.
inline uint64_t hash_of(uint64_t seed, std::string_view text) {
  uint64_t h = 0xcbf29ce484222325U ^ (seed * 0x9e3779b97f4a7c15U);
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return h;
}

// Storm: {seed, one_in, faults}. `Operation::unknown` in a script: any.
template <typename Operation, typename Fault, typename Storm, size_t kFaults>
class FaultScript {
 public:
  void script(Operation operation, Fault fault, unsigned count, std::string key_part,
              unsigned skip) {
    const std::lock_guard lock(mutex_);
    script_.push_back({operation, fault, count, std::move(key_part), skip});
  }
  void set_storm(Storm storm) {
    const std::lock_guard lock(mutex_);
    storm_ = std::move(storm);
    asked_.clear();
  }
  void clear() {
    const std::lock_guard lock(mutex_);
    script_.clear();
    storm_ = {};
    asked_.clear();
  }
  // Counted as done. `what`: names the request for the storm; `possible(fault)`: whether it means
  // anything here.
  template <typename Possible>
  Fault choose(Operation operation, const std::string& key, const std::string& what,
               const Possible& possible) {
    const std::lock_guard lock(mutex_);
    Fault fault = from_script(operation, key, possible);
    if (fault == Fault::none) fault = from_storm(what, possible);
    ++done_[static_cast<size_t>(fault)];
    return fault;
  }
  uint64_t done(Fault fault) const {
    const std::lock_guard lock(mutex_);
    return done_[static_cast<size_t>(fault)];
  }
  uint64_t done() const {
    const std::lock_guard lock(mutex_);
    uint64_t sum = 0;
    for (size_t i = 1; i < kFaults; ++i) sum += done_[i];
    return sum;
  }
  void reset_counts() {
    const std::lock_guard lock(mutex_);
    done_.fill(0);
  }

 private:
  struct Scripted {
    Operation operation;
    Fault fault;
    unsigned count;
    std::string key_part;
    unsigned skip;
  };

  template <typename Possible>
  Fault from_script(Operation operation, const std::string& key, const Possible& possible) {
    for (auto it = script_.begin(); it != script_.end(); ++it) {
      if (it->operation != Operation::unknown && it->operation != operation) continue;
      if (!possible(it->fault)) continue;
      if (key.find(it->key_part) == std::string::npos) continue;
      if (it->skip > 0) {
        --it->skip;
        continue;
      }
      const Fault fault = it->fault;
      if (--it->count == 0) script_.erase(it);
      return fault;
    }
    return Fault::none;
  }

  template <typename Possible>
  Fault from_storm(const std::string& what, const Possible& possible) {
    if (storm_.one_in == 0) return Fault::none;
    SeededRandom random(hash_of(storm_.seed + asked_[what]++, what));
    if (!random.one_in(storm_.one_in)) return Fault::none;
    std::vector<Fault> all;
    for (const Fault fault : storm_.faults) {
      if (possible(fault)) all.push_back(fault);
    }
    return all.empty() ? Fault::none : all[random.below(all.size())];
  }

  mutable std::mutex mutex_;
  std::list<Scripted> script_;
  Storm storm_;
  std::map<std::string, uint64_t> asked_;  // storm: how often each request was
  std::array<uint64_t, kFaults> done_{};
};

}  // namespace coldshelf::test::imposter
