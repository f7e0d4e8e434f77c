// The EBS direct APIs. Requests that are refused or lost are sent again, at the pace the quotas
// allow; what comes back is checked. Thread-safe; a call holds its thread until it is answered.
// https://docs.aws.amazon.com/ebs/latest/APIReference/
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/sha256.h"
#include "uploader/cloud/aws_service.h"
#include "uploader/cloud/ebs_error.h"
#include "uploader/cloud/ebs_pace.h"
#include "uploader/cloud/in_flight_window.h"

namespace coldshelf {

constexpr uint32_t kEbsBlockBytes = 512 * 1024;
constexpr uint64_t kEbsMaxVolumeGib = 65536;
constexpr uint32_t kEbsMaxPage = 10'000;

bool is_snapshot_id(std::string_view text);  // "snap-" and 8 or 17 hexadecimal digits

struct EbsEntry {
  uint32_t index = 0;
  std::string token;  // empty: the block is not there (any more) in the snapshot that is listed
};
struct EbsPage {
  std::vector<EbsEntry> entries;  // ascending
  std::string next_token;         // empty: the last page. A page may be empty and not the last
  uint64_t volume_gib = 0;
};
struct EbsListing {
  std::string snapshot;
  std::string base;  // empty: every block; else what changed since this snapshot
};

struct EbsStart {
  uint64_t volume_gib = 0;
  std::string parent;  // may be empty, as all below
  std::string description;
  std::map<std::string, std::string> tags;
  std::string client_token;
  bool encrypted = false;
  std::string kms_key;
  unsigned timeout_minutes = 0;  // 0: the service's default
};
struct EbsStarted {
  std::string snapshot;
  std::string status;
  uint64_t volume_gib = 0;
  std::string kms_key;
};

// Since the client was made.
struct EbsCounters {
  std::atomic<uint64_t> requests{0};
  std::atomic<uint64_t> throttled{0};
  std::atomic<uint64_t> failed{0};       // 5xx, no answer, cut short
  std::atomic<uint64_t> bad_digests{0};  // of blocks
};

class EbsClient {
 public:
  struct Options {
    std::string region;
    std::string endpoint;  // empty: the region's own
    std::string account;   // whose quota it is: "123456789012/eu-central-1"
    int64_t timeout_ms = 20'000;
    // How long one request is tried again while the service throttles, fails or does not answer.
    int64_t patience_ms = 900'000;
    // A new snapshot is not found at first: so long after its start.
    int64_t early_not_found_ms = 60'000;
    InFlightWindow::Options window;
  };
  // `stop`: set to true from anywhere, every call ends soon with cancelled.
  EbsClient(Options options, std::shared_ptr<Clock> clock, std::shared_ptr<HttpTransport> transport,
            std::shared_ptr<CredentialsProvider> credentials, std::shared_ptr<EbsPace> pace,
            std::shared_ptr<const std::atomic<bool>> stop = nullptr);

  // One page: of `page_token`, else from block `start` on. precondition_failed: the page token is
  // no longer good. conflict: the two are not of one volume. not_found.
  Result<EbsPage> list(const EbsListing& what, const std::string& page_token, uint32_t start,
                       uint32_t max_results = kEbsMaxPage);
  // Into `out` (kEbsBlockBytes); the digest that was verified. precondition_failed: the block token
  // is no longer good. corrupt: the bytes are wrong however often they are asked for.
  Result<Sha256Digest> get_block(const std::string& snapshot, uint32_t index,
                                 const std::string& token, MutableBytes out);

  Result<EbsStarted> start_snapshot(const EbsStart& what);
  Status put_block(const std::string& snapshot, uint32_t index, ByteView data,
                   const Sha256Digest& digest, unsigned percent_done);
  // `linear`: SHA-256 over the digests of all blocks put, ascending. The snapshot's status.
  Result<std::string> complete_snapshot(const std::string& snapshot, uint64_t blocks_put,
                                        const Sha256Digest& linear);

  const EbsCounters& counters() const { return counters_; }
  const InFlightWindow& window() const { return window_; }
  const Options& options() const { return options_; }

 private:
  struct Plan {
    AwsCall call;
    EbsAction action = EbsAction::get;
    std::string snapshot;
    std::string what;  // for messages
    int good_status = 200;
    bool wait_for_snapshot = false;  // not found may only mean: not yet
  };
  Result<HttpResponse> run(const Plan& plan);
  Result<HttpResponse> once(const Plan& plan, std::optional<EbsFault>& fault,
                            AwsService::Remedies& remedies);
  Result<nlohmann::json> object_of(const Plan& plan);  // of what may be asked for again
  Status put_once(const Plan& plan, const Sha256Digest& digest);
  Status wait_until(int64_t monotonic_ns);
  Status wait_ms(int64_t ms);

  const Options options_;
  const std::shared_ptr<Clock> clock_;
  AwsService service_;
  const std::shared_ptr<EbsPace> pace_;
  const std::shared_ptr<const std::atomic<bool>> stop_;
  InFlightWindow window_;
  EbsCounters counters_;
  SystemRandom random_;
};

}  // namespace coldshelf
