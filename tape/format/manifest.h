// The manifest: what a cartridge is and which segments it consists of. docs/format/manifest.md.
// In memory a Manifest; on disk a log of edits (ManifestLog); in the store the same file holding
// one snapshot.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/file_system.h"
#include "base/result.h"
#include "base/sha256.h"
#include "base/uuid.h"

namespace coldshelf {

constexpr uint16_t kManifestFormatVersion = 1;
constexpr uint32_t kMaxPartitions = 4;

enum class CartridgeKind : uint8_t { tape = 1, image = 2 };

// A sealed segment as the cartridge sees it. Counts are the visible ones: overwriting from the
// middle of a segment makes them smaller than what the immutable file holds.
struct SegmentEntry {
  uint64_t sequence = 0;
  uint64_t epoch = 0;
  uint32_t partition = 0;
  uint64_t first_block = 0;
  uint64_t block_count = 0;
  uint64_t first_filemark = 0;
  uint64_t filemark_count = 0;
  uint64_t plain_bytes = 0;   // visible plain bytes
  uint64_t stored_bytes = 0;  // size of the file / object
  Sha256Digest sha256{};      // the digest in the segment's trailer
  uint64_t end_block() const { return first_block + block_count; }
  uint64_t end_filemark() const { return first_filemark + filemark_count; }
  bool operator==(const SegmentEntry&) const = default;
};

// A medium auxiliary memory attribute (SPC-5 7.4): identifier, format (0 binary, 1 ASCII, 2 text),
// value.
struct MamValue {
  uint8_t format = 0;
  Buffer value;
  bool operator==(const MamValue&) const = default;
};

struct MamKey {
  uint32_t partition = 0;
  uint16_t id = 0;
  auto operator<=>(const MamKey&) const = default;
};

struct Partition {
  uint64_t capacity_bytes = 0;         // plain bytes that fit
  std::vector<SegmentEntry> segments;  // ascending first_block, no gap
  uint64_t end_block() const { return segments.empty() ? 0 : segments.back().end_block(); }
  uint64_t end_filemark() const { return segments.empty() ? 0 : segments.back().end_filemark(); }
  uint64_t plain_bytes() const;
  bool operator==(const Partition&) const = default;
};

// How the data key is kept: encrypted by the key-encryption key whose id is key_id. Empty: not
// encrypted.
struct WrappedKey {
  std::string key_id;  // which key-encryption key, e.g. "file:3f2a..."
  Buffer wrapped;      // see keys.h
  bool empty() const { return wrapped.empty(); }
  bool operator==(const WrappedKey&) const = default;
};

struct Manifest {
  Uuid uuid;
  std::string label;  // barcode of a tape, name of an image
  CartridgeKind kind = CartridgeKind::tape;
  std::string medium;  // a name of tape/drive's media table, e.g. "LTO-8"
  uint64_t capacity_bytes = 0;
  int64_t created_unix_ms = 0;
  Uuid parent;  // nil: none
  bool worm = false;
  bool write_protected = false;
  uint64_t epoch = 0;  // of the last writer; a new writer takes epoch + 1 before its first frame
  uint64_t next_sequence = 0;  // first sequence not used by any entry
  uint64_t generation =
      0;  // counts edits; the store's copy carries it, so that newer and older can be told apart
  WrappedKey key;
  std::vector<Partition> partitions;  // 1 to kMaxPartitions
  std::map<MamKey, MamValue> mam;
  std::map<std::string, std::string>
      properties;  // "pool", "status", ... : what a rebuild from the bucket needs

