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

enum class PutCondition { none, must_not_exist };

class ObjectStore {
 public:
  virtual ~ObjectStore() = default;

  // Durable and confirmed by checksum when it returns. must_not_exist: precondition_failed when
  // there is one.
  virtual Result<ObjectInfo> put(const std::string& key, const PutSource& source,
                                 StorageClass storage_class,
                                 PutCondition condition = PutCondition::none) = 0;
  // Reads out.size() bytes at `offset`. cold: in an archive class and not restored. not_found.
  virtual Status get(const std::string& key, uint64_t offset, MutableBytes out) = 0;
  virtual Result<ObjectInfo> head(const std::string& key) = 0;  // not_found
  struct ListPage {
    std::vector<ObjectInfo> objects;  // ascending key
    std::string next;                 // continue with it; empty: the end
  };
  virtual Result<ListPage> list(const std::string& prefix, const std::string& continue_after,
                                size_t limit) = 0;
  virtual Status remove(const std::string& key) = 0;  // ok when it is not there
  // Server-side copy onto itself in another class. cold when the source is not readable now.
  virtual Result<ObjectInfo> change_class(const std::string& key, StorageClass storage_class) = 0;
  // RestoreObject: conflict when one is under way already (ask head), ok when already restored (the
  // expiry is extended).
  virtual Status restore(const std::string& key, RestoreTier tier, unsigned days) = 0;

  Result<Buffer> get_all(const std::string& key, uint64_t limit = 1 * GiB);
  virtual std::string describe()
      const = 0;  // "directory /x" or "s3://bucket/prefix": for messages, no secrets
};

}  // namespace coldshelf
