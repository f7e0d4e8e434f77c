// What an S3 server really does, found out with small objects that are removed again: servers that
// speak S3 ignore what they do not know, and an ignored condition or checksum is worse than none.
#pragma once

#include <string>
#include <string_view>

#include "base/random.h"
#include "uploader/cloud/s3_client.h"

namespace coldshelf {

struct S3Traits {
  StoreCapabilities capabilities;
  bool payload_hash_checked =
      false;                 // a body that is not what x-amz-content-sha256 says is refused
  bool etag_is_md5 = false;  // of objects put in one piece
};

inline constexpr std::string_view kProbePrefix = "probe-";
bool is_probe(std::string_view key);  // below the store's prefix; a name that only probes give

class S3Probe {
 public:
  // Keys begin with `prefix`. `headers` go with every put (encryption).
  S3Probe(S3Client& client, std::string prefix, S3Headers headers, Random& random);
  // Removes what it made. A put that was given up and that the server carries out later than this
  // stays until the store's garbage is collected.
  ~S3Probe();
  S3Probe(const S3Probe&) = delete;
  S3Probe& operator=(const S3Probe&) = delete;

  // An error: the store cannot be written at all, or did not answer.
  Result<S3Traits> traits();
  // aws-chunked bodies with a checksum after them are understood, and the checksum is checked.
  Result<bool> trailers();
  // If-None-Match of CompleteMultipartUpload is honoured.
  Result<bool> conditional_complete();

 private:
  enum class Verdict { accepted, refused };
  struct Tried {
    Verdict verdict = Verdict::refused;
    ErrorCode code = ErrorCode::internal;  // of a refusal
    S3PutResult result;
  };
  // An error only for what says nothing about the server: no answer, overload, damage on the way.
  // `body` is as it says; `refuses` is for bodies that lie.
  Result<Tried> try_put(const std::string& key, const S3Body& body, S3Headers headers);
  Result<Tried> judged(Result<S3PutResult> done);
  Result<bool> refuses(const std::string& key, const S3Body& body, S3Headers headers);
  S3Body body() const;
  void add_common(const S3Body& body, S3Headers& headers) const;
  Status find_checksums(S3Traits& traits);
  Status find_conditions(S3Traits& traits, const std::string& etag);
  Status find_classes(S3Traits& traits);

  S3Client& client_;
  const S3Headers upload_headers_;  // as given
  S3Headers headers_;               // of every put: these, and Content-MD5
  const std::string there_;         // exists while the probe runs
  const std::string absent_;        // made by what should have been refused
  const std::string content_;
  bool took_something_ = false;
};

}  // namespace coldshelf
