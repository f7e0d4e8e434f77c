#include "uploader/bucket_takeover.h"

#include "catalog/catalog.h"
#include "uploader/ownership.h"
#include "uploader/shelf.h"

namespace coldshelf {

namespace {
constexpr int kAttempts = 4;
constexpr unsigned kEpochBits = 16;  // of the epochs that one owner can take
}  // namespace

std::string property_of(const Manifest& manifest, const std::string& name) {
  const auto at = manifest.properties.find(name);
  return at == manifest.properties.end() ? std::string() : at->second;
}

uint64_t epoch_after_takeover(uint64_t epoch) { return ((epoch >> kEpochBits) + 1) << kEpochBits; }

Result<TakenManifest> take_over_manifest(ObjectStore& store, const Uuid& cartridge,
                                         const std::string& taker, bool conditional) {
  const std::string key = manifest_key(cartridge);
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    ASSIGN_OR_RETURN(const Versioned found, read_versioned(store, key));
    ASSIGN_OR_RETURN(ReplayedManifest replayed, decode_manifest(found.content, false));
    TakenManifest out;
    out.manifest = std::move(replayed.manifest);
    out.etag = found.info.etag;
    Manifest& manifest = out.manifest;
    if (manifest.uuid != cartridge) {
      return Error(ErrorCode::corrupt, key + " is of cartridge " + manifest.uuid.to_string());
    }
    const std::string recovered(to_string(TapeStatus::recovered));
    const std::string status = property_of(manifest, "status");
    out.incomplete = manifest.properties.contains(kIncompleteProperty);
    const bool is_image = manifest.kind == CartridgeKind::image;
    // Not so an image: its taker may have written since, under names and nonces of this epoch.
    const bool done =
        !is_image && status == recovered && property_of(manifest, kTakenByProperty) == taker;
    const std::string archived(to_string(TapeStatus::archived));
    if (status == archived || done) return out;
    // A retrieved one is as it was on the shelf: there it goes, for its objects are in the pool's
    // class and are read by whoever retrieves it again.
    // An image that was cut is a disk all the same.
    const bool shelve = status == to_string(TapeStatus::retrieved) && (is_image || !out.incomplete);
    manifest.epoch = epoch_after_takeover(manifest.epoch);
    if (manifest.epoch > UINT32_MAX) {
      return Error(ErrorCode::out_of_range, "cartridge " + manifest.label + " has no epochs left");
    }
    ++manifest.generation;
    if (is_image) {
      manifest.properties.erase("status");
      manifest.properties.erase(kIncompleteProperty);
      if (shelve) manifest.properties["status"] = archived;
    } else {
      manifest.write_protected = true;
      manifest.properties["status"] = shelve ? archived : recovered;
    }
    if (shelve) manifest.properties.erase("parts");
    manifest.properties[kTakenByProperty] = taker;
    if (out.incomplete && !is_image) manifest.properties[kIncompleteProperty] = "recovered";
    TRY(check_manifest(manifest));
    const Buffer image = encode_manifest(manifest);
    PutOptions options;
    if (conditional) {
      options.condition = PutCondition::must_match;
      options.etag = out.etag;
    }
    const Result<ObjectInfo> put = store.put(key, source_of(image), options);
    // Its old gateway was at it once more: that counts, and we take what is there now.
    if (!put.ok() && put.error().code == ErrorCode::precondition_failed) continue;
    if (!put.ok()) return put.error();
    out.etag = put->etag;
    return out;
  }
  return Error(ErrorCode::busy, key + " keeps changing: its gateway is alive and writes");
}

}  // namespace coldshelf
