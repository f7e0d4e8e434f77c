// An S3 server of ours for tests: in this process, on a loopback port, strict about what it is
// sent, and able to fail in every way a server or the way to it can.
//
// Strict: signatures (recomputed here, without the project's sign_v4), payload hashes, Content-MD5,
// x-amz-checksum-*, aws-chunked bodies and their trailers, lengths. Honest about what it does not
// do: answers 501.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
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

enum class S3Operation {
  list_buckets,
  create_bucket,
  head_bucket,
  delete_bucket,
  bucket_setting,  // location, versioning, object-lock configuration
  put_object,
  get_object,
  head_object,
  delete_object,
  delete_objects,
  copy_object,
  list_objects,
  create_multipart,
  upload_part,
  upload_part_copy,
  complete_multipart,
  abort_multipart,
  list_multipart,
  list_parts,
  restore_object,
  put_lock,  // retention and legal hold
  get_lock,
  unknown,
};
constexpr size_t kS3Operations = static_cast<size_t>(S3Operation::unknown) + 1;
std::string_view to_string(S3Operation operation);  // "put_object"

enum class S3Fault {
  none,
  internal_error,         // 500 InternalError, nothing done
  done_internal_error,    // done, and 500 all the same
  unavailable,            // 503 ServiceUnavailable
  slow_down,              // 503 SlowDown
  bare_503,               // 503 from a proxy in between: HTML, no code
  bare_404,               // 404 from a proxy without a route: a line of text, nothing done
  request_timeout,        // 400 RequestTimeout
  expired_token,          // 400 ExpiredToken
  conditional_conflict,   // 409 ConditionalRequestConflict (conditional puts)
  expedited_unavailable,  // 503 GlacierExpeditedRetrievalNotAvailable (restores)
  hang_before_answer,     // the request is read, nothing comes back
  hang_after_headers,     // the answer's header comes, its body does not
  slow_body,              // the answer's body trickles
  truncated_body,         // fewer bytes than Content-Length says, then the connection ends
  corrupted_body,         // one bit of the body is another
  reset_download,         // in the middle of the answer's body
  reset_upload,           // in the middle of the request's body
  corrupted_upload,       // one bit of the request's body is another when it is looked at
  lost_answer,            // done, then reset
  error_in_200,           // 200, and an error in the body (complete, copies)
  wrong_etag,             // of a put or a part
  garbled_xml,            // an answer that ends in the middle of an element
};
constexpr size_t kS3Faults = static_cast<size_t>(S3Fault::garbled_xml) + 1;
std::string_view to_string(S3Fault fault);
std::optional<S3Fault> parse_s3_fault(std::string_view name);
// Whether `fault` means anything for `operation`.
bool applies(S3Fault fault, S3Operation operation);
std::vector<S3Fault> all_s3_faults();

// What S3-compatible servers differ in.
enum class S3Support { yes, ignored, refused };  // refused: 501
struct ImposterSupport {
  S3Support conditional_writes = S3Support::yes;
  S3Support storage_classes = S3Support::yes;
  S3Support checksums = S3Support::yes;    // x-amz-checksum-* verified, kept and told
  S3Support aws_chunked = S3Support::yes;  // `ignored`: the chunk headers become content
  bool object_lock = true;                 // of buckets made at start
  bool md5_etags = true;                   // false: as under SSE-KMS
  bool payload_hashes = true;              // x-amz-content-sha256 is looked at
  bool content_md5 = true;                 // Content-MD5 is looked at
};

struct ImposterOptions {
  uint16_t port = 0;
  std::string region = "us-east-1";
  std::string access_key = "imposter";
  std::string secret_key = "imposter-secret";
  std::vector<std::string> buckets{"tapes"};
  std::string directory;   // bodies in files below it; empty: in memory
  Clock* clock = nullptr;  // of object ages, restores and signatures; null: the system's
  ImposterSupport support;
  int64_t expedited_delay_ms = 1'000;
  int64_t standard_delay_ms = 2'000;
  int64_t bulk_delay_ms = 4'000;
  int64_t day_ms = 24LL * 3600 * 1000;   // of a restore's Days
  uint64_t slow_bytes_per_s = 10 * KiB;  // S3Fault::slow_body
  uint64_t min_part_bytes = 5 * MiB;
  uint64_t copy_limit_bytes = 5 * GiB;  // CopyObject's and UploadPartCopy's
  uint64_t put_limit_bytes = 5 * GiB;
};

// One request in `one_in`, chosen by seed, operation, key and how often that key was asked for: the
// same faults in the same places however threads interleave.
struct ImposterStorm {
  uint64_t seed = 0;
  uint64_t one_in = 0;  // 0: none
  std::vector<S3Fault> faults;
};

struct ImposterObject {
  Buffer bytes;
  std::string storage_class;
  std::string etag;
  std::map<std::string, std::string> metadata;   // "x-amz-meta-...", "content-type", ...
  std::map<std::string, std::string> checksums;  // "x-amz-checksum-sha256" -> base64
  bool restored = false;
};

class S3Imposter {
 public:
  // Listens when it returns.
  static Result<std::unique_ptr<S3Imposter>> start(ImposterOptions options = {});
  ~S3Imposter();
  S3Imposter(const S3Imposter&) = delete;
  S3Imposter& operator=(const S3Imposter&) = delete;

  uint16_t port() const;
  std::string endpoint() const;  // "http://127.0.0.1:port"
  const ImposterOptions& options() const;

  // Faults. The next `count` requests of `operation` (unknown: of any that `fault` applies to)
  // whose key contains `key_part`, after `skip` such requests.
  void fail_next(S3Operation operation, S3Fault fault, unsigned count = 1,
                 std::string key_part = {}, unsigned skip = 0);
  void set_storm(ImposterStorm storm);
  void hang_next_connections(unsigned count);  // accepted, never read
  void clear_faults();                         // all of the above
  void set_clock_skew_ms(int64_t skew_ms);     // this server's clock for signatures and Date
  void expire_key(const std::string& access_key);
  void add_key(const std::string& access_key, const std::string& secret_key,
               const std::string& session_token = {});
  void set_list_lag_ms(int64_t lag_ms);  // new objects missing, deleted ones still there
  void set_latency_ms(int64_t per_request_ms);
  void set_bandwidth(uint64_t in_bytes_per_s, uint64_t out_bytes_per_s);  // 0: no limit
  void set_support(const ImposterSupport& support);
  // Ages of objects, restores: that much later.
  void advance_ms(int64_t ms);

  // What was seen.
  uint64_t requests(S3Operation operation) const;
  uint64_t requests() const;
  uint64_t faults_done(S3Fault fault) const;
  uint64_t faults_done() const;
  uint64_t bytes_in() const;   // of bodies
  uint64_t bytes_out() const;  // of bodies
  uint64_t connections() const;
  uint64_t peak_requests_under_way() const;
  void reset_counts();
  // Requests a correct client does not make, "put_object a/b: SignatureDoesNotMatch: ...", but for
  // those a fault explains. Bounded.
  std::vector<std::string> rejections() const;

  // Behind the protocol's back.
  std::vector<std::string> keys(const std::string& bucket) const;
  std::optional<ImposterObject> object(const std::string& bucket, const std::string& key) const;
  bool erase(const std::string& bucket, const std::string& key);
  bool flip_bit(const std::string& bucket, const std::string& key, uint64_t offset);
  size_t unfinished_uploads() const;
  size_t versions(const std::string& bucket, const std::string& key) const;

  class Impl;

 private:
  explicit S3Imposter(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace coldshelf::test
