// The S3 client's operations on several parts, several objects and on locks.
#include "uploader/cloud/digests.h"
#include "uploader/cloud/s3_call.h"

namespace coldshelf {

namespace {

// What S3 asks for where a document changes much: DeleteObjects, retention.
std::string content_md5(ByteView bytes) { return to_base64(md5_of(bytes)); }

constexpr std::string_view kNoLock = "NoSuchObjectLockConfiguration";

Error with_context(const Error& error, const char* operation, const std::string& key) {
  return {error.code, error.disposition, std::string(operation) + " " + key + ": " + error.context};
}

}  // namespace

Result<std::vector<S3DeleteFailure>> S3Client::delete_objects(
    const std::vector<std::string>& keys) {
  Call call = object_call("DeleteObjects", "POST", "");
  call.query = {{"delete", ""}};
  set_document(call, delete_xml(keys));
  call.headers.emplace_back("content-md5", content_md5(call.http.body));
  call.error_in_success = true;
  ASSIGN_OR_RETURN(const HttpResponse response, this->call(call));
  Result<std::vector<S3DeleteFailure>> failures = parse_delete_result(response.body);
  if (failures.ok()) return failures;
  return with_context(failures.error(), "DeleteObjects", "");
}

Result<std::string> S3Client::create_upload(const std::string& key, const S3Headers& headers) {
  Call call = object_call("CreateMultipartUpload", "POST", key);
  call.query = {{"uploads", ""}};
  call.headers = headers;
  ASSIGN_OR_RETURN(const HttpResponse response, this->call(call));
  Result<std::string> id = parse_upload_id(response.body);
  if (id.ok()) return id;
  return with_context(id.error(), "CreateMultipartUpload", key);
}

Result<S3PutResult> S3Client::upload_part(const std::string& key, const std::string& upload_id,
                                          unsigned part_number, const S3Body& body,
                                          const S3Headers& headers) {
  Call call = object_call("UploadPart", "PUT", key);
  call.query = {{"partNumber", std::to_string(part_number)}, {"uploadId", upload_id}};
  call.headers = headers;
  return put(call, body);
}

Result<std::string> S3Client::copy_part(const std::string& from, const std::string& from_etag,
                                        uint64_t offset, uint64_t bytes, const std::string& to,
                                        const std::string& upload_id, unsigned part_number) {
  Call call = object_call("UploadPartCopy", "PUT", to);
  call.query = {{"partNumber", std::to_string(part_number)}, {"uploadId", upload_id}};
  call.headers = {{"x-amz-copy-source", "/" + percent_encode(options_.bucket + "/" + from, true)},
                  {"x-amz-copy-source-if-match", "\"" + from_etag + "\""},
                  {"x-amz-copy-source-range",
                   "bytes=" + std::to_string(offset) + "-" + std::to_string(offset + bytes - 1)}};
  call.error_in_success = true;
  call.http.idle_timeout_ms = options_.server_side_timeout_ms;
  call.http.total_timeout_ms = options_.server_side_timeout_ms;
  ASSIGN_OR_RETURN(const HttpResponse response, this->call(call));
  Result<std::string> etag = parse_result_etag(response.body, "CopyPartResult");
  if (etag.ok()) return etag;
  return with_context(etag.error(), "UploadPartCopy", to);
}

Result<S3PutResult> S3Client::complete_upload(const std::string& key, const std::string& upload_id,
                                              const std::vector<S3Part>& parts,
                                              const S3Headers& headers) {
  Call call = object_call("CompleteMultipartUpload", "POST", key);
  call.query = {{"uploadId", upload_id}};
  call.headers = headers;
  set_document(call, complete_xml(parts));
  call.error_in_success = true;
  call.http.idle_timeout_ms = options_.server_side_timeout_ms;
  call.http.total_timeout_ms = options_.server_side_timeout_ms;
  ASSIGN_OR_RETURN(const HttpResponse response, this->call(call));
  Result<std::string> etag = parse_result_etag(response.body, "CompleteMultipartUploadResult");
  if (!etag.ok()) return with_context(etag.error(), "CompleteMultipartUpload", key);
  S3PutResult result;
  result.etag = std::move(etag).value();
  return result;
}

Status S3Client::abort_upload(const std::string& key, const std::string& upload_id) {
  Call call = object_call("AbortMultipartUpload", "DELETE", key);
  call.query = {{"uploadId", upload_id}};
  const Result<HttpResponse> done = this->call(call);
  if (done.ok() || done.error().code == ErrorCode::not_found) return {};
  // NoSuchUpload is worth a new attempt for who uploads a part, and all that was wanted here.
  if (call.failed_with == "NoSuchUpload") return {};
  return done.error();
}

Result<S3UploadListing> S3Client::list_uploads(const std::string& prefix,
                                               const std::string& key_marker,
                                               const std::string& upload_id_marker) {
  Call call = object_call("ListMultipartUploads", "GET", "");
  call.query = {{"uploads", ""}, {"encoding-type", "url"}};
  auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) call.query.emplace_back(name, value);
  };
  add("prefix", prefix);
  add("key-marker", key_marker);
  add("upload-id-marker", upload_id_marker);
  ASSIGN_OR_RETURN(const HttpResponse response, this->call(call));
  Result<S3UploadListing> listing = parse_upload_listing(response.body);
  if (listing.ok()) return listing;
  return with_context(listing.error(), "ListMultipartUploads", prefix);
}

