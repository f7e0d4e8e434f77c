// The buckets of the imposter and what its operations do to them. Knows no sockets and no faults.
// Thread-safe.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "tests/support/imposter/message.h"

namespace pugi {
class xml_document;
}

namespace coldshelf::test::imposter {

struct Lock {
  std::string mode;  // "", GOVERNANCE, COMPLIANCE
  int64_t retain_until_ms = 0;
  bool legal_hold = false;
};

struct Version {
  std::string id;
  bool delete_marker = false;
  Blob content;
  std::string etag;
  std::string storage_class;
  Headers metadata;   // x-amz-meta-*, content-type, x-amz-server-side-encryption*
  Headers checksums;  // x-amz-checksum-*
  bool composite = false;
  int64_t modified_ms = 0;
  int64_t restored_at_ms = 0;  // 0: no restore asked for; later than now: under way
  int64_t restore_ends_ms = 0;
  Lock lock;
};

struct Part {
  Blob content;
  std::string etag;
  Headers checksums;
  int64_t modified_ms = 0;
};

struct Upload {
  std::string key;
  Version object;        // metadata, class, lock of what will be
  std::string checksum;  // "sha256"; empty: none asked for
  bool full_object = false;
  int64_t initiated_ms = 0;
  std::map<unsigned, Part> parts;
};

struct Bucket {
  bool object_lock = false;
  std::map<std::string, std::vector<Version>> objects;  // the last version is the current one
  std::map<std::string, int64_t> appeared_ms;           // of keys that are there
  struct Ghost {
    Version was;
    int64_t appeared_ms = 0;
    int64_t deleted_ms = 0;
  };
  std::map<std::string, Ghost> ghosts;  // deleted, and listed for a while
  std::map<std::string, Upload> uploads;
};

class Service {
 public:
  Service(const ImposterOptions& options, Clock& clock);

  // `checksums`: what the client sent of them and was verified.
  Response handle(const Request& request, const Headers& checksums);

  void set_support(const ImposterSupport& support);
  ImposterSupport support() const;
  void set_list_lag_ms(int64_t ms) { list_lag_ms_ = ms; }
  void advance_ms(int64_t ms) { advanced_ms_ += ms; }
  std::vector<std::string> bucket_names() const;

  // Behind the protocol's back.
  std::vector<std::string> keys(const std::string& bucket) const;
  std::optional<ImposterObject> object(const std::string& bucket, const std::string& key) const;
  bool erase(const std::string& bucket, const std::string& key);
  bool flip_bit(const std::string& bucket, const std::string& key, uint64_t offset);
  size_t unfinished_uploads() const;
  size_t versions(const std::string& bucket, const std::string& key) const;

 private:
  using Refusal = std::optional<Response>;

  // Called with mutex_ held unless said otherwise; `b` is the request's bucket.
  Response dispatch(Bucket& b, const Request& request, const Headers& checksums);
  Response list_buckets() const;
  Response create_bucket(const Request& request);
  Response bucket_setting(const Bucket& b, const Request& request) const;
  Response delete_bucket(const Request& request);
  Response put_object(Bucket& b, const Request& request, const Headers& checksums);
  Response get_object(const Bucket& b, const Request& request, bool head) const;
  Response delete_object(Bucket& b, const Request& request);
  Response delete_objects(Bucket& b, const Request& request, const Headers& checksums);
  Response copy_object(Bucket& b, const Request& request);
  Response list_objects(const Bucket& b, const Request& request) const;
  Response create_multipart(Bucket& b, const Request& request);
  Response upload_part(Bucket& b, const Request& request, const Headers& checksums);
  Response upload_part_copy(Bucket& b, const Request& request);
  Response complete_multipart(Bucket& b, const Request& request);
  Response abort_multipart(Bucket& b, const Request& request);
  Response list_multipart(const Bucket& b, const Request& request) const;
  Response list_parts(const Bucket& b, const Request& request) const;
  Response restore_object(Bucket& b, const Request& request);
  Response put_lock(Bucket& b, const Request& request, const Headers& checksums);
  Response get_lock(const Bucket& b, const Request& request) const;

  // Not under the lock: what costs time.
  Result<Blob> keep(const Blob& content);
  std::string etag_of(const Request& request, const Blob& content);

  Refusal refuse_condition(const Bucket& b, const Request& request) const;
  Refusal read_attributes(const Bucket& b, const Request& request, const Headers& checksums,
                          Version& out) const;
  Refusal find_upload(Bucket& b, const Request& request, Upload*& out) const;
  Refusal find_source(const Request& request, const Version*& out, uint64_t& offset,
                      uint64_t& length) const;
  Refusal finish_upload(const Request& request, Upload& upload, const pugi::xml_document& body,
                        Version& out) const;
  Refusal finish_checksum(const Request& request, const Upload& upload,
                          const std::vector<const Part*>& parts, Version& object) const;
  Version* current(Bucket& b, const std::string& key) const;
  const Version* current(const Bucket& b, const std::string& key) const;
  const Version* chosen(const Bucket& b, const Request& request) const;
  const Version* listed(const Bucket& b, const std::string& key) const;
  void add_version(Bucket& b, const std::string& key, Version version);
  // "" or the code of the error; `id` empty: of the current version.
  std::string remove(Bucket& b, const std::string& key, const std::string& id, bool bypass);
  bool readable(const Version& version) const;
  bool locked(const Version& version, bool bypass) const;
  void describe(const Version& version, bool with_checksums, Response& out) const;
  int64_t now_ms() const { return clock_.unix_ms() + advanced_ms_; }
  std::string new_id(const char* prefix) const;

  const ImposterOptions options_;
  Clock& clock_;
  std::atomic<int64_t> advanced_ms_{0};
  std::atomic<int64_t> list_lag_ms_{0};
  mutable std::atomic<uint64_t> ids_{0};
  mutable std::mutex mutex_;
  ImposterSupport support_;
  std::map<std::string, Bucket> buckets_;
};

// False: not XML.
bool parse_xml(const Blob& content, pugi::xml_document& out);
std::string quoted(const std::string& etag);
std::string unquoted(std::string etag);
bool cold_class(const std::string& storage_class);
// Of put_object, create_multipart and copies with x-amz-metadata-directive: REPLACE.
Headers metadata_of(const Request& request);

}  // namespace coldshelf::test::imposter
