#include "uploader/cloud/s3_xml.h"

#include <cstdio>
#include <ctime>
#include <pugixml.hpp>
#include <sstream>

#include "base/clock.h"

namespace coldshelf {

namespace {

constexpr std::string_view kNamespace = "http://s3.amazonaws.com/doc/2006-03-01/";

Error not_xml(std::string_view wanted) {
  return {ErrorCode::unavailable, "the answer is no " + std::string(wanted)};
}

// The document element, when it is called `root`.
Result<pugi::xml_node> load(pugi::xml_document& document, ByteView xml, std::string_view root) {
  if (!document.load_buffer(xml.data(), xml.size())) return not_xml(root);
  const pugi::xml_node node = document.document_element();
  if (std::string_view(node.name()) != root) return not_xml(root);
  return node;
}

std::string text(const pugi::xml_node& node, const char* child) {
  return node.child(child).text().get();
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// encoding-type=url: as in an HTML form, '+' is a blank.
std::string url_decoded(const std::string& value) {
  std::string out;
  for (size_t i = 0; i < value.size(); ++i) {
    if (value[i] == '+') {
      out += ' ';
    } else if (value[i] == '%' && i + 2 < value.size() && hex_value(value[i + 1]) >= 0 &&
               hex_value(value[i + 2]) >= 0) {
      out += static_cast<char>(hex_value(value[i + 1]) * 16 + hex_value(value[i + 2]));
      i += 2;
    } else {
      out += value[i];
    }
  }
  return out;
}

// Keys of a listing, encoded when the server says so: not all do what was asked.
class KeyText {
 public:
  explicit KeyText(const pugi::xml_node& listing)
      : encoded_(text(listing, "EncodingType") == "url") {}
  std::string operator()(const pugi::xml_node& node, const char* child) const {
    return encoded_ ? url_decoded(text(node, child)) : text(node, child);
  }

 private:
  bool encoded_;
};

pugi::xml_node start(pugi::xml_document& document, const char* root) {
  pugi::xml_node node = document.append_child(root);
  node.append_attribute("xmlns").set_value(std::string(kNamespace).c_str());
  return node;
}

void add(pugi::xml_node& node, const char* name, const std::string& value) {
  node.append_child(name).text().set(value.c_str());
}

std::string written(const pugi::xml_document& document) {
  std::ostringstream out;
  document.save(out, "", pugi::format_raw);
  return out.str();
}

int64_t from_parts(std::tm& parts, int64_t ms) {
  return static_cast<int64_t>(timegm(&parts)) * 1000 + ms;
}

}  // namespace

std::string strip_quotes(std::string_view etag) {
  if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"') {
    etag = etag.substr(1, etag.size() - 2);
  }
  return std::string(etag);
}

int64_t parse_iso_time(std::string_view value) {
  std::tm t{};
  int ms = 0;
  const std::string text(value);
  const int found = std::sscanf(text.c_str(), "%4d-%2d-%2dT%2d:%2d:%2d.%3d", &t.tm_year, &t.tm_mon,
                                &t.tm_mday, &t.tm_hour, &t.tm_min, &t.tm_sec, &ms);
  if (found < 6) return 0;
  t.tm_year -= 1900;
  t.tm_mon -= 1;
  return from_parts(t, found == 7 ? ms : 0);
}

int64_t parse_http_date(std::string_view value) {
  std::tm t{};
  const char* end = strptime(std::string(value).c_str(), "%a, %d %b %Y %H:%M:%S GMT", &t);
  return end == nullptr ? 0 : from_parts(t, 0);
}

std::string format_iso_time(int64_t unix_ms) { return format_utc(unix_ms); }

Result<S3Listing> parse_listing(ByteView xml) {
  pugi::xml_document document;
  ASSIGN_OR_RETURN(const pugi::xml_node root, load(document, xml, "ListBucketResult"));
  const KeyText key(root);
  S3Listing listing;
  for (const pugi::xml_node& node : root.children("Contents")) {
    ObjectInfo info;
    info.key = key(node, "Key");
    info.size = node.child("Size").text().as_ullong();
    info.etag = strip_quotes(text(node, "ETag"));
    info.modified_ms = parse_iso_time(text(node, "LastModified"));
    info.storage_class =
        parse_storage_class(text(node, "StorageClass")).value_or(StorageClass::standard);
    listing.objects.push_back(std::move(info));
  }
  for (const pugi::xml_node& node : root.children("CommonPrefixes")) {
    listing.common_prefixes.push_back(key(node, "Prefix"));
  }
  listing.truncated = text(root, "IsTruncated") == "true";
  listing.next_token = text(root, "NextContinuationToken");
  return listing;
}

Result<S3UploadListing> parse_upload_listing(ByteView xml) {
  pugi::xml_document document;
  ASSIGN_OR_RETURN(const pugi::xml_node root, load(document, xml, "ListMultipartUploadsResult"));
  const KeyText key(root);
  S3UploadListing listing;
  for (const pugi::xml_node& node : root.children("Upload")) {
    listing.uploads.push_back(
        {key(node, "Key"), text(node, "UploadId"), parse_iso_time(text(node, "Initiated"))});
  }
  listing.truncated = text(root, "IsTruncated") == "true";
  listing.next_key_marker = key(root, "NextKeyMarker");
  listing.next_upload_id_marker = text(root, "NextUploadIdMarker");
  return listing;
}

Result<std::string> parse_upload_id(ByteView xml) {
  pugi::xml_document document;
  ASSIGN_OR_RETURN(const pugi::xml_node root, load(document, xml, "InitiateMultipartUploadResult"));
  std::string id = text(root, "UploadId");
  if (id.empty()) return not_xml("upload id");
  return id;
}

Result<std::string> parse_result_etag(ByteView xml, std::string_view root_name) {
  pugi::xml_document document;
  ASSIGN_OR_RETURN(const pugi::xml_node root, load(document, xml, root_name));
  std::string etag = strip_quotes(text(root, "ETag"));
  if (etag.empty()) return not_xml(std::string(root_name) + " with an ETag");
  return etag;
}

Result<std::vector<S3DeleteFailure>> parse_delete_result(ByteView xml) {
  pugi::xml_document document;
  ASSIGN_OR_RETURN(const pugi::xml_node root, load(document, xml, "DeleteResult"));
  std::vector<S3DeleteFailure> failures;
  for (const pugi::xml_node& node : root.children("Error")) {
    failures.push_back({text(node, "Key"), text(node, "Code"), text(node, "Message")});
  }
  return failures;
}

Result<ObjectLock> parse_retention(ByteView xml) {
  pugi::xml_document document;
  ASSIGN_OR_RETURN(const pugi::xml_node root, load(document, xml, "Retention"));
  ObjectLock lock;
  lock.mode = parse_lock_mode(text(root, "Mode"));
  if (lock.mode) lock.retain_until_ms = parse_iso_time(text(root, "RetainUntilDate"));
  return lock;
}

bool parse_legal_hold(ByteView xml) {
  pugi::xml_document document;
  const Result<pugi::xml_node> root = load(document, xml, "LegalHold");
  return root.ok() && text(*root, "Status") == "ON";
}

bool parse_lock_enabled(ByteView xml) {
  pugi::xml_document document;
  const Result<pugi::xml_node> root = load(document, xml, "ObjectLockConfiguration");
  return root.ok() && text(*root, "ObjectLockEnabled") == "Enabled";
}

bool parse_versioning_enabled(ByteView xml) {
  pugi::xml_document document;
  const Result<pugi::xml_node> root = load(document, xml, "VersioningConfiguration");
  return root.ok() && text(*root, "Status") == "Enabled";
}

std::string complete_xml(const std::vector<S3Part>& parts) {
  pugi::xml_document document;
  pugi::xml_node root = start(document, "CompleteMultipartUpload");
  for (size_t i = 0; i < parts.size(); ++i) {
    pugi::xml_node part = root.append_child("Part");
    add(part, "PartNumber", std::to_string(i + 1));
    add(part, "ETag", "\"" + parts[i].etag + "\"");
    if (!parts[i].crc32c.empty()) add(part, "ChecksumCRC32C", parts[i].crc32c);
  }
  return written(document);
}

std::string delete_xml(const std::vector<std::string>& keys) {
  pugi::xml_document document;
  pugi::xml_node root = start(document, "Delete");
  for (const std::string& key : keys) {
    pugi::xml_node object = root.append_child("Object");
    add(object, "Key", key);
  }
  add(root, "Quiet", "true");
  return written(document);
}

std::string restore_xml(RestoreTier tier, unsigned days) {
  pugi::xml_document document;
  pugi::xml_node root = start(document, "RestoreRequest");
  add(root, "Days", std::to_string(days));
  pugi::xml_node job = root.append_child("GlacierJobParameters");
  add(job, "Tier", std::string(to_string(tier)));
  return written(document);
}

std::string retention_xml(const ObjectLock& lock) {
  pugi::xml_document document;
  pugi::xml_node root = start(document, "Retention");
  if (lock.mode) {
    add(root, "Mode", std::string(to_string(*lock.mode)));
    add(root, "RetainUntilDate", format_iso_time(lock.retain_until_ms));
  }
  return written(document);
}

std::string legal_hold_xml(bool on) {
  pugi::xml_document document;
  pugi::xml_node root = start(document, "LegalHold");
  add(root, "Status", on ? "ON" : "OFF");
  return written(document);
}

}  // namespace coldshelf
