#include "tests/support/imposter/faults.h"

#include <algorithm>

#include "base/random.h"

namespace coldshelf::test {

namespace {

constexpr std::array<std::string_view, kS3Operations> kOperationNames = {
    "list_buckets",     "create_bucket",  "head_bucket",      "delete_bucket",
    "bucket_setting",   "put_object",     "get_object",       "head_object",
    "delete_object",    "delete_objects", "copy_object",      "list_objects",
    "create_multipart", "upload_part",    "upload_part_copy", "complete_multipart",
    "abort_multipart",  "list_multipart", "list_parts",       "restore_object",
    "put_lock",         "get_lock",       "unknown"};

constexpr std::array<std::string_view, kS3Faults> kFaultNames = {"none",
                                                                 "internal_error",
                                                                 "done_internal_error",
                                                                 "unavailable",
                                                                 "slow_down",
                                                                 "bare_503",
                                                                 "request_timeout",
                                                                 "expired_token",
                                                                 "conditional_conflict",
                                                                 "expedited_unavailable",
                                                                 "hang_before_answer",
                                                                 "hang_after_headers",
                                                                 "slow_body",
                                                                 "truncated_body",
                                                                 "corrupted_body",
                                                                 "reset_download",
                                                                 "reset_upload",
                                                                 "corrupted_upload",
                                                                 "lost_answer",
                                                                 "error_in_200",
                                                                 "wrong_etag",
                                                                 "garbled_xml"};

bool sends_content(S3Operation operation) {
  return operation == S3Operation::put_object || operation == S3Operation::upload_part;
}

bool answers_xml(S3Operation operation) {
  switch (operation) {
    case S3Operation::delete_objects:
    case S3Operation::copy_object:
    case S3Operation::list_objects:
    case S3Operation::create_multipart:
    case S3Operation::upload_part_copy:
    case S3Operation::complete_multipart:
    case S3Operation::list_multipart:
    case S3Operation::list_parts:
    case S3Operation::get_lock:
      return true;
    default:
      return false;
  }
}

}  // namespace

std::string_view to_string(S3Operation operation) {
  return kOperationNames[static_cast<size_t>(operation)];
}

std::string_view to_string(S3Fault fault) { return kFaultNames[static_cast<size_t>(fault)]; }

std::optional<S3Fault> parse_s3_fault(std::string_view name) {
  for (size_t i = 0; i < kS3Faults; ++i) {
    if (kFaultNames[i] == name) return static_cast<S3Fault>(i);
  }
  return std::nullopt;
}

std::vector<S3Fault> all_s3_faults() {
  std::vector<S3Fault> all;
  for (size_t i = 1; i < kS3Faults; ++i) all.push_back(static_cast<S3Fault>(i));
  return all;
}

bool applies(S3Fault fault, S3Operation operation) {
  switch (fault) {
    case S3Fault::none:
      return false;
    case S3Fault::conditional_conflict:
      return operation == S3Operation::put_object || operation == S3Operation::complete_multipart;
    case S3Fault::expedited_unavailable:
      return operation == S3Operation::restore_object;
    case S3Fault::hang_after_headers:
    case S3Fault::slow_body:
    case S3Fault::truncated_body:
    case S3Fault::reset_download:
      return operation == S3Operation::get_object || answers_xml(operation);
    case S3Fault::corrupted_body:
      return operation == S3Operation::get_object;
    case S3Fault::reset_upload:
    case S3Fault::corrupted_upload:
    case S3Fault::wrong_etag:
      return sends_content(operation);
    case S3Fault::error_in_200:
      return operation == S3Operation::complete_multipart ||
             operation == S3Operation::copy_object || operation == S3Operation::upload_part_copy;
    case S3Fault::garbled_xml:
      return answers_xml(operation);
    default:
      return true;
  }
}

}  // namespace coldshelf::test

namespace coldshelf::test::imposter {

namespace {

bool means_something(S3Fault fault, const Request& request) {
  if (!applies(fault, request.operation)) return false;
  return fault != S3Fault::conditional_conflict || request.has_header("if-match") ||
         request.has_header("if-none-match");
}

uint64_t hash_of(uint64_t seed, std::string_view text) {  // FNV-1a over the seed and the text
  uint64_t h = 0xcbf29ce484222325U ^ (seed * 0x9e3779b97f4a7c15U);
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return h;
}

}  // namespace

void FaultPlan::script(S3Operation operation, S3Fault fault, unsigned count, std::string key_part,
                       unsigned skip) {
  const std::lock_guard lock(mutex_);
  script_.push_back({operation, fault, count, std::move(key_part), skip});
}

void FaultPlan::set_storm(ImposterStorm storm) {
  const std::lock_guard lock(mutex_);
  storm_ = std::move(storm);
  asked_.clear();
}

void FaultPlan::clear() {
  const std::lock_guard lock(mutex_);
  script_.clear();
  storm_ = {};
  asked_.clear();
}

S3Fault FaultPlan::from_script(const Request& request) {
  for (auto it = script_.begin(); it != script_.end(); ++it) {
    if (it->operation != S3Operation::unknown && it->operation != request.operation) continue;
    if (!means_something(it->fault, request)) continue;
    if (request.key.find(it->key_part) == std::string::npos) continue;
    if (it->skip > 0) {
      --it->skip;
      continue;
    }
    const S3Fault fault = it->fault;
    if (--it->count == 0) script_.erase(it);
    return fault;
  }
  return S3Fault::none;
}

S3Fault FaultPlan::from_storm(const Request& request) {
  if (storm_.one_in == 0) return S3Fault::none;
  const std::string what = std::string(to_string(request.operation)) + " " + request.bucket + "/" +
                           request.key + "?" + request.query_value("partNumber");
  SeededRandom random(hash_of(storm_.seed + asked_[what]++, what));
  if (!random.one_in(storm_.one_in)) return S3Fault::none;
  std::vector<S3Fault> possible;
  for (const S3Fault fault : storm_.faults) {
    if (means_something(fault, request)) possible.push_back(fault);
  }
  return possible.empty() ? S3Fault::none : possible[random.below(possible.size())];
}

S3Fault FaultPlan::choose(const Request& request) {
  const std::lock_guard lock(mutex_);
  S3Fault fault = from_script(request);
  if (fault == S3Fault::none) fault = from_storm(request);
  ++done_[static_cast<size_t>(fault)];
  return fault;
}

uint64_t FaultPlan::done(S3Fault fault) const {
  const std::lock_guard lock(mutex_);
  return done_[static_cast<size_t>(fault)];
}

uint64_t FaultPlan::done() const {
  const std::lock_guard lock(mutex_);
  uint64_t sum = 0;
  for (size_t i = 1; i < kS3Faults; ++i) sum += done_[i];
  return sum;
}

void FaultPlan::reset_counts() {
  const std::lock_guard lock(mutex_);
  done_.fill(0);
}

}  // namespace coldshelf::test::imposter
