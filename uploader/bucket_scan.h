// All cartridges of a store, by their manifests: requests grow with cartridges, not with segments.
#pragma once

#include <functional>
#include <optional>

#include "tape/format/manifest.h"
#include "uploader/cloud/object_store.h"
#include "uploader/ownership.h"

namespace coldshelf {

struct BucketCartridge {
  Uuid uuid;
  std::optional<Manifest> manifest;
  std::optional<Error> problem;  // why there is none: not_found, corrupt, unsupported_version
  std::optional<Owner> owner;    // none: nobody has said so
};

struct ScanOptions {
  unsigned threads = 24;  // 1: everything on the caller's thread, in order
  bool owners = true;
  std::function<void(size_t done, size_t total)> progress = {};  // one call at a time
};

// `visit` is called on the scan's threads, several at a time; its first error ends the scan, and so
// does a store that does not answer.
using VisitCartridge = std::function<Status(BucketCartridge&)>;
Status scan_bucket(ObjectStore& store, const ScanOptions& options, const VisitCartridge& visit);

Result<std::vector<Uuid>> list_cartridges(ObjectStore& store);
// What the store has of one cartridge. An error is the store's, not the cartridge's.
Result<BucketCartridge> read_cartridge(ObjectStore& store, const Uuid& uuid, bool owner);

// Whether detached/<uuid> is true of it: its manifest says so, and nobody has it. Unknown: the
// manifest cannot be read.
enum class Detached { no, yes, unknown };
Detached is_detached(const BucketCartridge& image);

// Calls work(0) to work(count - 1), `threads` at a time, until one fails; gives that error.
Status in_parallel(unsigned threads, size_t count, const std::function<Status(size_t)>& work);

}  // namespace coldshelf
