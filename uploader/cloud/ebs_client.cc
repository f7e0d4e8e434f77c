#include "uploader/cloud/ebs_client.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/log.h"

namespace coldshelf {

namespace {

using Json = nlohmann::json;

constexpr int64_t kFirstPauseMs = 100;
constexpr int64_t kLongestPauseMs = 10'000;
constexpr int64_t kLookMs = 200;       // how often a wait looks whether it is to end
constexpr unsigned kDamagedTries = 6;  // of what comes damaged
constexpr uint64_t kMaxPageBytes = 16 * MiB;
constexpr uint64_t kMaxAnswerBytes = 256 * KiB;

std::string string_of(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

Error malformed(const std::string& what, const std::string& why) {
  return Error(ErrorCode::corrupt, "EBS " + what + ": the answer makes no sense: " + why);
}

Status read_entries(const Json& json, bool changed, const std::string& what, EbsPage& page) {
  const auto list = json.find(changed ? "ChangedBlocks" : "Blocks");
  if (list == json.end() || list->is_null()) return {};
  if (!list->is_array()) return malformed(what, "no list of blocks");
  page.entries.reserve(list->size());
  int64_t last = -1;
  for (const Json& item : *list) {
    if (!item.is_object()) return malformed(what, "a block that is none");
    const auto index = item.find("BlockIndex");
    if (index == item.end() || !index->is_number_integer()) return malformed(what, "no index");
    const auto number = index->get<int64_t>();
    if (number <= last || number > INT32_MAX) return malformed(what, "indexes out of order");
    last = number;
    // Of a changed block, no second token says that it is not in the second snapshot.
    EbsEntry entry{static_cast<uint32_t>(number),
                   string_of(item, changed ? "SecondBlockToken" : "BlockToken")};
    if (!changed && entry.token.empty()) return malformed(what, "a block without a token");
    page.entries.push_back(std::move(entry));
  }
  return {};
}

}  // namespace

bool is_snapshot_id(std::string_view text) {
  if (!text.starts_with("snap-") || text.size() < 6 || text.size() > 5 + 32) return false;
  return std::all_of(text.begin() + 5, text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

EbsClient::EbsClient(Options options, std::shared_ptr<Clock> clock,
                     std::shared_ptr<HttpTransport> transport,
                     std::shared_ptr<CredentialsProvider> credentials,
                     std::shared_ptr<EbsPace> pace, std::shared_ptr<const std::atomic<bool>> stop)
    : options_(std::move(options)),
      clock_(clock),
      service_({"ebs", options_.region, options_.endpoint}, clock, std::move(transport),
               std::move(credentials)),
      pace_(std::move(pace)),
      stop_(std::move(stop)),
      window_(options_.window) {}

Status EbsClient::wait_until(int64_t monotonic_ns) {
  while (true) {  // ends: time goes on
    if (stop_ != nullptr && *stop_) return Error(ErrorCode::cancelled, "EBS: told to stop");
    const int64_t left_ms = (monotonic_ns - clock_->monotonic_ns() + 999'999) / 1'000'000;
    if (left_ms <= 0) return {};
    clock_->sleep_ms(std::min(left_ms, kLookMs));
  }
}

Status EbsClient::wait_ms(int64_t ms) {
  return wait_until(clock_->monotonic_ns() + ms * 1'000'000);
}

// One attempt. An answer that is no success comes back with `fault`.
Result<HttpResponse> EbsClient::once(const Plan& plan, std::optional<EbsFault>& fault,
                                     AwsService::Remedies& remedies) {
  using Outcome = InFlightWindow::Outcome;
  fault.reset();
  TRY(wait_until(
      pace_->reserve(plan.action, options_.account, plan.snapshot, clock_->monotonic_ns())));
  window_.enter();
  ++counters_.requests;
  auto answer = service_.send(plan.call);
  const int64_t now = clock_->monotonic_ns();
  if (!answer.ok()) {
    window_.leave(Outcome::overloaded, now);
    ++counters_.failed;
    return answer;
  }
  if (answer->status == plan.good_status) {
    window_.leave(Outcome::good, now);
    return answer;
  }
  fault = read_ebs_fault(*answer);
  window_.leave(fault->again() ? Outcome::overloaded : Outcome::other, now);
  if (fault->kind == EbsFault::Kind::throttled) {
    ++counters_.throttled;
    const auto whose = fault->whose_account    ? EbsPace::Whose::account
                       : fault->whose_snapshot ? EbsPace::Whose::snapshot
                                               : EbsPace::Whose::unknown;
    pace_->refused(plan.action, options_.account, plan.snapshot, whose, now);
  } else if (fault->kind == EbsFault::Kind::server) {
    ++counters_.failed;
  } else if (service_.put_right(fault->name, *answer, remedies)) {
    fault->kind = EbsFault::Kind::server;  // put right: again
  }
  return answer;
}

Result<HttpResponse> EbsClient::run(const Plan& plan) {
  const int64_t begun_ns = clock_->monotonic_ns();
  AwsService::Remedies remedies;
  for (unsigned attempt = 0;; ++attempt) {  // ends with the patience
    std::optional<EbsFault> fault;
    auto answer = once(plan, fault, remedies);
    if (answer.ok() && !fault) return answer;
    Error error = answer.ok()
                      ? error_of(*fault, "EBS " + plan.what, answer->status)
                      : Error(answer.error().code, plan.what + ": " + answer.error().context);
    const int64_t spent_ms = (clock_->monotonic_ns() - begun_ns) / 1'000'000;
    const bool not_yet = fault && fault->kind == EbsFault::Kind::not_found &&
                         plan.wait_for_snapshot && spent_ms < options_.early_not_found_ms;
    const bool again = fault ? fault->again() || not_yet : error.code == ErrorCode::unavailable;
    if (!again || spent_ms >= options_.patience_ms) return error;
    // Full jitter, so that requests that failed together do not come together again.
    const int64_t longest = std::min(kFirstPauseMs << std::min(attempt, 7U), kLongestPauseMs);
    TRY(wait_ms(1 + static_cast<int64_t>(random_.below(static_cast<uint64_t>(longest)))));
  }
}

// The answer's JSON. One that is none was damaged on its way, or cut short by a proxy.
Result<Json> EbsClient::object_of(const Plan& plan) {
  for (unsigned i = 0; i < kDamagedTries; ++i) {
    ASSIGN_OR_RETURN(const HttpResponse answer, run(plan));
    Json json = Json::parse(as_text(answer.body), nullptr, false);
    if (json.is_object()) return json;
    ++counters_.failed;
    log_warning("ebs", "an answer that is no JSON is asked for again", {{"what", plan.what}});
    TRY(wait_ms(kFirstPauseMs));
  }
  return malformed(plan.what, "no JSON object");
}

Result<EbsPage> EbsClient::list(const EbsListing& what, const std::string& page_token,
                                uint32_t start, uint32_t max_results) {
  const bool changed = !what.base.empty();
  Plan plan;
  plan.action = EbsAction::list;
  plan.snapshot = what.snapshot;
  plan.what =
      (changed ? "ListChangedBlocks " + what.base + " " : "ListSnapshotBlocks ") + what.snapshot;
  plan.call.path = "/snapshots/" + what.snapshot + (changed ? "/changedblocks" : "/blocks");
  plan.call.timeout_ms = options_.timeout_ms;
  plan.call.max_answer_bytes = kMaxPageBytes;
  plan.call.query.emplace_back("maxResults", std::to_string(max_results));
  if (changed) plan.call.query.emplace_back("firstSnapshotId", what.base);
  if (!page_token.empty()) {
    plan.call.query.emplace_back("pageToken", page_token);
  } else if (start > 0) {
    plan.call.query.emplace_back("startingBlockIndex", std::to_string(start));
  }
  ASSIGN_OR_RETURN(const Json json, object_of(plan));
  EbsPage page;
  TRY(read_entries(json, changed, plan.what, page));
  page.next_token = string_of(json, "NextToken");
  const auto size = json.find("VolumeSize");
  const auto block = json.find("BlockSize");
  if (size == json.end() || !size->is_number_integer() || block == json.end() ||
      !block->is_number_integer()) {
    return malformed(plan.what, "no sizes");
  }
  if (block->get<int64_t>() != kEbsBlockBytes)
    return malformed(plan.what, "blocks of another size");
  const auto gib = size->get<int64_t>();
  if (gib < 1 || gib > static_cast<int64_t>(kEbsMaxVolumeGib)) {
    return malformed(plan.what, "a volume of " + std::to_string(gib) + " GiB");
  }
  page.volume_gib = static_cast<uint64_t>(gib);
  if (!page.entries.empty() &&
      page.entries.back().index >= page.volume_gib * (GiB / kEbsBlockBytes)) {
    return malformed(plan.what, "a block beyond the end of the volume");
  }
  return page;
}

Result<Sha256Digest> EbsClient::get_block(const std::string& snapshot, uint32_t index,
                                          const std::string& token, MutableBytes out) {
  CHECK(out.size() == kEbsBlockBytes);
  Plan plan;
  plan.action = EbsAction::get;
  plan.snapshot = snapshot;
  plan.what = "GetSnapshotBlock " + snapshot + " " + std::to_string(index);
  plan.call.path = "/snapshots/" + snapshot + "/blocks/" + std::to_string(index);
  plan.call.query.emplace_back("blockToken", token);
  plan.call.sink = out;
  plan.call.max_answer_bytes = kMaxAnswerBytes;
  plan.call.timeout_ms = options_.timeout_ms;
  std::string problem;
  for (unsigned i = 0; i < kDamagedTries; ++i) {
    ASSIGN_OR_RETURN(const HttpResponse answer, run(plan));
    Buffer told;
    const Sha256Digest digest = Sha256::of(out);
    if (answer.sink_bytes != out.size()) {
      problem = std::to_string(answer.sink_bytes) + " bytes came";
    } else if (answer.header("x-amz-checksum-algorithm") != "SHA256" ||
               !from_base64(answer.header("x-amz-checksum"), told)) {
      problem = "it came without a SHA-256";
    } else if (!equal(told, digest)) {
      problem = "the bytes are not those of its SHA-256";
    } else {
      return digest;
    }
    ++counters_.bad_digests;
    log_warning("ebs", "a block is fetched again",
                {{"snapshot", snapshot}, {"block", index}, {"why", problem}});
  }
  return Error(ErrorCode::corrupt, plan.what + ": " + problem);
}

Result<EbsStarted> EbsClient::start_snapshot(const EbsStart& what) {
  Json body = {{"VolumeSize", what.volume_gib}, {"ClientToken", what.client_token}};
  if (!what.parent.empty()) body["ParentSnapshotId"] = what.parent;
  if (!what.description.empty()) body["Description"] = what.description;
  if (what.encrypted) body["Encrypted"] = true;
  if (!what.kms_key.empty()) body["KmsKeyArn"] = what.kms_key;
  if (what.timeout_minutes > 0) body["Timeout"] = what.timeout_minutes;
  for (const auto& [key, value] : what.tags) {
    body["Tags"].push_back({{"Key", key}, {"Value", value}});
  }
  const std::string text = body.dump();
  Plan plan;
  plan.action = EbsAction::start;
  plan.what = "StartSnapshot";
  plan.good_status = 201;
  plan.call.method = "POST";
  plan.call.path = "/snapshots";
  plan.call.headers = {{"content-type", "application/json"}};
  plan.call.body = as_view(text);
  plan.call.max_answer_bytes = kMaxAnswerBytes;
  plan.call.timeout_ms = options_.timeout_ms;
  ASSIGN_OR_RETURN(const Json json, object_of(plan));
  EbsStarted out;
  out.snapshot = string_of(json, "SnapshotId");
  out.status = string_of(json, "Status");
  out.kms_key = string_of(json, "KmsKeyArn");
  const auto size = json.find("VolumeSize");
  if (!is_snapshot_id(out.snapshot) || size == json.end() || !size->is_number_unsigned()) {
    return malformed(plan.what, "no snapshot");
  }
  out.volume_gib = size->get<uint64_t>();
  const auto block = json.find("BlockSize");
  if (block != json.end() && block->is_number_integer() &&
      block->get<int64_t>() != kEbsBlockBytes) {
    return malformed(plan.what, "blocks of another size");
  }
  return out;
}

Status EbsClient::put_block(const std::string& snapshot, uint32_t index, ByteView data,
                            const Sha256Digest& digest, unsigned percent_done) {
  CHECK(data.size() == kEbsBlockBytes);
  Plan plan;
  plan.action = EbsAction::put;
  plan.snapshot = snapshot;
  plan.what = "PutSnapshotBlock " + snapshot + " " + std::to_string(index);
  plan.good_status = 201;
  plan.wait_for_snapshot = true;
  plan.call.method = "PUT";
  plan.call.path = "/snapshots/" + snapshot + "/blocks/" + std::to_string(index);
  plan.call.headers = {{"content-type", "application/octet-stream"},
                       {"x-amz-checksum", to_base64(digest)},
                       {"x-amz-checksum-algorithm", "SHA256"},
                       {"x-amz-data-length", std::to_string(kEbsBlockBytes)},
                       {"x-amz-progress", std::to_string(std::min(percent_done, 100U))}};
  plan.call.body = data;
  plan.call.unsigned_body = true;
  plan.call.max_answer_bytes = kMaxAnswerBytes;
  plan.call.timeout_ms = options_.timeout_ms;
  Status done;
  for (unsigned i = 0; i < kDamagedTries; ++i) {
    done = put_once(plan, digest);
    if (done.ok() || done.error().code != ErrorCode::corrupt) return done;
    ++counters_.bad_digests;  // damaged on its way
  }
  return done;
}

Status EbsClient::put_once(const Plan& plan, const Sha256Digest& digest) {
  ASSIGN_OR_RETURN(const HttpResponse answer, run(plan));
  const std::string_view stored = answer.header("x-amz-checksum");
  if (!stored.empty() && stored != to_base64(digest)) {
    return Error(ErrorCode::corrupt, "EBS " + plan.what + ": the service stored other bytes");
  }
  return {};
}

Result<std::string> EbsClient::complete_snapshot(const std::string& snapshot, uint64_t blocks_put,
                                                 const Sha256Digest& linear) {
  Plan plan;
  plan.action = EbsAction::start;
  plan.snapshot = snapshot;
  plan.what = "CompleteSnapshot " + snapshot;
  plan.good_status = 202;
  plan.wait_for_snapshot = true;
  plan.call.method = "POST";
  plan.call.path = "/snapshots/completion/" + snapshot;
  plan.call.headers = {{"x-amz-changedblockscount", std::to_string(blocks_put)},
                       {"x-amz-checksum", to_base64(linear)},
                       {"x-amz-checksum-algorithm", "SHA256"},
                       {"x-amz-checksum-aggregation-method", "LINEAR"}};
  plan.call.max_answer_bytes = kMaxAnswerBytes;
  plan.call.timeout_ms = options_.timeout_ms;
  ASSIGN_OR_RETURN(const HttpResponse answer, run(plan));
  // It is accepted whatever the rest says, and cannot be asked for again.
  const Json json = Json::parse(as_text(answer.body), nullptr, false);
  return json.is_object() ? string_of(json, "Status") : std::string("pending");
}

}  // namespace coldshelf