  // The segment that holds object `block` of `partition`; null past the end. Binary search.
  const SegmentEntry* find_block(uint32_t partition, uint64_t block) const;
  const SegmentEntry* find_filemark(uint32_t partition, uint64_t filemark) const;
  uint64_t plain_bytes() const;
  uint64_t stored_bytes() const;
  bool operator==(const Manifest&) const = default;
};

// Edits. Each applies to the manifest before it or fails with corrupt.
struct AddSegment {
  SegmentEntry entry;
};                          // must continue its partition
struct TruncatePartition {  // drop objects from `block` on
  uint32_t partition = 0;
  uint64_t block = 0;
  uint64_t filemark = 0;  // filemarks before `block`
  uint64_t plain_bytes =
      0;  // visible plain bytes of the segment that `block` falls into, when in its middle
};
struct SetEpoch {
  uint64_t epoch = 0;
  uint64_t next_sequence = 0;
};
struct SetMam {
  MamKey key;
  MamValue value;
};
struct RemoveMam {
  MamKey key;
};
struct SetProperty {
  std::string name;
  std::string value;
};  // empty value: removed
struct SetWriteProtected {
  bool write_protected = false;
};
struct SetPartitions {
  std::vector<uint64_t> capacity_bytes;
};  // FORMAT MEDIUM: drops every segment
struct SetCapacity {
  uint64_t capacity_bytes = 0;
};  // SET CAPACITY, one partition; drops every segment. The medium's own capacity_bytes stays.
struct SetWrappedKey {
  WrappedKey key;
};
// Images only: segments that nothing needs any more, anywhere in a partition; ascending, each
// there.
struct DropSegments {
  uint32_t partition = 0;
  std::vector<uint64_t> sequences;
};
using ManifestEdit =
    std::variant<Manifest, AddSegment, TruncatePartition, SetEpoch, SetMam, RemoveMam, SetProperty,
                 SetWriteProtected, SetPartitions, SetCapacity, SetWrappedKey, DropSegments>;

// corrupt: no manifest a file could hold (partition count, gaps between segments, sequences or
// epochs out of order ...). encode_manifest does not check.
Status check_manifest(const Manifest& manifest);

// Applies `edit` and counts it in `generation`; on an error `manifest` is unchanged. Segments that
// are no longer visible are appended to `dropped` (may be null).
Status apply_edit(Manifest& manifest, const ManifestEdit& edit, std::vector<SegmentEntry>* dropped);

// The file image holding one snapshot: what goes to the store, and what ManifestLog compacts to.
Buffer encode_manifest(const Manifest& manifest);
// The same, to be put on top of the one whose ETag that is (empty: the first). It reads as the
// manifest does, and as no two have the same one before them no two have the same bytes: no ETag
// comes twice, and a put that a server carries out late never finds its condition true again.
Buffer encode_manifest_after(const Manifest& manifest, const std::string& etag);
// Replays a file image. A torn last edit is dropped when `tolerate_torn_tail` (local log after a
// crash), else corrupt.
struct ReplayedManifest {
  Manifest manifest;
  uint64_t valid_bytes = 0;
  uint64_t edit_count = 0;
};
Result<ReplayedManifest> decode_manifest(ByteView file_image, bool tolerate_torn_tail);

// The manifest of a cartridge on disk: append-only log, compacted when the log outgrows its
// snapshot. Not thread-safe.
class ManifestLog {
 public:
  // `path` must not exist; durable (file and directory synced) when this returns.
  static Result<std::unique_ptr<ManifestLog>> create(FileSystem& files, std::string path,
                                                     Manifest first);
  static Result<std::unique_ptr<ManifestLog>> open(FileSystem& files, std::string path);

  const Manifest& manifest() const { return manifest_; }
  // Applies and makes the edits durable (written and synced) in one go: after a crash all of them
  // are there or none. On an error of the disk the log is closed for good and every later call
  // fails with read_only: an fsync error is never retried. An edit that does not fit (corrupt), or
  // for which the disk has no room (no_space), changes nothing, and the log goes on.
  Status commit(const std::vector<ManifestEdit>& edits,
                std::vector<SegmentEntry>* dropped = nullptr);
  bool closed() const { return failed_; }

 private:
  ManifestLog(FileSystem& files, std::string path, std::unique_ptr<File> file,
              ReplayedManifest state);
  Status compact();
  bool stands() const;
  FileSystem& files_;
  const std::string path_;
  std::unique_ptr<File> file_;
  Manifest manifest_;
  uint64_t size_bytes_ = 0;
  uint64_t snapshot_bytes_ = 0;
  bool failed_ = false;
};

}  // namespace coldshelf
