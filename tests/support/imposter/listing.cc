// ListObjects (both versions), ListMultipartUploads, ListParts.
#include <algorithm>
#include <set>

#include "tests/support/imposter/service.h"

namespace coldshelf::test::imposter {

namespace {

constexpr uint64_t kMaxKeys = 1000;

// Keys as the client asked for them: encoding-type=url.
struct Names {
  explicit Names(const Request& request) : url(request.query_value("encoding-type") == "url") {}
  std::string element(std::string_view name, std::string_view text) const {
    return imposter::element(name, url ? encode_uri(text, true) : std::string(text));
  }
  bool url;
};

// The first key that does not begin with `prefix` and comes after all that do; "" at the end.
std::string after_prefix(std::string prefix) {
  while (!prefix.empty() && static_cast<unsigned char>(prefix.back()) == 255) prefix.pop_back();
  if (!prefix.empty()) {
    prefix.back() = static_cast<char>(static_cast<unsigned char>(prefix.back()) + 1);
  }
  return prefix;
}

}  // namespace

// What a listing shows of `key`: with a lag, what was there some time ago.
const Version* Service::listed(const Bucket& b, const std::string& key) const {
  const int64_t lag_ms = list_lag_ms_;
  const int64_t now = now_ms();
  if (const Version* version = current(b, key)) {
    const auto appeared = b.appeared_ms.find(key);
    const bool fresh =
        lag_ms > 0 && appeared != b.appeared_ms.end() && now - appeared->second < lag_ms;
    if (!fresh) return version;
  }
  const auto ghost = b.ghosts.find(key);
  if (lag_ms > 0 && ghost != b.ghosts.end() && now - ghost->second.deleted_ms < lag_ms &&
      now - ghost->second.appeared_ms >= lag_ms) {
    return &ghost->second.was;
  }
  return nullptr;
}

Response Service::list_objects(const Bucket& b, const Request& request) const {
  const bool v2 = request.query_value("list-type") == "2";
  const std::string prefix = request.query_value("prefix");
  const std::string delimiter = request.query_value("delimiter");
  const Names names(request);
  uint64_t max_keys = kMaxKeys;
  if (request.has_query("max-keys")) {
    const std::string text = request.query_value("max-keys");
    if (text.empty() || text.find_first_not_of("0123456789") != std::string::npos) {
      return error_response("InvalidArgument", "max-keys is not a number");
    }
    max_keys = std::min<uint64_t>(kMaxKeys, std::strtoull(text.c_str(), nullptr, 10));
  }
  // Continue after: a key, or (token, marker) everything that begins with a common prefix.
  std::string after = request.query_value(v2 ? "start-after" : "marker");
  bool after_group =
      !v2 && !delimiter.empty() && after.size() > prefix.size() && after.ends_with(delimiter);
  if (v2 && request.has_query("continuation-token")) {
    Buffer token;
    if (!from_base64(request.query_value("continuation-token"), token) || token.empty() ||
        (token[0] != std::byte{'k'} && token[0] != std::byte{'p'})) {
      return error_response("InvalidArgument", "The continuation token provided is incorrect");
    }
    after = to_text(ByteView(token).subspan(1));
    after_group = token[0] == std::byte{'p'};
  }
  // The first key that is not before `from`, of what is there and what was.
  const auto key_from = [&](const std::string& from) -> std::optional<std::string> {
    const auto object = b.objects.lower_bound(from);
    const auto ghost = b.ghosts.lower_bound(from);
    if (ghost != b.ghosts.end() && (object == b.objects.end() || ghost->first < object->first)) {
      return ghost->first;
    }
    if (object == b.objects.end()) return std::nullopt;
    return object->first;
  };
  const std::string first = after_group ? after_prefix(after) : after;
  auto at = key_from(std::max(prefix, first));
  std::string contents;
  std::string groups;
  std::string last;
  uint64_t count = 0;
  bool truncated = false;
  while (at && at->compare(0, prefix.size(), prefix) == 0) {
    const std::string key = *at;
    at = key_from(key + '\0');
    const Version* version = listed(b, key);
    if (version == nullptr || (!after_group && !after.empty() && key <= after)) continue;
    if (count == max_keys) {
      truncated = max_keys > 0;
      break;
    }
    ++count;
    const size_t cut = delimiter.empty() ? std::string::npos : key.find(delimiter, prefix.size());
    if (cut != std::string::npos) {
      const std::string group = key.substr(0, cut + delimiter.size());
      groups += "<CommonPrefixes>" + names.element("Prefix", group) + "</CommonPrefixes>";
      last = "p" + group;
      const std::string next = after_prefix(group);
      at = next.empty() ? std::nullopt : key_from(next);
      continue;
    }
    contents += "<Contents>" + names.element("Key", key) +
                element("LastModified", format_utc(version->modified_ms)) +
                element("ETag", quoted(version->etag)) +
                element("Size", std::to_string(version->content.size())) +
                element("StorageClass", version->storage_class) + "</Contents>";
    last = "k" + key;
  }
  std::string head = element("Name", request.bucket) + names.element("Prefix", prefix) +
                     element("MaxKeys", std::to_string(max_keys)) +
                     element("IsTruncated", truncated ? "true" : "false");
  if (!delimiter.empty()) head += names.element("Delimiter", delimiter);
  if (names.url) head += element("EncodingType", "url");
  if (v2) {
    head += element("KeyCount", std::to_string(count));
    if (request.has_query("start-after")) {
      head += names.element("StartAfter", request.query_value("start-after"));
    }
    if (truncated) head += element("NextContinuationToken", to_base64(as_view(last)));
  } else {
    head += names.element("Marker", request.query_value("marker"));
    if (truncated && !delimiter.empty()) head += names.element("NextMarker", last.substr(1));
  }
  return xml_response("ListBucketResult", head + contents + groups);
}

Response Service::list_multipart(const Bucket& b, const Request& request) const {
  const std::string prefix = request.query_value("prefix");
  const std::string key_marker = request.query_value("key-marker");
  const std::string id_marker = request.query_value("upload-id-marker");
  const Names names(request);
  uint64_t max = kMaxKeys;
  if (request.has_query("max-uploads")) {
    max = std::min<uint64_t>(
        kMaxKeys, std::strtoull(request.query_value("max-uploads").c_str(), nullptr, 10));
  }
  std::set<std::pair<std::string, std::string>> all;  // (key, id)
  for (const auto& [id, upload] : b.uploads) {
    if (upload.key.compare(0, prefix.size(), prefix) == 0) all.emplace(upload.key, id);
  }
  std::string list;
  std::pair<std::string, std::string> last;
  uint64_t count = 0;
  bool truncated = false;
  for (const auto& entry : all) {
    const auto& [key, id] = entry;
    if (!key_marker.empty() &&
        (key < key_marker || (key == key_marker && (id_marker.empty() || id <= id_marker)))) {
      continue;
    }
    if (count == max) {
      truncated = true;
      break;
    }
    ++count;
    last = entry;
    const Upload& upload = b.uploads.at(id);
    list += "<Upload>" + names.element("Key", key) + element("UploadId", id) +
            element("StorageClass", upload.object.storage_class) +
            element("Initiated", format_utc(upload.initiated_ms)) + "</Upload>";
  }
  std::string head = element("Bucket", request.bucket) + names.element("Prefix", prefix) +
                     names.element("KeyMarker", key_marker) + element("UploadIdMarker", id_marker) +
                     element("MaxUploads", std::to_string(max)) +
                     element("IsTruncated", truncated ? "true" : "false");
  if (truncated) {
    head += names.element("NextKeyMarker", last.first) + element("NextUploadIdMarker", last.second);
  }
  return xml_response("ListMultipartUploadsResult", head + list);
}

Response Service::list_parts(const Bucket& b, const Request& request) const {
  const auto upload = b.uploads.find(request.query_value("uploadId"));
  if (upload == b.uploads.end() || upload->second.key != request.key) {
    return error_response("NoSuchUpload", "The specified upload does not exist.");
  }
  const auto marker = static_cast<unsigned>(
      std::strtoul(request.query_value("part-number-marker").c_str(), nullptr, 10));
  uint64_t max = kMaxKeys;
  if (request.has_query("max-parts")) {
    max = std::min<uint64_t>(kMaxKeys,
                             std::strtoull(request.query_value("max-parts").c_str(), nullptr, 10));
  }
  std::string list;
  uint64_t count = 0;
  unsigned last = 0;
  bool truncated = false;
  for (const auto& [number, part] : upload->second.parts) {
    if (number <= marker) continue;
    if (count == max) {
      truncated = true;
      break;
    }
    ++count;
    last = number;
    list += "<Part>" + element("PartNumber", std::to_string(number)) +
            element("LastModified", format_utc(part.modified_ms)) +
            element("ETag", quoted(part.etag)) +
            element("Size", std::to_string(part.content.size())) + "</Part>";
  }
  return xml_response(
      "ListPartsResult",
      element("Bucket", request.bucket) + element("Key", request.key) +
          element("UploadId", upload->first) + element("MaxParts", std::to_string(max)) +
          element("IsTruncated", truncated ? "true" : "false") +
          (truncated ? element("NextPartNumberMarker", std::to_string(last)) : "") + list);
}

}  // namespace coldshelf::test::imposter
