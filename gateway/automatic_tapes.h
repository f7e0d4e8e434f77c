// Automatic tape creation: rules that keep so many blank tapes of a prefix in the library. Kept in
// the catalog; looked after by a thread of its own. Thread-safe. Plain code: a test calls tick().
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "gateway/tape_service.h"

namespace coldshelf {

struct TapeCreationRule {
  std::string prefix;  // 1 to 4 of A-Z
  std::string pool;
  uint64_t size_bytes = 0;
  unsigned minimum = 1;  // 1 to 10
  bool worm = false;
};

class AutomaticTapes {
 public:
  static constexpr size_t kMaxRules = 10;
  static constexpr unsigned kMaxMinimum = 10;

  AutomaticTapes(Catalog& catalog, TapeService& tapes) : catalog_(catalog), tapes_(tapes) {}
  ~AutomaticTapes();  // stop()

  void start();
  void stop();

  Result<std::vector<TapeCreationRule>> rules();
  // All of them; invalid_argument, out_of_range, not_found (the pool). None: no more tapes are
  // made.
  Status set_rules(const std::vector<TapeCreationRule>& rules);
  // Makes what is missing; gives how many. A tape counts while it is AVAILABLE and nothing was
  // written to it.
  Result<unsigned> tick();
  std::string problem() const;  // why the last tick() failed; "": it did not

 private:
  Status check(const std::vector<TapeCreationRule>& rules);
  Result<unsigned> blank_tapes(const TapeCreationRule& rule);
  Result<unsigned> fill(const TapeCreationRule& rule);

  Catalog& catalog_;
  TapeService& tapes_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::string problem_;
  bool stopping_ = false, woken_ = false;
  std::mutex ticks_;  // one at a time
  std::thread thread_;
};

}  // namespace coldshelf
