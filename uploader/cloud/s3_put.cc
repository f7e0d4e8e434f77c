// How objects get into S3: whole, in parts, and from one class into another.
#include <algorithm>

#include "base/log.h"
#include "uploader/cloud/digests.h"
#include "uploader/cloud/s3_store.h"
#include "uploader/cloud/sigv4.h"

namespace coldshelf {

namespace {

constexpr uint64_t kLargestPut = 5 * GiB;  // of PutObject and CopyObject
constexpr uint64_t kMaxParts = 10'000;
constexpr unsigned kPartAttempts = 3;
constexpr int64_t kPartRetryMs = 250;
constexpr uint64_t kCopyPartBytes = 1 * GiB;

uint64_t size_of(const PutSource& source) {
  return source.file != nullptr ? source.size : source.bytes.size();
}

S3Body body_of(const PutSource& source, uint64_t offset, uint64_t bytes) {
  S3Body body;
  if (source.file != nullptr) {
    body.file = source.file;
    body.file_offset = offset;
    body.file_bytes = bytes;
  } else {
    body.bytes = source.bytes.subspan(static_cast<size_t>(offset), static_cast<size_t>(bytes));
  }
  return body;
}

void add_condition(S3Headers& headers, const PutOptions& options) {
  if (options.condition == PutCondition::must_not_exist) headers.emplace_back("if-none-match", "*");
  if (options.condition == PutCondition::must_match) {
    headers.emplace_back("if-match", "\"" + options.etag + "\"");
  }
}

Error put_mismatch(const std::string& key) {
  return {ErrorCode::corrupt, "put " + key + ": the bytes do not match their digest"};
}

Error wrong_etag(const std::string& key) {
  return {ErrorCode::unavailable,
          "put " + key + ": the server's ETag is not the MD5 of what was sent"};
}

// A part, or the assembly of parts: again when it fails for the moment, so that the parts before it
// are not sent again for nothing.
template <typename Do>
auto few_times(Clock& clock, const Do& once) -> decltype(once(1U)) {
  for (unsigned attempt = 1;; ++attempt) {
    auto done = once(attempt);
    if (done.ok() || attempt == kPartAttempts || done.error().disposition != Disposition::retry) {
      return done;
    }
    clock.sleep_ms(kPartRetryMs * attempt);
  }
}

}  // namespace

// The server says that the bytes it got are not those announced. Were they damaged here or on the
// way?
Error S3Store::judged_corrupt(const Error& error, const PutSource& source) const {
  Sha256 sha;
  const Status read =
      read_source(source, 0, size_of(source), [&](ByteView piece) { sha.update(piece); });
  if (!read.ok()) return read.error();
  if (sha.finish() != source.sha256) return error;
  return {ErrorCode::unavailable, error.context + " (damaged on the way: they are right here)"};
}

Result<ObjectInfo> S3Store::put(const std::string& key, const PutSource& source,
                                const PutOptions& options) {
  ASSIGN_OR_RETURN(const std::string full, full_key(key));
  ASSIGN_OR_RETURN(const S3Traits found, traits());
  const uint64_t size = size_of(source);
  const bool conditional = options.condition != PutCondition::none;
  if (conditional && !found.capabilities.conditional_put) {
    return Error(ErrorCode::not_supported,
                 "put " + key + ": " + describe() + " does not honour conditions (If-None-Match)");
  }
  if (options.storage_class != StorageClass::standard && !found.capabilities.storage_classes) {
    return Error(ErrorCode::not_supported, "put " + key + ": " + describe() +
                                               " has no storage class " +
                                               std::string(to_string(options.storage_class)));
  }
  bool in_parts = size > options_.multipart_threshold;
  if (in_parts && conditional) {
    ASSIGN_OR_RETURN(in_parts, remembered(conditional_complete_, &S3Probe::conditional_complete));
  }
  if (!in_parts && size > kLargestPut) {
    return Error(ErrorCode::not_supported,
                 "put " + key + ": conditions on an object of " + std::to_string(size) + " bytes");
  }
  Result<ObjectInfo> done =
      in_parts ? put_in_parts(key, source, options, found) : put_whole(key, source, options, found);
  if (!done.ok() && done.error().code == ErrorCode::corrupt) {
    return judged_corrupt(done.error(), source);
  }
  // S3 says 404 where there is nothing to match, others 412.
  if (!done.ok() && done.error().code == ErrorCode::not_found &&
      options.condition == PutCondition::must_match) {
    return Error(ErrorCode::precondition_failed, done.error().context);
  }
  return done;
}

Result<ObjectInfo> S3Store::put_whole(const std::string& key, const PutSource& source,
                                      const PutOptions& options, const S3Traits& found) {
  const uint64_t size = size_of(source);
  S3Headers headers = object_headers(source.sha256, options.storage_class);
  add_condition(headers, options);
  S3Body body = body_of(source, 0, size);
  body.payload_hash = options_.sign_payload ? to_hex(source.sha256) : std::string(kUnsignedPayload);
  if (found.capabilities.server_checksums) {
    headers.emplace_back("x-amz-checksum-sha256", to_base64(source.sha256));
  }
  std::string expected_etag;
  const bool checked = body_is_checked(found);
  // Buckets with a default retention refuse puts without any checksum.
  const bool wants_md5 = found.capabilities.object_lock && !found.capabilities.server_checksums;
  if (!checked || wants_md5) {
    // The digest is ours to check, and MD5 is what connects it with what the server got.
    if (!checked && !found.etag_is_md5) {
      return Error(ErrorCode::not_supported,
                   "put " + key + ": " + describe() +
                       " checks neither SHA-256 nor MD5 of what it is sent; set "
                       "payload_signing = \"signed\" if it is not");
    }
    Sha256 sha;
    Md5 md5;
    TRY(read_source(source, 0, size, [&](ByteView piece) {
      sha.update(piece);
      md5.update(piece);
    }));
    if (sha.finish() != source.sha256) return put_mismatch(key);
    const Md5Digest digest = md5.finish();
    headers.emplace_back("content-md5", to_base64(digest));
    if (found.etag_is_md5) expected_etag = to_hex(digest);
  }
  ASSIGN_OR_RETURN(const S3PutResult put,
                   client_->put_object(options_.prefix + key, body, headers));
  if (!expected_etag.empty() && put.etag != expected_etag) return wrong_etag(key);
  if (!put.sha256.empty() && put.sha256 != to_base64(source.sha256)) {
    return Error(ErrorCode::unavailable,
                 "put " + key + ": the server's checksum is not that of what was sent");
  }
  ObjectInfo info;
  info.key = key;
  info.size = size;
  info.storage_class = options.storage_class;
  info.sha256 = source.sha256;
  info.modified_ms = clock_.unix_ms();
  info.etag = put.etag;
  return info;
}

struct S3Store::PartsUpload {
  const std::string& key;  // in the bucket
  const PutSource& source;
  const S3Traits& found;
  const bool trailers;
  std::string id;
  Sha256 sha;  // of the parts so far
};

// One reading of the file: the sum that the server checks is made of what is sent.
Result<S3Part> S3Store::put_part_with_trailer(PartsUpload& upload, const S3Body& body,
                                              unsigned number) {
  const Sha256 before = upload.sha.copy();
  S3Body sent = body;
  sent.crc32c_trailer = true;
  sent.on_sent = [&](ByteView piece) { upload.sha.update(piece); };
  sent.on_restart = [&] { upload.sha = before.copy(); };
  ASSIGN_OR_RETURN(const S3PutResult put,
                   client_->upload_part(upload.key, upload.id, number, sent, {}));
  return S3Part{put.etag, put.crc32c};
}

// Two readings: the digest stands before the body.
Result<S3Part> S3Store::put_part_hashed_before(PartsUpload& upload, S3Body body, uint64_t offset,
                                               unsigned number) {
  const bool checked = options_.sign_payload && upload.found.payload_hash_checked &&
                       !upload.found.capabilities.object_lock;  // it wants Content-MD5
  Sha256 part_sha;
  Md5 md5;
  Sha256 whole = upload.sha.copy();
  TRY(read_source(upload.source, offset, body.size(), [&](ByteView piece) {
    whole.update(piece);
    if (options_.sign_payload) part_sha.update(piece);
    if (!checked) md5.update(piece);
  }));
  S3Headers headers;
  std::string expected_etag;
  if (!checked) {
    const Md5Digest digest = md5.finish();
    headers.emplace_back("content-md5", to_base64(digest));
    if (upload.found.etag_is_md5) expected_etag = to_hex(digest);
  }
  body.payload_hash =
      options_.sign_payload ? to_hex(part_sha.finish()) : std::string(kUnsignedPayload);
  ASSIGN_OR_RETURN(const S3PutResult put,
                   client_->upload_part(upload.key, upload.id, number, body, headers));
  if (!expected_etag.empty() && put.etag != expected_etag) return wrong_etag(upload.key);
  upload.sha = std::move(whole);
  return S3Part{put.etag, ""};
}

Result<S3Part> S3Store::put_part(PartsUpload& upload, uint64_t offset, uint64_t bytes,
                                 unsigned number) {
  const S3Body body = body_of(upload.source, offset, bytes);
  return few_times(clock_, [&](unsigned) {
    if (!upload.trailers) return put_part_hashed_before(upload, body, offset, number);
    // A part that failed is hashed again from its start.
    Sha256 before = upload.sha.copy();
    Result<S3Part> part = put_part_with_trailer(upload, body, number);
    if (!part.ok()) upload.sha = std::move(before);
    return part;
  });
}

Status S3Store::finish_parts(PartsUpload& upload, const std::vector<S3Part>& parts,
                             const S3Headers& headers) {
  const auto done = few_times(clock_, [&](unsigned attempt) -> Status {
    const auto completed = client_->complete_upload(upload.key, upload.id, parts, headers);
    if (completed.ok()) return {};
    if (attempt == 1) return completed.error();
    // The answer to an earlier attempt may have been lost.
    const auto there = client_->head_object(upload.key, false);
    if (there.ok() && there->metadata_sha256 == to_hex(upload.source.sha256) &&
        there->info.size == size_of(upload.source)) {
      return {};
    }
    return completed.error();
  });
  return done;
}

void S3Store::abort_parts(const std::string& full, const std::string& upload_id) {
  const Status aborted = client_->abort_upload(full, upload_id);
  if (!aborted.ok()) {
    log_warning("s3", "an unfinished upload stays behind", {{"error", aborted.error().message()}});
  }
}

Result<ObjectInfo> S3Store::put_in_parts(const std::string& key, const PutSource& source,
                                         const PutOptions& options, const S3Traits& found) {
  const std::string full = options_.prefix + key;
  const uint64_t size = size_of(source);
  const uint64_t least = (size + kMaxParts - 1) / kMaxParts;
  const uint64_t part_bytes = std::max(options_.part_bytes, (least + MiB - 1) / MiB * MiB);
  ASSIGN_OR_RETURN(const bool trailers, remembered(trailers_, &S3Probe::trailers));
  if (!trailers && !body_is_checked(found) && !found.etag_is_md5) {
    return Error(ErrorCode::not_supported,
                 "put " + key + ": " + describe() + " checks nothing of what it is sent");
  }
  S3Headers headers = object_headers(source.sha256, options.storage_class);
  if (trailers) headers.emplace_back("x-amz-checksum-algorithm", "CRC32C");
  ASSIGN_OR_RETURN(std::string id, client_->create_upload(full, headers));
  PartsUpload upload{full, source, found, trailers, std::move(id), {}};
  const Status uploaded = [&]() -> Status {
    std::vector<S3Part> parts;
    for (uint64_t at = 0; at < size; at += part_bytes) {
      ASSIGN_OR_RETURN(S3Part part, put_part(upload, at, std::min(part_bytes, size - at),
                                             static_cast<unsigned>(parts.size() + 1)));
      parts.push_back(std::move(part));
    }
    // Each part arrived as it was read; together they must be what was announced.
    if (upload.sha.finish() != source.sha256) return put_mismatch(key);
    S3Headers condition;
    add_condition(condition, options);
    return finish_parts(upload, parts, condition);
  }();
  if (!uploaded.ok()) {
    abort_parts(full, upload.id);
    return uploaded.error();
  }
  // What parts were put together to is asked for.
  ASSIGN_OR_RETURN(ObjectInfo info, head(key));
  if (info.size != size || info.storage_class != options.storage_class) {
    return Error(ErrorCode::unavailable, "put " + key + ": the server made another object of it");
  }
  info.sha256 = source.sha256;
  return info;
}

Status S3Store::copy_in_parts(const std::string& full, const ObjectInfo& info,
                              StorageClass storage_class) {
  if (!info.sha256) {
    return Error(ErrorCode::not_supported, "copying " + full + ": it has no digest");
  }
  ASSIGN_OR_RETURN(const std::string id,
                   client_->create_upload(full, object_headers(*info.sha256, storage_class)));
  const Status copied = [&]() -> Status {
    std::vector<S3Part> parts;
    const uint64_t part_bytes = std::max(kCopyPartBytes, (info.size + kMaxParts - 1) / kMaxParts);
    for (uint64_t at = 0; at < info.size; at += part_bytes) {
      ASSIGN_OR_RETURN(std::string etag, few_times(clock_, [&](unsigned) {
                         return client_->copy_part(full, info.etag, at,
                                                   std::min(part_bytes, info.size - at), full, id,
                                                   static_cast<unsigned>(parts.size() + 1));
                       }));
      parts.push_back({std::move(etag), ""});
    }
    const auto done = client_->complete_upload(full, id, parts, {});
    return done.ok() ? Status() : Status(done.error());
  }();
  if (!copied.ok()) abort_parts(full, id);
  return copied;
}

Result<ObjectInfo> S3Store::change_class(const std::string& key, StorageClass storage_class) {
  ASSIGN_OR_RETURN(const std::string full, full_key(key));
  ASSIGN_OR_RETURN(const S3Traits found, traits());
  if (!found.capabilities.storage_classes && storage_class != StorageClass::standard) {
    return Error(ErrorCode::not_supported,
                 describe() + " has no storage class " + std::string(to_string(storage_class)));
  }
  // Metadata comes along by itself; encryption does not.
  S3Headers headers = encryption_headers();
  headers.emplace_back("x-amz-storage-class", std::string(to_string(storage_class)));
  if (found.capabilities.server_checksums) {
    headers.emplace_back("x-amz-checksum-algorithm", "SHA256");
  }
  Status copied = client_->copy_object(full, full, headers);
  // Most copies just work: what stands there is asked for afterwards, and when one did not.
  Result<ObjectInfo> info = copied.ok() || copied.error().disposition != Disposition::retry
                                ? head(key)
                                : Result<ObjectInfo>(copied.error());
  if (!info.ok()) {
    // Not knowing what stands there comes before what the copy said: it may have said "cold"
    // because an earlier copy was done.
    const bool unknown = info.error().disposition == Disposition::retry;
    return copied.ok() || unknown ? info.error() : copied.error();
  }
  if (!copied.ok() && info->storage_class == storage_class) return info;  // it is there already
  if (!copied.ok() && info->size > kLargestPut && copied.error().code != ErrorCode::cold) {
    TRY(copy_in_parts(full, *info, storage_class));
    info = head(key);
    if (!info.ok()) return info;
  } else if (!copied.ok()) {
    return copied.error();
  }
  if (info->storage_class != storage_class) {
    return Error(ErrorCode::not_supported, describe() + " leaves " + key + " in " +
                                               std::string(to_string(info->storage_class)));
  }
  return info;
}

}  // namespace coldshelf
