#include "uploader/cloud/s3_probe.h"

#include "base/log.h"
#include "uploader/cloud/digests.h"
#include "uploader/cloud/sigv4.h"

namespace coldshelf {

namespace {

constexpr int kRemovals = 3;  // tried more than once, however busy the server is: nobody else will

constexpr size_t kNameBytes = 8;
constexpr std::string_view kAbsent = "-not";

std::string random_name(Random& random) {
  Buffer bytes(kNameBytes);
  random.fill(bytes);
  return std::string(kProbePrefix) + to_hex(bytes);
}

}  // namespace

bool is_probe(std::string_view key) {
  if (!key.starts_with(kProbePrefix)) return false;
  key.remove_prefix(kProbePrefix.size());
  if (key.ends_with(kAbsent)) key.remove_suffix(kAbsent.size());
  return key.size() == 2 * kNameBytes &&
         key.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

S3Probe::S3Probe(S3Client& client, std::string prefix, S3Headers headers, Random& random)
    : client_(client),
      upload_headers_(std::move(headers)),
      headers_(upload_headers_),
      there_(prefix + random_name(random)),
      absent_(there_ + std::string(kAbsent)),
      content_("coldshelf asks what this store can do; this object may be removed\n") {
  // Buckets with a default retention refuse puts without any checksum.
  headers_.emplace_back("content-md5", to_base64(md5_of(as_view(content_))));
}

S3Probe::~S3Probe() {
  for (const std::string& key : {there_, absent_}) {
    Status removed = client_.delete_object(key);
    // A server that took nothing most likely has nothing: it need not be pressed.
    for (int again = 0; took_something_ && again < kRemovals && !removed.ok(); ++again) {
      removed = client_.delete_object(key);
    }
    if (!removed.ok() && took_something_) {
      log_warning("s3", "a probe's object stays behind", {{"error", removed.error().message()}});
    }
  }
}

// A trailer is a checksum itself, and what Content-MD5 would be of is open then.
void S3Probe::add_common(const S3Body& body, S3Headers& headers) const {
  const S3Headers& common = body.crc32c_trailer ? upload_headers_ : headers_;
  headers.insert(headers.end(), common.begin(), common.end());
}

S3Body S3Probe::body() const {
  S3Body body;
  body.bytes = as_view(content_);
  body.payload_hash = to_hex(Sha256::of(body.bytes));
  return body;
}

Result<S3Probe::Tried> S3Probe::judged(Result<S3PutResult> done) {
  if (done.ok()) {
    took_something_ = true;
    return Tried{Verdict::accepted, ErrorCode::internal, std::move(*done)};
  }
  const Error& error = done.error();
  // not_supported is a 501: a refusal, although its status begins with 5.
  if (error.disposition == Disposition::retry || error.disposition == Disposition::cancelled) {
    return error;
  }
  return Tried{Verdict::refused, error.code, {}};
}

Result<S3Probe::Tried> S3Probe::try_put(const std::string& key, const S3Body& body,
                                        S3Headers headers) {
  add_common(body, headers);
  ASSIGN_OR_RETURN(Tried tried, judged(client_.put_object(key, body, headers)));
  if (tried.verdict == Verdict::refused && tried.code == ErrorCode::corrupt) {
    // The body was right: this is the way's fault, and says nothing about the server.
    return Error(ErrorCode::unavailable, "PutObject " + key + ": damaged on the way");
  }
  return tried;
}

Result<bool> S3Probe::refuses(const std::string& key, const S3Body& body, S3Headers headers) {
  add_common(body, headers);
  ASSIGN_OR_RETURN(const Tried tried, judged(client_.put_object(key, body, headers)));
  return tried.verdict == Verdict::refused;
}

Status S3Probe::find_checksums(S3Traits& traits) {
  const std::string right = to_base64(Sha256::of(as_view(content_)));
  const std::string wrong = to_base64(Sha256::of(as_view("not this")));
  ASSIGN_OR_RETURN(const Tried kept, try_put(there_, body(), {{"x-amz-checksum-sha256", right}}));
  if (kept.verdict == Verdict::accepted) {
    ASSIGN_OR_RETURN(const S3Object object, client_.head_object(there_, true));
    if (object.info.sha256) {
      ASSIGN_OR_RETURN(traits.capabilities.server_checksums,
                       refuses(absent_, body(), {{"x-amz-checksum-sha256", wrong}}));
    }
  }
  S3Body lying = body();
  lying.payload_hash = to_hex(Sha256::of(as_view("not this")));
  ASSIGN_OR_RETURN(traits.payload_hash_checked, refuses(absent_, lying, {}));
  return client_.delete_object(absent_);
}

Status S3Probe::find_conditions(S3Traits& traits, const std::string& etag) {
  const auto lost = [&](const std::string& key, S3Headers headers) -> Result<bool> {
    ASSIGN_OR_RETURN(const Tried tried, try_put(key, body(), std::move(headers)));
    return tried.verdict == Verdict::refused && tried.code == ErrorCode::precondition_failed;
  };
  // Each must be honoured both ways.
  ASSIGN_OR_RETURN(const bool exists, lost(there_, {{"if-none-match", "*"}}));
  if (!exists) return {};
  ASSIGN_OR_RETURN(const bool other, lost(there_, {{"if-match", "\"0123456789abcdef\""}}));
  if (!other) return {};
  ASSIGN_OR_RETURN(const Tried fresh, try_put(absent_, body(), {{"if-none-match", "*"}}));
  if (fresh.verdict == Verdict::refused) {
    // An answer that was lost, and the same request again: the object it made is there.
    if (fresh.code == ErrorCode::precondition_failed && client_.head_object(absent_, false).ok()) {
      return Error(ErrorCode::unavailable, "asking what the store can do: an answer was lost");
    }
    return {};
  }
  ASSIGN_OR_RETURN(const Tried same, try_put(there_, body(), {{"if-match", "\"" + etag + "\""}}));
  if (same.verdict == Verdict::refused && same.code == ErrorCode::precondition_failed) {
    ASSIGN_OR_RETURN(const S3Object now, client_.head_object(there_, false));
    if (now.info.etag != etag) {
      return Error(ErrorCode::unavailable, "asking what the store can do: an answer was lost");
    }
  }
  traits.capabilities.conditional_put = same.verdict == Verdict::accepted;
  return {};
}

Status S3Probe::find_classes(S3Traits& traits) {
  const std::string name(to_string(StorageClass::standard_ia));
  ASSIGN_OR_RETURN(const Tried tried, try_put(absent_, body(), {{"x-amz-storage-class", name}}));
  if (tried.verdict == Verdict::refused) return {};
  ASSIGN_OR_RETURN(const S3Object object, client_.head_object(absent_, false));
  traits.capabilities.storage_classes = object.info.storage_class == StorageClass::standard_ia;
  return {};
}

Result<S3Traits> S3Probe::traits() {
  S3Traits traits;
  S3Headers headers = headers_;
  const Result<S3PutResult> first = client_.put_object(there_, body(), headers);
  if (!first.ok()) {
    const bool damaged = first.error().code == ErrorCode::corrupt;  // on the way: it was right
    return Error(damaged ? ErrorCode::unavailable : first.error().code,
                 damaged ? Disposition::retry : first.error().disposition,
                 "asking what the store can do: " + first.error().context);
  }
  took_something_ = true;
  traits.etag_is_md5 = first->etag == to_hex(md5_of(as_view(content_)));
  TRY(find_conditions(traits, first->etag));
  TRY(find_checksums(traits));
  TRY(find_classes(traits));
  ASSIGN_OR_RETURN(traits.capabilities.object_lock, client_.bucket_has_lock());
  return traits;
}

Result<bool> S3Probe::trailers() {
  S3Body chunked = body();
  chunked.crc32c_trailer = true;
  ASSIGN_OR_RETURN(const Tried tried, try_put(there_, chunked, {}));
  if (tried.verdict == Verdict::refused) return false;
  // A server that does not know aws-chunked keeps the frames as content.
  ASSIGN_OR_RETURN(const S3Object object, client_.head_object(there_, false));
  if (object.info.size != content_.size()) return false;
  chunked.crc32c_start = 1;
  return refuses(absent_, chunked, {});
}

Result<bool> S3Probe::conditional_complete() {
  ASSIGN_OR_RETURN(const Tried made, try_put(there_, body(), {}));
  if (made.verdict == Verdict::refused) return false;
  ASSIGN_OR_RETURN(const std::string id, client_.create_upload(there_, upload_headers_));
  const auto completed = [&]() -> Result<Tried> {
    ASSIGN_OR_RETURN(const S3PutResult part,
                     client_.upload_part(there_, id, 1, body(), {headers_.back()}));
    return judged(
        client_.complete_upload(there_, id, {S3Part{part.etag, ""}}, {{"if-none-match", "*"}}));
  };
  Result<Tried> tried = completed();
  TRY(client_.abort_upload(there_, id));
  if (!tried.ok()) return std::move(tried).error();
  return tried->verdict == Verdict::refused && tried->code == ErrorCode::precondition_failed;
}

}  // namespace coldshelf
