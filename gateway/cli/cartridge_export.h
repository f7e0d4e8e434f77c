// `coldshelf export`: a cartridge's files, or an image's disk, straight from the store, with no
// daemon. What it needs is the manifest, the segments, and the key when the cartridge is encrypted.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file_system.h"
#include "base/random.h"
#include "tape/format/keys.h"
#include "uploader/cloud/object_store.h"

namespace coldshelf::cli {

struct ExportRequest {
  std::string cartridge;  // a barcode, an image's name, or a uuid; of an image also NAME@POINT
  // A tape's tar: one member per filemark, named file-0001.bin, and index.json; an image's raw
  // disk, sparse.
  std::string output;
  bool overwrite = false;
};

struct ExportEnv {
  FileSystem* files = nullptr;
  Clock* clock = nullptr;
  Random* random = nullptr;
  ObjectStore* store = nullptr;
  const KeyWrapper* key = nullptr;  // null: encrypted cartridges give key_missing
  std::function<void(uint64_t done_bytes, uint64_t total_bytes)> progress;
};

struct ExportReport {
  std::string barcode;
  uint64_t files = 0;
  uint64_t records = 0;
  uint64_t bytes = 0;  // of an image: what is mapped
  bool image = false;
  uint64_t size_bytes = 0;  // of an image
};

// not_found; cold: segments lie in an archive class and are not restored; corrupt: a record is
// damaged (nothing is left at `output` then).
Result<ExportReport> export_cartridge(const ExportEnv& env, const ExportRequest& request);

}  // namespace coldshelf::cli
