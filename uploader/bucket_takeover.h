// A cartridge's manifest in the store, taken from the gateway that wrote it.
#pragma once

#include "tape/format/manifest.h"
#include "uploader/cloud/object_store.h"

namespace coldshelf {

struct TakenManifest {
  Manifest manifest;
  std::string etag;
  bool incomplete = false;  // its gateway had not uploaded all of it
};

// The manifest as the store has it. A cartridge that is not on the shelf becomes RECOVERED (a
// RETRIEVED one ARCHIVED again), write-protected, and goes up again with its epoch far beyond every
// one its old gateway can have taken meanwhile: what that gateway still puts finds its condition
// broken, and no nonce and no segment's name can occur twice. An image, detached or not, goes on as
// it is in the store: whatever part of its log is there is a disk it once was. not_found; corrupt.
// Done again by `taker`, the instance of a gateway, it changes nothing of a tape, and takes another
// epoch for an image. `conditional`: the store honours conditions.
Result<TakenManifest> take_over_manifest(ObjectStore& store, const Uuid& cartridge,
                                         const std::string& taker, bool conditional);

// Properties of a manifest: "status", "pool", "incomplete" ("true": more goes up; "recovered": the
// rest is lost).
std::string property_of(const Manifest& manifest, const std::string& name);
constexpr const char* kIncompleteProperty = "incomplete";
constexpr const char* kTakenByProperty = "taken_by";

// The epoch a taken cartridge has: ((epoch >> 16) + 1) << 16.
uint64_t epoch_after_takeover(uint64_t epoch);

}  // namespace coldshelf
