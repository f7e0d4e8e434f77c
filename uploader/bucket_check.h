// Every manifest of a store against every object: `coldshelf store verify`.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "base/buffer_pool.h"
#include "base/secret.h"
#include "tape/format/manifest.h"
#include "uploader/bucket_scan.h"

namespace coldshelf {

// The plain data key of an encrypted cartridge; nullopt: its tags cannot be checked, the rest can.
using FindDataKey = std::function<std::optional<Secret>(const Manifest&)>;

struct StoreCheckOptions {
  bool deep = false;  // reads every segment that is not in an archive class
  unsigned threads = 8;
  FindDataKey data_key = {};
  std::function<void(size_t done, size_t total)> progress = {};  // cartridges
  const std::atomic<bool>* abandon = nullptr;                    // true: ends with cancelled
};

struct StoreProblem {
  std::string kind;  // "missing", "damaged", "manifest", "orphan", "base"
  std::string key;
  std::string barcode;
  std::string what;
};

struct StoreCheckReport {
  uint64_t cartridges = 0, segments = 0, bytes = 0;
  uint64_t read_segments = 0;  // deep: their content was read
  uint64_t cold_segments = 0;  // in an archive class: existence and size alone
  uint64_t orphans = 0, orphan_bytes = 0;
  uint64_t problems_total = 0;         // without orphans
  std::vector<StoreProblem> problems;  // the first ones, orphans too
};

// Not deep: existence and size of every object by the listing, and of every one that is readable
// the digest in its trailer, which a small request gets. An orphan is an object that its
// cartridge's manifest does not name: of an upload that goes on, or garbage.
Result<StoreCheckReport> check_store(ObjectStore& store, Clock& clock, BufferPool& buffers,
                                     const StoreCheckOptions& options);

struct StoreGcOptions {
  bool dry_run = false;
  int64_t min_age_ms = 7LL * 24 * 3'600'000;
  unsigned threads = 8;
  std::function<void(size_t done, size_t total)> progress = {};
  const std::atomic<bool>* abandon = nullptr;
};

struct StoreGcReport {
  uint64_t cartridges = 0;
  uint64_t deleted = 0, deleted_bytes = 0;  // dry run: would be
  uint64_t kept_young = 0, kept_living = 0, locked = 0;
  uint64_t unfinished = 0;            // interrupted puts whose parts were given back
  std::vector<std::string> keys;      // the first ones that went
  std::vector<std::string> problems;  // what was left alone, and why
};

// Deletes objects that nothing refers to and nothing can come to refer to. A segment that is not
// named by its cartridge's manifest goes when it is older than min_age and
//   - its epoch is older than the manifest's: whoever wrote it has overwritten it or lost the tape;
//   or
//   - its sequence is one the manifest has passed; or
//   - the cartridge is on the shelf: its manifest is complete.
// Nothing else of a cartridge that somebody owns; nothing where the manifest is damaged, or says
// that more goes up; nothing of an image that another was cloned from and that does not say so. The
// manifest is read after the listing, and once more
// before the deletion. A cartridge without a manifest goes when nobody owns it and no barcode names
// it, or when its deletion was begun. What probes left behind (is_probe) goes when it is
// old, and so does what says that an image is detached which is not.
Result<StoreGcReport> collect_store_garbage(ObjectStore& store, Clock& clock,
                                            const StoreGcOptions& options);

}  // namespace coldshelf
