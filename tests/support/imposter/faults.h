// Which request fails in which way: scripted, or by a seed. Thread-safe.
#pragma once

#include <array>
#include <list>
#include <map>
#include <mutex>
#include <string>

#include "tests/support/imposter/message.h"

namespace coldshelf::test::imposter {

class FaultPlan {
 public:
  void script(S3Operation operation, S3Fault fault, unsigned count, std::string key_part,
              unsigned skip);
  void set_storm(ImposterStorm storm);
  void clear();
  // Of this request; counted as done.
  S3Fault choose(const Request& request);
  uint64_t done(S3Fault fault) const;
  uint64_t done() const;
  void reset_counts();

 private:
  struct Scripted {
    S3Operation operation;
    S3Fault fault;
    unsigned count;
    std::string key_part;
    unsigned skip;
  };
  S3Fault from_script(const Request& request);
  S3Fault from_storm(const Request& request);

  mutable std::mutex mutex_;
  std::list<Scripted> script_;
  ImposterStorm storm_;
  std::map<std::string, uint64_t> asked_;  // storm: how often each key was
  std::array<uint64_t, kS3Faults> done_{};
};

}  // namespace coldshelf::test::imposter
