#include "tests/support/imposter/service.h"

#include <algorithm>
#include <pugixml.hpp>

#include "tests/support/imposter/checks.h"

namespace coldshelf::test::imposter {

bool parse_xml(const Blob& content, pugi::xml_document& out) {
  const Buffer bytes = content.all();
  return static_cast<bool>(out.load_buffer(bytes.data(), bytes.size()));
}

std::string quoted(const std::string& etag) { return "\"" + etag + "\""; }

std::string unquoted(std::string etag) {
  if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"') {
    return etag.substr(1, etag.size() - 2);
  }
  return etag;
}

bool cold_class(const std::string& storage_class) {
  return storage_class == "GLACIER" || storage_class == "DEEP_ARCHIVE";
}

Service::Service(const ImposterOptions& options, Clock& clock)
    : options_(options), clock_(clock), support_(options.support) {
  for (const std::string& name : options.buckets) {
    buckets_[name].object_lock = options.support.object_lock;
  }
}

std::string Service::new_id(const char* prefix) const {
  char text[32];
  std::snprintf(text, sizeof text, "%s%012llx", prefix, static_cast<unsigned long long>(++ids_));
  return text;
}

Result<Blob> Service::keep(const Blob& content) {
  if (options_.directory.empty()) return content;
  return Blob::in_file(options_.directory + "/" + new_id("body-"), content.all());
}

std::string Service::etag_of(const Request& request, const Blob& content) {
  if (support().md5_etags && request.header("x-amz-server-side-encryption") != "aws:kms") {
    return md5_hex(content);
  }
  return md5_hex(Blob::in_memory(to_buffer(as_view(new_id("opaque")))));
}

Response Service::handle(const Request& request, const Headers& checksums) {
  const bool has_content =
      request.operation == S3Operation::put_object || request.operation == S3Operation::upload_part;
  if (!has_content) {
    const std::lock_guard lock(mutex_);
    if (request.operation == S3Operation::list_buckets) return list_buckets();
    if (request.operation == S3Operation::create_bucket) return create_bucket(request);
    const auto bucket = buckets_.find(request.bucket);
    if (bucket == buckets_.end()) {
      return error_response("NoSuchBucket", "The specified bucket does not exist",
                            element("BucketName", request.bucket));
    }
    return dispatch(bucket->second, request, checksums);
  }
  // 1. Hash and store the bytes with no lock held. 2. Enter them.
  Request kept = request;
  Result<Blob> stored = keep(request.content);
  if (!stored.ok()) return error_response("InternalError", stored.error().message());
  kept.content = *stored;
  kept.headers["imposter-etag"] = etag_of(request, request.content);
  const std::lock_guard lock(mutex_);
  const auto bucket = buckets_.find(request.bucket);
  if (bucket == buckets_.end()) {
    return error_response("NoSuchBucket", "The specified bucket does not exist");
  }
  return request.operation == S3Operation::put_object
             ? put_object(bucket->second, kept, checksums)
             : upload_part(bucket->second, kept, checksums);
}

Response Service::dispatch(Bucket& b, const Request& request, const Headers& checksums) {
  switch (request.operation) {
    case S3Operation::head_bucket: {
      Response response;
      response.set("x-amz-bucket-region", options_.region);
      return response;
    }
    case S3Operation::delete_bucket:
      return delete_bucket(request);
    case S3Operation::bucket_setting:
      return bucket_setting(b, request);
    case S3Operation::get_object:
      return get_object(b, request, false);
    case S3Operation::head_object:
      return get_object(b, request, true);
    case S3Operation::delete_object:
      return delete_object(b, request);
    case S3Operation::delete_objects:
      return delete_objects(b, request, checksums);
    case S3Operation::copy_object:
      return copy_object(b, request);
    case S3Operation::list_objects:
      return list_objects(b, request);
    case S3Operation::create_multipart:
      return create_multipart(b, request);
    case S3Operation::upload_part_copy:
      return upload_part_copy(b, request);
    case S3Operation::complete_multipart:
      return complete_multipart(b, request);
    case S3Operation::abort_multipart:
      return abort_multipart(b, request);
    case S3Operation::list_multipart:
      return list_multipart(b, request);
    case S3Operation::list_parts:
      return list_parts(b, request);
    case S3Operation::restore_object:
      return restore_object(b, request);
    case S3Operation::put_lock:
      return put_lock(b, request, checksums);
    case S3Operation::get_lock:
      return get_lock(b, request);
    default:
      return error_response("NotImplemented", "the imposter does not do this");
  }
}

