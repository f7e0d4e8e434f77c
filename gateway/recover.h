// `coldshelf recover`: a gateway's data directory from the store alone.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file_system.h"
#include "base/random.h"
#include "gateway/config.h"
#include "uploader/cloud/object_store.h"

namespace coldshelf {

struct RecoverEnv {
  FileSystem* files = nullptr;
  Clock* clock = nullptr;
  Random* random = nullptr;
  ObjectStore* store = nullptr;
  unsigned threads = 32;  // 1: everything on the caller's thread
  std::function<void(size_t done, size_t total)> progress = {};  // cartridges
};

struct RecoverRequest {
  std::string data_dir;
  std::string gateway;  // empty: the only one the store knows
  bool force = false;   // although that gateway's lease is alive
  std::string host;     // for the lease
  uint64_t slots = 40;  // of the library to be: what lies beyond finds another place
  uint64_t import_export_slots = 4;
};

struct RecoveredTape {
  std::string barcode;
  std::string status;
  uint64_t segments = 0;
  std::string note;  // what the operator should know; empty: nothing
};

struct RecoveredImage {
  std::string name;
  std::string status;
  std::string mode;
  uint64_t size_bytes = 0;
  uint64_t recovery_points = 0;
  uint64_t segments = 0;
  bool clone = false;
  std::string note;
};

struct RecoverReport {
  std::string gateway, name;
  std::vector<RecoveredTape> tapes;    // by barcode
  std::vector<RecoveredImage> images;  // by name
  std::vector<std::string> lost;       // not rebuilt, and why
  std::vector<std::string> retired;    // barcodes of deleted tapes, which stay taken
  uint64_t others = 0;                 // cartridges of other gateways
  std::string configuration;           // TOML: the library as it was
};

// Takes the gateway's identity over and rebuilds catalog, inventory and manifests in an empty
// directory. Archived tapes come back ARCHIVED; those that were in the library RECOVERED and
// read-only, with what had been uploaded of them. Images, the cartridges of volumes, come back
// AVAILABLE: the disk as it was when the store heard of it last, with its recovery points and
// clones. Those that were detached stay so. Cut short, it is run again on the same directory.
// Needs no key. exists: the directory is not empty; conflict: the gateway is alive; not_found.
Result<RecoverReport> recover_gateway(const RecoverEnv& env, const RecoverRequest& request);

}  // namespace coldshelf
