// The S3 REST API, one method an operation: signed, with keys as they stand in the bucket. Errors
// that a second request cures (a clock that is off, expired credentials, another region) are cured
// here; whatever needs waiting is for RetryingStore. Thread-safe.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "uploader/cloud/credentials.h"
#include "uploader/cloud/http.h"
#include "uploader/cloud/object_store.h"
#include "uploader/cloud/s3_error.h"
#include "uploader/cloud/s3_xml.h"

namespace coldshelf {

enum class S3Addressing {
  automatic,     // virtual for AWS and bucket names without dots, else path
  path,          // https://host/bucket/key
  virtual_host,  // https://bucket.host/key
};

struct S3ClientOptions {
  std::string bucket;
  std::string region;    // empty: us-east-1, until the server tells the bucket's
  std::string endpoint;  // "https://host[:port]"; empty: AWS's own for the region
  S3Addressing addressing = S3Addressing::automatic;
  // Copies and the completion of uploads: the server may work for minutes before it answers.
  int64_t server_side_timeout_ms = 120'000;
};

using S3Headers = std::vector<std::pair<std::string, std::string>>;

// What goes up: from memory or a part of a file.
struct S3Body {
  ByteView bytes;
  File* file = nullptr;
  uint64_t file_offset = 0;
  uint64_t file_bytes = 0;
  std::string payload_hash;     // SHA-256 in hex, or kUnsignedPayload
  bool crc32c_trailer = false;  // aws-chunked; payload_hash is not used
  uint32_t crc32c_start = 0;  // another value makes the trailer wrong: to see whether it is checked
  std::function<void(ByteView)> on_sent;
  std::function<void()> on_restart;  // what was sent is sent again from its start
  uint64_t size() const { return file != nullptr ? file_bytes : bytes.size(); }
};

struct S3PutResult {
  std::string etag;
  std::string sha256;  // x-amz-checksum-sha256, base64; empty: none
  std::string crc32c;  // base64, as sent in a trailer
};

// As S3 tells it: the key whole, `sha256` only where the server keeps one for the whole object.
struct S3Object {
  ObjectInfo info;
  std::string metadata_sha256;  // x-amz-meta-coldshelf-sha256
};

class S3Client {
 public:
  // `http`, `credentials` and `clock` outlive it. invalid_argument: an endpoint that is none.
  static Result<std::unique_ptr<S3Client>> create(S3ClientOptions options, HttpTransport& http,
                                                  CredentialsProvider& credentials, Clock& clock);

  Result<S3PutResult> put_object(const std::string& key, const S3Body& body,
                                 const S3Headers& headers);
  // Fills `out` from `offset`. out_of_range when the object ends before.
  Status get_object(const std::string& key, uint64_t offset, MutableBytes out);
  Result<S3Object> head_object(const std::string& key, bool ask_checksum);
  Status delete_object(const std::string& key);
  // At most 1000. What could not be deleted.
  Result<std::vector<S3DeleteFailure>> delete_objects(const std::vector<std::string>& keys);
  struct ListRequest {
    std::string prefix;
    std::string delimiter;
    std::string start_after;
    std::string token;
    size_t max_keys = 1000;
  };
  Result<S3Listing> list_objects(const ListRequest& request);
  // Within the bucket; `headers` say class, metadata and encryption of the copy. Up to 5 GiB.
  Status copy_object(const std::string& from, const std::string& to, const S3Headers& headers);
  // conflict: one is under way.
  Status restore_object(const std::string& key, RestoreTier tier, unsigned days);

  Result<std::string> create_upload(const std::string& key, const S3Headers& headers);
  Result<S3PutResult> upload_part(const std::string& key, const std::string& upload_id,
                                  unsigned part_number, const S3Body& body,
                                  const S3Headers& headers);
  Result<std::string> copy_part(const std::string& from, const std::string& from_etag,
                                uint64_t offset, uint64_t bytes, const std::string& to,
                                const std::string& upload_id, unsigned part_number);
  // The ETag of the object.
  Result<S3PutResult> complete_upload(const std::string& key, const std::string& upload_id,
                                      const std::vector<S3Part>& parts, const S3Headers& headers);
  Status abort_upload(const std::string& key, const std::string& upload_id);  // ok when it is gone
  Result<S3UploadListing> list_uploads(const std::string& prefix, const std::string& key_marker,
                                       const std::string& upload_id_marker);

  Status put_retention(const std::string& key, const ObjectLock& lock, bool bypass_governance);
  Status put_legal_hold(const std::string& key, bool on);
  Result<ObjectLock> get_lock(const std::string& key);  // retention and legal hold
  Result<bool> bucket_has_lock();
  Result<bool> bucket_has_versions();

  const S3ClientOptions& options() const { return options_; }
  std::string endpoint_text() const;  // for messages

 private:
  struct Call;
  struct Endpoint {
    std::string scheme;
    std::string host;  // with the port
  };
  S3Client(S3ClientOptions options, Endpoint endpoint, HttpTransport& http,
           CredentialsProvider& credentials, Clock& clock);

  // Performs it, cures what can be cured, and turns every answer but a success into an error.
  Result<HttpResponse> call(Call& call);
  Error missing(const Call& head);
  Result<HttpResponse> attempt(Call& call, const std::string& region);
  struct Cures {
    bool clock = false;
    bool credentials = false;
    bool region = false;
  };
  // True: something was put right that the server complained of; ask again.
  bool cure(const S3Failure& failure, const HttpResponse& response, const Call& call, Cures& tried);
  static void set_body(Call& call, const S3Body& body, std::string& trailer);
  Result<S3PutResult> put(Call& call, const S3Body& body);
  Call object_call(const char* operation, const char* method, const std::string& key) const;
  void set_document(Call& call, std::string document) const;

  const S3ClientOptions options_;
  const Endpoint endpoint_;  // scheme and host as configured; host empty: AWS's
  HttpTransport& http_;
  CredentialsProvider& credentials_;
  Clock& clock_;
  std::atomic<int64_t> clock_offset_ms_{0};  // the server's time minus ours, once it complained
  mutable std::mutex mutex_;
  std::string region_;
};

}  // namespace coldshelf
