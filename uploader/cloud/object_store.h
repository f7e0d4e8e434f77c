// A store of immutable objects with storage classes: S3 and whatever speaks it, or a local
// directory. Thread-safe. Retry, throttling and fault injection are decorators of this interface.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/file_system.h"
#include "base/result.h"
#include "base/sha256.h"

namespace coldshelf {

// S3's StorageClass values, spelled as S3 does.
enum class StorageClass {
  standard,
  standard_ia,
  onezone_ia,
  intelligent_tiering,
  glacier_ir,
  glacier,
  deep_archive,
};
std::string_view to_string(StorageClass c);  // "DEEP_ARCHIVE"
std::optional<StorageClass> parse_storage_class(std::string_view text);
bool needs_restore(StorageClass c);  // glacier, deep_archive: not readable before a restore

enum class RestoreTier { expedited, standard, bulk };
std::string_view to_string(RestoreTier tier);  // "Standard"
std::optional<RestoreTier> parse_restore_tier(std::string_view text);

struct ObjectInfo {
  std::string key;
  uint64_t size = 0;
  StorageClass storage_class = StorageClass::standard;
  std::optional<Sha256Digest>
      sha256;  // as the store keeps it for the whole object; list() may leave it out
  int64_t modified_ms = 0;
  bool restore_ongoing = false;   // x-amz-restore: ongoing-request="true"
  int64_t restored_until_ms = 0;  // x-amz-restore: expiry-date; 0: no restored copy
  std::string etag;               // for conditional writes
};

// What is put: from memory, or a part of a file. The store verifies `sha256` and refuses a mismatch
// with corrupt.
struct PutSource {
  ByteView bytes;  // used when file is null
  File* file = nullptr;
  uint64_t size = 0;      // of the file's part, from offset 0
  Sha256Digest sha256{};  // of the whole object
  // Of `file`, when its content never changes again: a store on the same file system may take a
  // second name for it instead of a copy.
  std::string immutable_path;
};

// S3 Object Lock: until then the object (S3: this version of it) can be neither deleted nor
// replaced.
enum class LockMode { governance, compliance };
std::string_view to_string(LockMode mode);  // "GOVERNANCE"
std::optional<LockMode> parse_lock_mode(std::string_view text);
struct ObjectLock {
  std::optional<LockMode> mode;  // none: no retention
  int64_t retain_until_ms = 0;
  bool legal_hold = false;
  bool operator==(const ObjectLock&) const = default;
};

// must_not_exist is S3's "If-None-Match: *", must_match its "If-Match: <etag>".
enum class PutCondition { none, must_not_exist, must_match };

struct PutOptions {
  PutOptions() = default;
  PutOptions(StorageClass c, PutCondition when = PutCondition::none)  // NOLINT: a class is enough
      : storage_class(c), condition(when) {}
  StorageClass storage_class = StorageClass::standard;
  PutCondition condition = PutCondition::none;
  std::string etag;  // must_match: of the object that is to be replaced
};

// What the thing behind the interface can do; S3-compatible servers differ.
struct StoreCapabilities {
  bool conditional_put = false;   // must_not_exist and must_match are honoured, not ignored
  bool storage_classes = false;   // another class than STANDARD is accepted
  bool object_lock = false;       // of this bucket
  bool server_checksums = false;  // the server computes a checksum and tells it on head
};

class ObjectStore {
 public:
  virtual ~ObjectStore() = default;

  // Durable and confirmed by checksum when it returns. precondition_failed: the condition does not
  // hold, must_match where nothing is included (never not_found). A condition that the store cannot
  // honour is refused with not_supported, not dropped.
  virtual Result<ObjectInfo> put(const std::string& key, const PutSource& source,
                                 const PutOptions& options) = 0;
  // Reads out.size() bytes at `offset`. cold: in an archive class and not restored. not_found.
  virtual Status get(const std::string& key, uint64_t offset, MutableBytes out) = 0;
  virtual Result<ObjectInfo> head(const std::string& key) = 0;  // not_found
  struct ListPage {
    std::vector<ObjectInfo> objects;  // ascending key
    std::string next;                 // continue with it; empty: the end
  };
  virtual Result<ListPage> list(const std::string& prefix, const std::string& continue_after,
                                size_t limit) = 0;
  // The names directly below `prefix` (which ends in '/') that have objects below them, without the
  // prefix and without '/': S3's CommonPrefixes. Ascending. One request a page, however many
  // objects there are below.
  struct FolderPage {
    std::vector<std::string> names;
    std::string next;  // continue with it; empty: the end
  };
  virtual Result<FolderPage> list_folders(const std::string& prefix,
                                          const std::string& continue_after, size_t limit) = 0;
  virtual Status remove(const std::string& key) = 0;  // ok when it is not there
  // Many at once, where the store has a request for that. The first error; the others were tried.
  virtual Status remove_all(const std::vector<std::string>& keys);
  // Server-side copy onto itself in another class. cold when the source is not readable now.
  virtual Result<ObjectInfo> change_class(const std::string& key, StorageClass storage_class) = 0;
  // RestoreObject: conflict when one is under way already (ask head), ok when already restored (the
  // expiry is extended).
  virtual Status restore(const std::string& key, RestoreTier tier, unsigned days) = 0;

  // Retention can be made longer, and in governance mode shorter; not_supported where there is no
  // Object Lock. not_found.
  virtual Status set_lock(const std::string& key, const ObjectLock& lock) = 0;
  virtual Result<ObjectLock> lock_of(const std::string& key) = 0;

  // Asked of the server at the first call, and remembered.
  virtual Result<StoreCapabilities> capabilities() = 0;
  // Removes what interrupted puts left below `prefix` and nobody has touched for `age_ms`
  // (AbortMultipartUpload). Gives their number.
  virtual Result<size_t> abort_unfinished(const std::string& prefix, int64_t age_ms) = 0;
  // For a program that stops: calls under way and later ones end soon, with cancelled.
  virtual void give_up() {}

  Result<Buffer> get_all(const std::string& key, uint64_t limit = 1 * GiB);
  virtual std::string describe()
      const = 0;  // "directory /x" or "s3://bucket/prefix": for messages, no secrets
};

}  // namespace coldshelf
