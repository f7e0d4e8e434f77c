// The tapes that a store holds, whoever owns them: one look at the store at a time, however many
// ask.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "uploader/bucket_scan.h"

namespace coldshelf {

struct SurveyedTape {
  std::string barcode;
  Uuid uuid;
  Owner owner;
  std::string medium, pool, status, archived_at;  // as its manifest says
  uint64_t capacity_bytes = 0, plain_bytes = 0, stored_bytes = 0;
};
// Sorted by barcode. Cartridges whose manifest or owner cannot be read are left out: `store verify`
// tells of them.
using SurveyedTapes = std::shared_ptr<const std::vector<SurveyedTape>>;

class BucketSurvey {
 public:
  BucketSurvey(ObjectStore& store, Clock& clock) : store_(store), clock_(clock) {}

  // What a look begun now finds, or one that goes on already. With `max_age_ms` also one that ended
  // no longer ago: the further pages of a list need not each read all of the store. Thread-safe.
  Result<SurveyedTapes> tapes(int64_t max_age_ms = 0);

 private:
  struct Look {
    bool done = false;
    int64_t ended_ns = 0;
    Result<SurveyedTapes> found = SurveyedTapes();
  };
  Result<SurveyedTapes> look();

  ObjectStore& store_;
  Clock& clock_;
  std::mutex mutex_;
  std::condition_variable ended_;
  std::shared_ptr<Look> latest_;
};

}  // namespace coldshelf