Response Service::list_buckets() const {
  std::string list;
  for (const auto& [name, bucket] : buckets_) {
    list +=
        "<Bucket>" + element("Name", name) + element("CreationDate", format_utc(0)) + "</Bucket>";
  }
  return xml_response("ListAllMyBucketsResult", "<Owner>" + element("ID", "imposter") +
                                                    "</Owner><Buckets>" + list + "</Buckets>");
}

Response Service::create_bucket(const Request& request) {
  if (buckets_.count(request.bucket) != 0) {
    return error_response("BucketAlreadyOwnedByYou", "the bucket is yours already");
  }
  buckets_[request.bucket].object_lock =
      request.header("x-amz-bucket-object-lock-enabled") == "true";
  Response response;
  response.set("Location", "/" + request.bucket);
  return response;
}

Response Service::delete_bucket(const Request& request) {
  const auto bucket = buckets_.find(request.bucket);
  if (!bucket->second.objects.empty() || !bucket->second.uploads.empty()) {
    return error_response("BucketNotEmpty", "The bucket you tried to delete is not empty");
  }
  buckets_.erase(bucket);
  Response response;
  response.status = 204;
  return response;
}

Response Service::bucket_setting(const Bucket& b, const Request& request) const {
  if (request.method != "GET") return error_response("NotImplemented", "read only");
  if (request.has_query("location")) {
    Response response = xml_response("LocationConstraint", "");
    if (options_.region != "us-east-1") {
      response = xml_response("LocationConstraint", escape_xml(options_.region));
    }
    return response;
  }
  if (request.has_query("versioning")) {
    return xml_response("VersioningConfiguration",
                        b.object_lock ? element("Status", "Enabled") : "");
  }
  if (!b.object_lock) {
    return error_response("ObjectLockConfigurationNotFoundError",
                          "Object Lock configuration does not exist for this bucket");
  }
  return xml_response("ObjectLockConfiguration", element("ObjectLockEnabled", "Enabled"));
}

Version* Service::current(Bucket& b, const std::string& key) const {
  const auto it = b.objects.find(key);
  if (it == b.objects.end() || it->second.back().delete_marker) return nullptr;
  return &it->second.back();
}

const Version* Service::current(const Bucket& b, const std::string& key) const {
  const auto it = b.objects.find(key);
  if (it == b.objects.end() || it->second.back().delete_marker) return nullptr;
  return &it->second.back();
}

const Version* Service::chosen(const Bucket& b, const Request& request) const {
  if (!request.has_query("versionId")) return current(b, request.key);
  const auto it = b.objects.find(request.key);
  if (it == b.objects.end()) return nullptr;
  for (const Version& version : it->second) {
    if (version.id == request.query_value("versionId") && !version.delete_marker) return &version;
  }
  return nullptr;
}

void Service::add_version(Bucket& b, const std::string& key, Version version) {
  const bool was_there = current(static_cast<const Bucket&>(b), key) != nullptr;
  if (!was_there && !version.delete_marker) b.appeared_ms[key] = now_ms();
  if (was_there && version.delete_marker && list_lag_ms_ > 0) {
    b.ghosts[key] = {*current(b, key), b.appeared_ms[key], now_ms()};
  }
  std::vector<Version>& all = b.objects[key];
  if (!b.object_lock) all.clear();  // not versioned
  version.id = b.object_lock ? new_id("v") : "";
  version.modified_ms = now_ms();
  all.push_back(std::move(version));
}

