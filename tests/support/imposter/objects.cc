// PutObject, GetObject, HeadObject, DeleteObject(s), CopyObject.
#include <algorithm>
#include <array>
#include <pugixml.hpp>

#include "tests/support/imposter/checks.h"
#include "tests/support/imposter/service.h"

namespace coldshelf::test::imposter {

namespace {

constexpr std::array<std::string_view, 7> kClasses = {
    "STANDARD",   "STANDARD_IA", "ONEZONE_IA",  "INTELLIGENT_TIERING",
    "GLACIER_IR", "GLACIER",     "DEEP_ARCHIVE"};
constexpr size_t kMaxMetadataBytes = 2048;
constexpr size_t kMaxDeletes = 1000;

std::optional<Response> check_class(const std::string& name, S3Support classes) {
  if (name.empty()) return std::nullopt;
  if (std::count(kClasses.begin(), kClasses.end(), name) == 0) {
    return error_response("InvalidStorageClass", "The storage class you specified is not valid");
  }
  if (classes == S3Support::refused && name != "STANDARD") {
    return error_response("NotImplemented", "storage classes are not done here");
  }
  return std::nullopt;
}

std::string class_of(const Request& request, S3Support classes) {
  const std::string name = request.header("x-amz-storage-class");
  return name.empty() || classes != S3Support::yes ? "STANDARD" : name;
}

std::optional<Response> read_lock(const Request& request, Lock& out) {
  const std::string mode = request.header("x-amz-object-lock-mode");
  const std::string until = request.header("x-amz-object-lock-retain-until-date");
  const std::string hold = request.header("x-amz-object-lock-legal-hold");
  if (mode.empty() != until.empty()) {
    return error_response("InvalidArgument", "object lock: mode and date go together");
  }
  if (!mode.empty()) {
    if (mode != "GOVERNANCE" && mode != "COMPLIANCE") {
      return error_response("InvalidArgument", "Unknown wormMode directive");
    }
    if (!parse_iso_date(until, out.retain_until_ms)) {
      return error_response("InvalidArgument", "The retain until date must be ISO 8601");
    }
    out.mode = mode;
  }
  if (!hold.empty() && hold != "ON" && hold != "OFF") {
    return error_response("InvalidArgument", "Legal hold must be either of 'ON' or 'OFF'");
  }
  out.legal_hold = hold == "ON";
  return std::nullopt;
}

// "bytes=a-b", "bytes=a-", "bytes=-n". False: not satisfiable, or not a range.
bool parse_range(const std::string& text, uint64_t size, uint64_t& offset, uint64_t& length) {
  if (text.compare(0, 6, "bytes=") != 0) return false;
  const size_t dash = text.find('-', 6);
  if (dash == std::string::npos || text.find(',') != std::string::npos) return false;
  const std::string first = text.substr(6, dash - 6);
  const std::string last = text.substr(dash + 1);
  if (first.empty() && last.empty()) return false;
  if (first.empty()) {
    length = std::min<uint64_t>(size, std::strtoull(last.c_str(), nullptr, 10));
    offset = size - length;
    return length > 0;
  }
  offset = std::strtoull(first.c_str(), nullptr, 10);
  if (offset >= size) return false;
  const uint64_t end = last.empty() ? size - 1 : std::strtoull(last.c_str(), nullptr, 10);
  if (end < offset) return false;
  length = std::min(end, size - 1) - offset + 1;
  return true;
}

}  // namespace

Headers metadata_of(const Request& request) {
  Headers out;
  for (const auto& [name, value] : request.headers) {
    if (name.compare(0, 11, "x-amz-meta-") == 0 || name == "content-type" ||
        name == "cache-control" || name == "content-disposition" ||
        name.compare(0, 28, "x-amz-server-side-encryption") == 0) {
      out[name] = value;
    }
  }
  return out;
}

Service::Refusal Service::refuse_condition(const Bucket& b, const Request& request) const {
  const std::string none = request.header("if-none-match");
  const std::string match = request.header("if-match");
  if (none.empty() && match.empty()) return std::nullopt;
  if (support_.conditional_writes == S3Support::refused) {
    return error_response("NotImplemented", "conditional writes are not done here");
  }
  if (support_.conditional_writes == S3Support::ignored) return std::nullopt;
  const Version* there = current(b, request.key);
  if (!none.empty()) {
    if (none != "*") return error_response("NotImplemented", "If-None-Match: * only");
    if (there != nullptr) {
      return error_response("PreconditionFailed",
                            "At least one of the pre-conditions you specified did not hold",
                            element("Condition", "If-None-Match"));
    }
  }
  if (!match.empty()) {
    if (there == nullptr) {
      return error_response("NoSuchKey", "The specified key does not exist.");
    }
    if (unquoted(match) != there->etag && match != "*") {
      return error_response("PreconditionFailed",
                            "At least one of the pre-conditions you specified did not hold",
                            element("Condition", "If-Match"));
    }
  }
  return std::nullopt;
}

Service::Refusal Service::read_attributes(const Bucket& b, const Request& request,
                                          const Headers& checksums, Version& out) const {
  if (request.key.size() > 1024) return error_response("KeyTooLongError", "Your key is too long");
  if (auto wrong = check_class(request.header("x-amz-storage-class"), support_.storage_classes)) {
    return wrong;
  }
  out.storage_class = class_of(request, support_.storage_classes);
  out.metadata = metadata_of(request);
  size_t metadata_bytes = 0;
  for (const auto& [name, value] : out.metadata) {
    if (name.compare(0, 11, "x-amz-meta-") == 0) metadata_bytes += name.size() - 11 + value.size();
  }
  if (metadata_bytes > kMaxMetadataBytes) {
    return error_response("MetadataTooLarge", "Your metadata headers exceed the maximum");
  }
  if (auto wrong = read_lock(request, out.lock)) return wrong;
  if (!out.lock.mode.empty() || request.has_header("x-amz-object-lock-legal-hold")) {
    if (!b.object_lock) {
      return error_response("InvalidRequest", "Bucket is missing Object Lock Configuration");
    }
    if (checksums.empty() && !request.has_header("content-md5") &&
        request.operation == S3Operation::put_object) {
      return error_response("InvalidRequest",
                            "Content-MD5 OR x-amz-checksum- HTTP header is required for Put "
                            "Object requests with Object Lock parameters");
    }
  }
  if (support_.checksums == S3Support::yes) out.checksums = checksums;
  return std::nullopt;
}

Response Service::put_object(Bucket& b, const Request& request, const Headers& checksums) {
  if (request.content.size() > options_.put_limit_bytes) {
    return error_response("EntityTooLarge", "Your proposed upload exceeds the maximum");
  }
  Version version;
  if (auto wrong = read_attributes(b, request, checksums, version)) return *wrong;
  if (auto refusal = refuse_condition(b, request)) return *refusal;
  version.content = request.content;
  version.etag = request.header("imposter-etag");
  add_version(b, request.key, std::move(version));
  const Version& stored = *current(b, request.key);
  Response response;
  response.set("ETag", quoted(stored.etag));
  if (!stored.id.empty()) response.set("x-amz-version-id", stored.id);
  for (const auto& [name, value] : stored.checksums) response.set(name, value);
  if (!stored.checksums.empty()) response.set("x-amz-checksum-type", "FULL_OBJECT");
  for (const auto& [name, value] : stored.metadata) {
    if (name.compare(0, 28, "x-amz-server-side-encryption") == 0) response.set(name, value);
  }
  return response;
}

void Service::describe(const Version& version, bool with_checksums, Response& out) const {
  out.set("ETag", quoted(version.etag));
  out.set("Last-Modified", http_date(version.modified_ms));
  out.set("Accept-Ranges", "bytes");
  if (!version.id.empty()) out.set("x-amz-version-id", version.id);
  if (version.storage_class != "STANDARD") out.set("x-amz-storage-class", version.storage_class);
  if (version.metadata.count("content-type") == 0) {
    out.set("Content-Type", "binary/octet-stream");
  }
  for (const auto& [name, value] : version.metadata) out.set(name, value);
  if (!version.lock.mode.empty()) {
    out.set("x-amz-object-lock-mode", version.lock.mode);
    out.set("x-amz-object-lock-retain-until-date", format_utc(version.lock.retain_until_ms));
  }
  if (version.lock.legal_hold) out.set("x-amz-object-lock-legal-hold", "ON");
  if (version.restored_at_ms > now_ms()) {
    out.set("x-amz-restore", "ongoing-request=\"true\"");
  } else if (version.restored_at_ms != 0 && now_ms() < version.restore_ends_ms) {
    out.set("x-amz-restore", "ongoing-request=\"false\", expiry-date=\"" +
                                 http_date(version.restore_ends_ms) + "\"");
  }
  if (!with_checksums || support_.checksums != S3Support::yes) return;
  Headers told = version.checksums;
  if (told.empty()) {  // S3's own, of every object that was put without one
    told["x-amz-checksum-crc64nvme"] = checksum_of("crc64nvme", version.content).value_or("");
  }
  for (const auto& [name, value] : told) out.set(name, value);
  out.set("x-amz-checksum-type", version.composite ? "COMPOSITE" : "FULL_OBJECT");
}

Response Service::get_object(const Bucket& b, const Request& request, bool head) const {
  const Version* version = chosen(b, request);
  if (version == nullptr) {
    Response missing = error_response("NoSuchKey", "The specified key does not exist.",
                                      element("Key", request.key));
    return missing;
  }
  const std::string match = request.header("if-match");
  const std::string none_match = request.header("if-none-match");
  if (!match.empty() && match != "*" && unquoted(match) != version->etag) {
    return error_response("PreconditionFailed", "If-Match does not hold");
  }
  if (!none_match.empty() && (none_match == "*" || unquoted(none_match) == version->etag)) {
    return error_response("NotModified", "not modified");
  }
  if (!head && !readable(*version)) {
    return error_response("InvalidObjectState",
                          "The operation is not valid for the object's storage class",
                          element("StorageClass", version->storage_class));
  }
  uint64_t offset = 0;
  uint64_t length = version->content.size();
  const bool ranged = request.has_header("range");
  if (ranged && !parse_range(request.header("range"), version->content.size(), offset, length)) {
    return error_response("InvalidRange", "The requested range is not satisfiable",
                          element("ActualObjectSize", std::to_string(version->content.size())));
  }
  Response response;
  describe(*version, request.header("x-amz-checksum-mode") == "ENABLED" && !ranged, response);
  if (ranged) {
    response.status = 206;
    response.set("Content-Range", "bytes " + std::to_string(offset) + "-" +
                                      std::to_string(offset + length - 1) + "/" +
                                      std::to_string(version->content.size()));
  }
  if (head) {
    response.head = true;
    response.told_length = length;
  } else {
    response.has_blob = true;
    response.blob = version->content;
    response.blob_offset = offset;
    response.blob_length = length;
  }
  return response;
}

Response Service::delete_object(Bucket& b, const Request& request) {
  const bool bypass = request.header("x-amz-bypass-governance-retention") == "true";
  if (request.has_header("if-match")) {
    if (auto refusal = refuse_condition(b, request)) return *refusal;
  }
  const std::string code = remove(b, request.key, request.query_value("versionId"), bypass);
  if (!code.empty()) return error_response(code, "the version cannot be deleted");
  Response response;
  response.status = 204;
  return response;
}

Response Service::delete_objects(Bucket& b, const Request& request, const Headers& checksums) {
  if (!request.has_header("content-md5") && checksums.empty()) {
    return error_response("InvalidRequest",
                          "Missing required header for this request: Content-MD5");
  }
  pugi::xml_document body;
  if (!parse_xml(request.content, body) || !body.child("Delete")) {
    return error_response("MalformedXML", "The XML you provided was not well-formed");
  }
  const bool bypass = request.header("x-amz-bypass-governance-retention") == "true";
  const bool quiet = std::string_view(body.child("Delete").child_value("Quiet")) == "true";
  const auto objects = body.child("Delete").children("Object");
  const auto count = static_cast<size_t>(std::distance(objects.begin(), objects.end()));
  if (count == 0 || count > kMaxDeletes) {
    return error_response("MalformedXML", "between 1 and 1000 keys");
  }
  std::string result;
  for (const pugi::xml_node& object : objects) {
    const std::string key = object.child_value("Key");
    const std::string code = remove(b, key, object.child_value("VersionId"), bypass);
    if (!code.empty()) {
      result += "<Error>" + element("Key", key) + element("Code", code) + element("Message", code) +
                "</Error>";
    } else if (!quiet) {
      result += "<Deleted>" + element("Key", key) + "</Deleted>";
    }
  }
  return xml_response("DeleteResult", result);
}

// The object x-amz-copy-source names, and its part under x-amz-copy-source-range.
Service::Refusal Service::find_source(const Request& request, const Version*& out, uint64_t& offset,
                                      uint64_t& length) const {
  std::string source;
  if (!decode_uri(request.header("x-amz-copy-source"), false, source)) {
    return error_response("InvalidArgument", "bad x-amz-copy-source");
  }
  if (!source.empty() && source[0] == '/') source.erase(0, 1);
  Request from;
  const size_t query = source.find("?versionId=");
  if (query != std::string::npos) from.query["versionId"] = source.substr(query + 11);
  source.resize(std::min(query, source.size()));
  const size_t slash = source.find('/');
  if (slash == std::string::npos) return error_response("InvalidArgument", "no key to copy from");
  from.key = source.substr(slash + 1);
  const auto bucket = buckets_.find(source.substr(0, slash));
  if (bucket == buckets_.end()) return error_response("NoSuchBucket", "no such source bucket");
  out = chosen(bucket->second, from);
  if (out == nullptr) return error_response("NoSuchKey", "The specified key does not exist.");
  if (!readable(*out)) {
    return error_response("ObjectNotInActiveTierError",
                          "The source object of the COPY action is not in the active tier");
  }
  const std::string match = request.header("x-amz-copy-source-if-match");
  if (!match.empty() && unquoted(match) != out->etag) {
    return error_response("PreconditionFailed", "x-amz-copy-source-if-match does not hold");
  }
  offset = 0;
  length = out->content.size();
  const std::string range = request.header("x-amz-copy-source-range");
  if (!range.empty() && !parse_range(range, out->content.size(), offset, length)) {
    return error_response("InvalidArgument", "The range is not valid for the source object");
  }
  if (length > options_.copy_limit_bytes) {
    return error_response("InvalidRequest",
                          "The specified copy source is larger than the maximum allowable size");
  }
  return std::nullopt;
}

Response Service::copy_object(Bucket& b, const Request& request) {
  const Version* source = nullptr;
  uint64_t offset = 0;
  uint64_t length = 0;
  if (auto wrong = find_source(request, source, offset, length)) return *wrong;
  Version copy;
  if (auto wrong = read_attributes(b, request, {}, copy)) return *wrong;
  if (auto refusal = refuse_condition(b, request)) return *refusal;
  const bool replace = request.header("x-amz-metadata-directive") == "REPLACE";
  if (!replace) {
    for (const auto& [name, value] : source->metadata) copy.metadata.emplace(name, value);
  }
  const bool onto_itself = source == current(b, request.key);
  if (onto_itself && !replace && copy.storage_class == source->storage_class &&
      !request.has_header("x-amz-server-side-encryption")) {
    return error_response("InvalidRequest",
                          "This copy request is illegal because it is trying to copy an object to "
                          "itself without changing the object's metadata, storage class, ...");
  }
  copy.content = source->content;
  // The lock is held: what is known of the bytes is not computed again.
  const bool whole = source->etag.find('-') == std::string::npos;
  copy.etag = !support_.md5_etags ? new_id("copy") : whole ? source->etag : md5_hex(copy.content);
  // The checksum of a copy is of the whole, by the algorithm asked for or the source's.
  std::string algorithm = request.header("x-amz-checksum-algorithm");
  if (algorithm.empty() && !source->checksums.empty()) {
    algorithm = source->checksums.begin()->first.substr(15);
  }
  std::transform(algorithm.begin(), algorithm.end(), algorithm.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (!algorithm.empty() && support_.checksums == S3Support::yes) {
    const std::string name = "x-amz-checksum-" + algorithm;
    const auto known = source->checksums.find(name);
    const bool same = known != source->checksums.end() && !source->composite;
    copy.checksums[name] = same ? known->second : checksum_of(algorithm, copy.content).value_or("");
  }
  add_version(b, request.key, std::move(copy));
  const Version& stored = *current(b, request.key);
  return xml_response("CopyObjectResult", element("LastModified", format_utc(stored.modified_ms)) +
                                              element("ETag", quoted(stored.etag)));
}

}  // namespace coldshelf::test::imposter
