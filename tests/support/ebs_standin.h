// A stand-in for AWS, as far as EBS snapshots need it: the EBS direct APIs, the EC2 Query API's
// volumes, snapshots, instances and images, STS AssumeRole and SNS Publish. In this process, on one
// loopback port, strict about what it is sent, and able to fail in every way AWS is known to.
//
// Strict: signatures (recomputed here), checksums and lengths of blocks, the LINEAR checksum and
// the count at the end, tokens and their life, states, quotas. The scope of a request's signature
// says which service and region it is for, the key which account. Wire format: botocore's models
// of ebs-2019-11-02, ec2-2016-11-15, sts-2011-06-15, sns-2010-03-31; tests/conformance/aws_cli.sh
// has Debian's `aws` check it. What it does not do is answered as unknown.
//
// Blocks written by pattern cost no memory and next to no processor: bodies are shared, each block
// differs in its last 64 bytes.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"

namespace coldshelf::test {

constexpr uint64_t kEbsBlockBytes = 512 * KiB;
constexpr uint64_t kEbsBlocksPerGib = GiB / kEbsBlockBytes;

enum class EbsOperation {
  list_snapshot_blocks,
  list_changed_blocks,
  get_snapshot_block,
  start_snapshot,
  put_snapshot_block,
  complete_snapshot,
  describe_volumes,
  describe_snapshots,
  describe_instances,
  describe_images,
  describe_regions,
  describe_tags,
  create_snapshot,
  create_snapshots,
  delete_snapshot,
  create_volume,
  delete_volume,
  register_image,
  deregister_image,
  create_tags,
  delete_tags,
  assume_role,
  get_caller_identity,
  publish,
  unknown,
};
constexpr size_t kEbsOperations = static_cast<size_t>(EbsOperation::unknown) + 1;
std::string_view to_string(EbsOperation operation);  // "get_snapshot_block"

enum class EbsFault {
  none,
  internal_error,       // 500, nothing done
  done_internal_error,  // done, and 500 all the same
  unavailable,          // 503
  bare_503,             // 503 from a proxy in between: HTML, no code
  throttling,           // ThrottlingException (400); EC2: RequestLimitExceeded (503)
  request_throttled,    // RequestThrottledException (400), of the direct APIs
  quota_exceeded,       // ServiceQuotaExceededException (402)
  concurrent_limit,     // ConcurrentLimitExceededException (400), of StartSnapshot
  conflict,             // ConflictException (409), of StartSnapshot
  early_not_found,      // 404 though the snapshot is there: it was started just now
  expired_credentials,  // ExpiredTokenException, RequestExpired
  hang_before_answer,   // the request is read, nothing comes back
  hang_after_headers,   // the answer's header comes, its body does not
  truncated_body,       // fewer bytes than Content-Length says, then the connection ends
  corrupted_body,       // one bit of the block is another
  wrong_checksum,       // the answer's x-amz-Checksum is another block's
  wrong_length,         // x-amz-Data-Length is not what comes
  reset_download,       // in the middle of the answer's body
  reset_upload,         // in the middle of the request's body
  corrupted_upload,     // one bit of the block is another when it is looked at
  lost_answer,          // done, then the connection ends
  short_page,           // fewer than asked for, and a token
  empty_page,           // none, and a token
  expired_page_token,   // this page's token is not valid any more
  expired_block_token,  // nor this block's
  garbled,              // JSON or XML that ends in the middle
};
constexpr size_t kEbsFaults = static_cast<size_t>(EbsFault::garbled) + 1;
std::string_view to_string(EbsFault fault);
std::optional<EbsFault> parse_ebs_fault(std::string_view name);
// Whether `fault` means anything for `operation`.
bool applies(EbsFault fault, EbsOperation operation);
std::vector<EbsFault> all_ebs_faults();
// Those a client gets over by asking again: without the quotas, conflicts and expired credentials.
std::vector<EbsFault> passing_ebs_faults();

struct EbsStorm {
  uint64_t seed = 0;
  uint64_t one_in = 0;  // one request in so many; 0: none
  std::vector<EbsFault> faults;
};

struct EbsAccount {
  std::string id = "111122223333";
  std::string access_key = "AKIAEBSSTANDIN";
  std::string secret_key = "standin-secret";
};

// Per second; 0: no limit. AWS's defaults. Each account and region has its own, each snapshot too.
struct EbsLimits {
  double get_per_s = 1000;
  double put_per_s = 1000;
  double list_per_s = 50;
  double start_per_s = 10;
  double complete_per_s = 10;
  double snapshot_get_per_s = 1000;
  double snapshot_put_per_s = 1000;
  double ec2_per_s = 0;     // all of an account's EC2 requests together
  double burst_ms = 1'000;  // what a bucket holds
  size_t pending_snapshots = 100;
  size_t snapshots = 100'000;
};

struct EbsStandinOptions {
  uint16_t port = 0;
  std::vector<EbsAccount> accounts{EbsAccount{}};
  std::vector<std::string> regions{"us-east-1", "eu-central-1"};
  Clock* clock = nullptr;  // of signatures, tokens, states and quotas; null: the system's
  EbsLimits limits;
  int64_t latency_ms = 0;                // before every answer, in real time
  int64_t pending_ms = 0;                // from complete or create to "completed"
  int64_t create_interval_ms = 0;        // between snapshots of a volume (AWS: 15 s)
  int64_t page_token_ms = 3'600'000;     // 60 min
  int64_t block_token_ms = 604'800'000;  // 7 days
  bool complete_once = false;            // CompleteSnapshot of a sealed one is refused
  unsigned early_not_found_puts = 0;     // so many of a new snapshot's first puts answer 404
  uint64_t page_scan_blocks = 1U << 20;  // a page ends after so many indexes: short, even empty
  uint64_t default_page_blocks = 1'000;  // without maxResults
  size_t ec2_page_items = 1'000;         // a Describe page never has more
  unsigned threads = 2;
};

enum class EbsPattern { mixed, random, compressible };

using EbsTags = std::map<std::string, std::string>;

// Where something is. Empty: the first account, the first region.
struct EbsPlace {
  std::string account;
  std::string region;
};

struct EbsVolumeSpec {
  uint64_t size_gib = 1;
  EbsTags tags;
  bool encrypted = false;
  std::string kms_key;  // empty and encrypted: the account's default key
  // Blocks there from the start, made when they are looked at: runs of eight blocks, so many of a
  // thousand runs, by `seed`.
  uint64_t seed = 0;
  uint32_t fill_per_mille = 0;
  EbsPattern pattern = EbsPattern::mixed;
};

struct EbsSnapshotInfo {
  std::string id;
  std::string account;
  std::string region;
  std::string volume_id;
  std::string parent_id;
  std::string description;
  std::string state;  // pending, completed, error
  std::string kms_key;
  bool encrypted = false;
  uint64_t size_gib = 0;
  int64_t start_ms = 0;
  EbsTags tags;
};

struct EbsVolumeInfo {
  std::string id;
  std::string snapshot_id;
  std::string zone;
  std::string type;
  std::string kms_key;
  bool encrypted = false;
  uint64_t size_gib = 0;
  EbsTags tags;
};

struct EbsImageInfo {
  std::string id;
  std::string name;
  std::string architecture;
  std::string root_device;
  std::map<std::string, std::string> snapshots;  // by device
};

struct EbsMessage {
  std::string account;
  std::string topic_arn;
  std::string subject;
  std::string message;
};

class EbsStandin {
 public:
  // Listens when it returns.
  static Result<std::unique_ptr<EbsStandin>> start(EbsStandinOptions options = {});
  ~EbsStandin();
  EbsStandin(const EbsStandin&) = delete;
  EbsStandin& operator=(const EbsStandin&) = delete;