std::string Service::remove(Bucket& b, const std::string& key, const std::string& id, bool bypass) {
  const auto it = b.objects.find(key);
  if (it == b.objects.end()) return "";
  if (id.empty() && b.object_lock) {
    if (!it->second.back().delete_marker) {
      Version marker;
      marker.delete_marker = true;
      add_version(b, key, std::move(marker));
    }
    return "";
  }
  if (id.empty()) {
    if (list_lag_ms_ > 0) b.ghosts[key] = {it->second.back(), b.appeared_ms[key], now_ms()};
    b.objects.erase(it);
    b.appeared_ms.erase(key);
    return "";
  }
  std::vector<Version>& all = it->second;
  const auto version =
      std::find_if(all.begin(), all.end(), [&](const Version& v) { return v.id == id; });
  if (version == all.end()) return "NoSuchVersion";
  if (locked(*version, bypass)) return "AccessDenied";
  all.erase(version);
  if (all.empty()) b.objects.erase(it);
  return "";
}

bool Service::readable(const Version& version) const {
  if (!cold_class(version.storage_class)) return true;
  return version.restored_at_ms != 0 && version.restored_at_ms <= now_ms() &&
         now_ms() < version.restore_ends_ms;
}

bool Service::locked(const Version& version, bool bypass) const {
  if (version.lock.legal_hold) return true;
  if (version.lock.mode.empty() || now_ms() >= version.lock.retain_until_ms) return false;
  return version.lock.mode == "COMPLIANCE" || !bypass;
}

// Behind the protocol's back.

void Service::set_support(const ImposterSupport& support) {
  const std::lock_guard lock(mutex_);
  support_ = support;
}

ImposterSupport Service::support() const {
  const std::lock_guard lock(mutex_);
  return support_;
}

std::vector<std::string> Service::bucket_names() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [name, bucket] : buckets_) names.push_back(name);
  return names;
}

std::vector<std::string> Service::keys(const std::string& bucket) const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> out;
  const auto found = buckets_.find(bucket);
  if (found == buckets_.end()) return out;
  for (const auto& [key, versions] : found->second.objects) {
    if (!versions.back().delete_marker) out.push_back(key);
  }
  return out;
}

std::optional<ImposterObject> Service::object(const std::string& bucket,
                                              const std::string& key) const {
  const std::lock_guard lock(mutex_);
  const auto found = buckets_.find(bucket);
  if (found == buckets_.end()) return std::nullopt;
  const Version* version = current(found->second, key);
  if (version == nullptr) return std::nullopt;
  ImposterObject out;
  out.bytes = version->content.all();
  out.storage_class = version->storage_class;
  out.etag = version->etag;
  out.metadata = version->metadata;
  out.checksums = version->checksums;
  out.restored = cold_class(version->storage_class) && readable(*version);
  return out;
}

bool Service::erase(const std::string& bucket, const std::string& key) {
  const std::lock_guard lock(mutex_);
  const auto found = buckets_.find(bucket);
  if (found == buckets_.end()) return false;
  found->second.appeared_ms.erase(key);
  return found->second.objects.erase(key) != 0;
}

bool Service::flip_bit(const std::string& bucket, const std::string& key, uint64_t offset) {
  const std::lock_guard lock(mutex_);
  const auto found = buckets_.find(bucket);
  Version* version = found == buckets_.end() ? nullptr : current(found->second, key);
  if (version == nullptr || offset >= version->content.size()) return false;
  Buffer bytes = version->content.all();
  bytes[offset] ^= std::byte{1};
  version->content = Blob::in_memory(std::move(bytes));
  return true;
}

size_t Service::unfinished_uploads() const {
  const std::lock_guard lock(mutex_);
  size_t n = 0;
  for (const auto& [name, bucket] : buckets_) n += bucket.uploads.size();
  return n;
}

size_t Service::versions(const std::string& bucket, const std::string& key) const {
  const std::lock_guard lock(mutex_);
  const auto found = buckets_.find(bucket);
  if (found == buckets_.end()) return 0;
  const auto versions = found->second.objects.find(key);
  return versions == found->second.objects.end() ? 0 : versions->second.size();
}

}  // namespace coldshelf::test::imposter