Status S3Client::put_retention(const std::string& key, const ObjectLock& lock,
                               bool bypass_governance) {
  Call call = object_call("PutObjectRetention", "PUT", key);
  call.query = {{"retention", ""}};
  set_document(call, retention_xml(lock));
  call.headers.emplace_back("content-md5", content_md5(call.http.body));
  if (bypass_governance) call.headers.emplace_back("x-amz-bypass-governance-retention", "true");
  const Result<HttpResponse> done = this->call(call);
  return done.ok() ? Status() : Status(done.error());
}

Status S3Client::put_legal_hold(const std::string& key, bool on) {
  Call call = object_call("PutObjectLegalHold", "PUT", key);
  call.query = {{"legal-hold", ""}};
  set_document(call, legal_hold_xml(on));
  call.headers.emplace_back("content-md5", content_md5(call.http.body));
  const Result<HttpResponse> done = this->call(call);
  return done.ok() ? Status() : Status(done.error());
}

Result<ObjectLock> S3Client::get_lock(const std::string& key) {
  ObjectLock lock;
  Call retention = object_call("GetObjectRetention", "GET", key);
  retention.query = {{"retention", ""}};
  Result<HttpResponse> answer = call(retention);
  if (answer.ok()) {
    // Some servers answer with nothing where there is no retention.
    if (!answer->body.empty()) {
      ASSIGN_OR_RETURN(lock, parse_retention(answer->body));
    }
  } else if (retention.failed_with != kNoLock) {
    return answer.error();
  }
  Call hold = object_call("GetObjectLegalHold", "GET", key);
  hold.query = {{"legal-hold", ""}};
  answer = call(hold);
  if (answer.ok()) {
    lock.legal_hold = parse_legal_hold(answer->body);
  } else if (hold.failed_with != kNoLock) {
    return answer.error();
  }
  return lock;
}

Result<bool> S3Client::bucket_has_lock() {
  Call configuration = object_call("GetObjectLockConfiguration", "GET", "");
  configuration.query = {{"object-lock", ""}};
  const Result<HttpResponse> answer = call(configuration);
  if (answer.ok()) return parse_lock_enabled(answer->body);
  const Error& error = answer.error();
  // None, or not known here. What is not ours to know may be a lock: archives that must be held
  // would go without one.
  if (error.code == ErrorCode::not_found || error.code == ErrorCode::not_supported) return false;
  if (error.code != ErrorCode::permission) return error;
  return Error(error.code, error.disposition,
               error.context + "; the policy must allow s3:GetBucketObjectLockConfiguration on " +
                   "bucket '" + options_.bucket + "'");
}

Result<bool> S3Client::bucket_has_versions() {
  Call configuration = object_call("GetBucketVersioning", "GET", "");
  configuration.query = {{"versioning", ""}};
  ASSIGN_OR_RETURN(const HttpResponse answer, call(configuration));
  return parse_versioning_enabled(answer.body);
}

}  // namespace coldshelf
