// The XML documents of the S3 API: what is read of answers, what is written into requests. An
// answer that is not what it should be is `unavailable`: a proxy or a cut connection spoke.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "uploader/cloud/object_store.h"

namespace coldshelf {

struct S3Listing {
  std::vector<ObjectInfo> objects;  // full keys
  std::vector<std::string> common_prefixes;
  bool truncated = false;
  std::string next_token;
};
Result<S3Listing> parse_listing(ByteView xml);

struct S3Upload {
  std::string key;
  std::string upload_id;
  int64_t initiated_ms = 0;
};
struct S3UploadListing {
  std::vector<S3Upload> uploads;
  bool truncated = false;
  std::string next_key_marker;
  std::string next_upload_id_marker;
};
Result<S3UploadListing> parse_upload_listing(ByteView xml);

Result<std::string> parse_upload_id(ByteView xml);  // InitiateMultipartUploadResult
// CopyObjectResult, CopyPartResult, CompleteMultipartUploadResult: the ETag.
Result<std::string> parse_result_etag(ByteView xml, std::string_view root);

struct S3DeleteFailure {
  std::string key;
  std::string code;
  std::string message;
};
Result<std::vector<S3DeleteFailure>> parse_delete_result(ByteView xml);

Result<ObjectLock> parse_retention(ByteView xml);
bool parse_legal_hold(ByteView xml);
bool parse_lock_enabled(ByteView xml);        // ObjectLockConfiguration
bool parse_versioning_enabled(ByteView xml);  // VersioningConfiguration

struct S3Part {
  std::string etag;
  std::string crc32c;  // base64; empty: none
};
std::string complete_xml(const std::vector<S3Part>& parts);
std::string delete_xml(const std::vector<std::string>& keys);
std::string restore_xml(RestoreTier tier, unsigned days);
std::string retention_xml(const ObjectLock& lock);
std::string legal_hold_xml(bool on);

int64_t parse_iso_time(std::string_view text);   // 2026-11-21T01:02:03.004Z; 0: not one
int64_t parse_http_date(std::string_view text);  // Sat, 21 Nov 2026 01:02:03 GMT; 0: not one
std::string format_iso_time(int64_t unix_ms);
std::string strip_quotes(std::string_view etag);

}  // namespace coldshelf