  uint16_t port() const;
  std::string endpoint() const;  // "http://127.0.0.1:port", of every service and region

  // The world. Ids of what is not there fail a CHECK.
  std::string make_volume(const EbsVolumeSpec& spec, const EbsPlace& place = {});
  // Blocks [first, first + count), each its own content, by `seed`.
  void write_pattern(const std::string& volume, uint64_t first, uint64_t count, uint64_t seed,
                     EbsPattern pattern = EbsPattern::mixed);
  void write_zeros(const std::string& volume, uint64_t first, uint64_t count);  // present, zero
  void write_block(const std::string& volume, uint64_t index, ByteView bytes);
  void trim(const std::string& volume, uint64_t first, uint64_t count);  // absent
  // The same content written anew: listed as changed.
  void touch(const std::string& volume, uint64_t first, uint64_t count);
  void grow_volume(const std::string& volume, uint64_t size_gib);
  std::string make_snapshot(const std::string& volume, const EbsTags& tags = {});  // completed
  void archive_snapshot(const std::string& snapshot);  // to EC2's archive tier
  // The first volume is its root device, /dev/xvda; then /dev/sdf and so on.
  std::string make_instance(const std::vector<std::string>& volumes, const EbsTags& tags = {});
  void set_tags(const std::string& resource, const EbsTags& tags);  // instead of those there
  // "arn:aws:iam::ACCOUNT:role/NAME", for the principals of `trusted` accounts.
  void add_role(const std::string& arn, const std::vector<std::string>& trusted,
                const std::string& external_id = {});
  void expire_key(const std::string& access_key);

  // What is there.
  std::optional<Buffer> snapshot_block(const std::string& snapshot, uint64_t index) const;
  std::vector<uint64_t> snapshot_blocks(const std::string& snapshot) const;  // present, ascending
  // As an instance reads it: absent blocks are zeros, of an encrypted volume that came from a
  // snapshot garbage.
  Buffer volume_block(const std::string& volume, uint64_t index) const;
  std::vector<EbsSnapshotInfo> snapshots() const;  // of all accounts and regions, oldest first
  std::optional<EbsSnapshotInfo> snapshot(const std::string& id) const;
  std::vector<EbsVolumeInfo> volumes() const;
  std::vector<EbsImageInfo> images() const;
  std::vector<EbsMessage> messages() const;  // published

  // Faults. The next `count` requests of `operation` (unknown: of any that `fault` applies to)
  // whose key ("snap-1 17", "vol-2") contains `key_part`, after `skip` such requests.
  void fail_next(EbsOperation operation, EbsFault fault, unsigned count = 1,
                 std::string key_part = {}, unsigned skip = 0);
  void set_storm(EbsStorm storm);
  void hang_next_connections(unsigned count);  // accepted, never read
  void clear_faults();
  void set_latency_ms(int64_t ms);
  void set_limits(const EbsLimits& limits);

  // What was seen.
  uint64_t requests(EbsOperation operation) const;
  uint64_t requests() const;
  uint64_t throttled() const;  // by the limits, not by faults
  uint64_t faults_done(EbsFault fault) const;
  uint64_t faults_done() const;
  uint64_t bytes_in() const;   // of bodies
  uint64_t bytes_out() const;  // of bodies
  uint64_t connections() const;
  uint64_t peak_requests_under_way() const;
  void reset_counts();
  // Requests a correct client does not make, but for those a fault explains. Bounded.
  std::vector<std::string> rejections() const;

  class Impl;

 private:
  explicit EbsStandin(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace coldshelf::test
