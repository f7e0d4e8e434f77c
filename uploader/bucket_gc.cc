#include <algorithm>
#include <functional>
#include <map>
#include <mutex>
#include <set>

#include "tape/format/image_frame.h"
#include "tape/format/image_manifest.h"
#include "tape/format/segment.h"
#include "uploader/bucket_check.h"
#include "uploader/bucket_takeover.h"
#include "uploader/cloud/s3_probe.h"
#include "uploader/detached_document.h"
#include "uploader/shelf.h"

namespace coldshelf {

namespace {

constexpr size_t kPage = 1'000;
constexpr size_t kLinesKept = 1'000;

class Collector {
 public:
  Collector(ObjectStore& store, Clock& clock, const StoreGcOptions& options)
      : store_(store), clock_(clock), options_(options) {}

  Result<StoreGcReport> run() {
    ASSIGN_OR_RETURN(const std::vector<Uuid> cartridges, list_cartridges(store_));
    size_t done = 0;
    TRY(in_parallel(options_.threads, cartridges.size(), [&](size_t i) -> Status {
      if (options_.abandon != nullptr && *options_.abandon) {
        return Error(ErrorCode::cancelled, "the collection was ended");
      }
      TRY(collect(cartridges[i]));
      const std::lock_guard lock(mutex_);
      ++done;
      if (options_.progress) options_.progress(done, cartridges.size());
      return {};
    }));
    report_.cartridges = cartridges.size();
    TRY(collect_probes());
    TRY(collect_detached());
    if (!options_.dry_run) TRY(end_unfinished());
    return report_;
  }

 private:
  enum class Fate { keep, living, garbage };

  // Only where a gateway puts in parts: below a prefix that is none, or another's beginning,
  // strangers upload too.
  Status end_unfinished() {
    for (const std::string_view below : {kCartridgesPrefix, kProbePrefix}) {
      ASSIGN_OR_RETURN(const size_t ended,
                       store_.abort_unfinished(std::string(below), options_.min_age_ms));
      report_.unfinished += ended;
    }
    return {};
  }

  // No later manifest of this epoch names a segment below it that this one does not name. A tape
  // has one open segment, which takes its number when the one before is named. An image's log takes
  // one when it begins to write a segment, and maps take later ones that are named sooner: up to
  // the last segment of the log that is named, all are sealed, and the maps of their time are
  // written.
  static uint64_t settled_below(const Manifest& manifest) {
    if (manifest.kind != CartridgeKind::image) return manifest.next_sequence;
    if (manifest.partitions.size() <= kImageLogPartition) return 0;
    const auto& log = manifest.partitions[kImageLogPartition].segments;
    return log.empty() ? 0 : log.back().sequence;
  }

  // Whether nothing names the segment and nothing can come to name it.
  static Fate fate_of(const BucketCartridge& cartridge, const SegmentName& name) {
    const Manifest& manifest = *cartridge.manifest;
    for (const Partition& partition : manifest.partitions) {
      for (const SegmentEntry& entry : partition.segments) {
        if (entry.sequence == name.sequence && entry.epoch == name.epoch) return Fate::keep;
      }
    }
    if (name.epoch < manifest.epoch) return Fate::garbage;
    if (name.epoch == manifest.epoch && name.sequence < settled_below(manifest)) {
      return Fate::garbage;
    }
    const bool shelved = cartridge.owner && cartridge.owner->state == OwnerState::shelved &&
                         property_of(manifest, "status") == to_string(TapeStatus::archived);
    return shelved ? Fate::garbage : Fate::living;
  }

  // A reason to touch nothing of it.
  std::string untouchable(const BucketCartridge& cartridge) const {
    if (cartridge.problem && cartridge.problem->code != ErrorCode::not_found) {
      return cartridge.problem->message();
    }
    if (!cartridge.manifest) return "";
    // More goes up, of segments the store may have already and this manifest does not name yet.
    if (property_of(*cartridge.manifest, kIncompleteProperty) == "true") return "is being uploaded";
    return "";
  }

  Status collect(const Uuid& uuid) {
    // 1. What there is. 2. What is named, read after that. 3. Named still not, just before it goes.
    std::vector<ObjectInfo> objects;
    const std::string prefix = std::string(kCartridgesPrefix) + uuid.to_string() + "/";
    std::string after;
    do {
      ASSIGN_OR_RETURN(auto page, store_.list(prefix, after, kPage));
      for (ObjectInfo& object : page.objects) objects.push_back(std::move(object));
      after = page.next;
    } while (!after.empty());
    ASSIGN_OR_RETURN(const std::vector<ObjectInfo> garbage, garbage_of(uuid, objects, true));
    if (garbage.empty()) return {};
    ASSIGN_OR_RETURN(const std::vector<ObjectInfo> still, garbage_of(uuid, garbage, false));
    return remove_and_report(still);
  }

  // A probe removes its objects itself, but not one whose put a server carried out after that.
  Status collect_probes() {
    return collect_old(std::string(kProbePrefix), [](const ObjectInfo& object) -> Result<bool> {
      return is_probe(object.key);
    });
  }

  // What says that nobody has an image, which somebody has: its put, too, came after its removal.
  Status collect_detached() {
    return collect_old(std::string(kDetachedPrefix), [&](const ObjectInfo& object) -> Result<bool> {
      const auto image = Uuid::parse(object.key.substr(kDetachedPrefix.size()));
      if (!image) return false;
      ASSIGN_OR_RETURN(const BucketCartridge found, read_cartridge(store_, *image, true));
      return is_detached(found) == Detached::no;
    });
  }

  Status collect_old(const std::string& prefix,
                     const std::function<Result<bool>(const ObjectInfo&)>& is_garbage) {
    std::vector<ObjectInfo> garbage;
    std::string after;
    do {
      ASSIGN_OR_RETURN(auto page, store_.list(prefix, after, kPage));
      for (ObjectInfo& object : page.objects) {
        ASSIGN_OR_RETURN(const bool goes, is_garbage(object));
        if (!goes) continue;
        if (young(object)) {
          count(report_.kept_young, true);
        } else {
          garbage.push_back(std::move(object));
        }
      }
      after = page.next;
    } while (!after.empty());
    return remove_and_report(garbage);
  }

  Status remove_and_report(const std::vector<ObjectInfo>& garbage) {
    std::vector<std::string> keys;
    for (const ObjectInfo& object : garbage) keys.push_back(object.key);
    for (size_t begin = 0; begin < keys.size(); begin += kPage) {
      const size_t end = std::min(begin + kPage, keys.size());
      TRY(remove({keys.begin() + static_cast<ptrdiff_t>(begin),
                  keys.begin() + static_cast<ptrdiff_t>(end)}));
    }
    const std::lock_guard lock(mutex_);
    for (const ObjectInfo& object : garbage) {
      if (locked_.contains(object.key)) continue;
      ++report_.deleted;
      report_.deleted_bytes += object.size;
      if (report_.keys.size() < kLinesKept) report_.keys.push_back(object.key);
    }
    return {};
  }

  Status remove(const std::vector<std::string>& keys) {
    if (options_.dry_run) return {};
    const Status removed = store_.remove_all(keys);
    if (removed.ok()) return {};
    if (removed.error().code != ErrorCode::write_protected &&
        removed.error().code != ErrorCode::permission) {
      return removed;
    }
    // Some are locked: which, is found out one by one.
    for (const std::string& key : keys) {
      const Status one = store_.remove(key);
      if (one.ok()) continue;
      if (one.error().code != ErrorCode::write_protected &&
          one.error().code != ErrorCode::permission) {
        return one;
      }
      const std::lock_guard lock(mutex_);
      ++report_.locked;
      locked_.insert(key);
    }
    return {};
  }

  bool young(const ObjectInfo& object) const {
    return object.modified_ms > clock_.unix_ms() - options_.min_age_ms;
  }

  void count(uint64_t& counter, bool counting) {
    if (!counting) return;
    const std::lock_guard lock(mutex_);
    ++counter;
  }

  Result<std::vector<ObjectInfo>> garbage_of(const Uuid& uuid,
                                             const std::vector<ObjectInfo>& objects,
                                             bool first_look) {
    std::vector<ObjectInfo> out;
    ASSIGN_OR_RETURN(const BucketCartridge cartridge, read_cartridge(store_, uuid, true));
    if (const std::string why = untouchable(cartridge); !why.empty()) {
      if (!first_look) return out;
      const std::lock_guard lock(mutex_);
      const std::string barcode = cartridge.manifest ? cartridge.manifest->label + ": " : "";
      if (report_.problems.size() < kLinesKept) {
        report_.problems.push_back("cartridge " + uuid.to_string() + ": " + barcode + why);
      }
      return out;
    }
    ASSIGN_OR_RETURN(const bool needed, needed_by_a_clone(cartridge));
    if (needed) {
      if (!first_look) return out;
      const std::lock_guard lock(mutex_);
      report_.problems.push_back("cartridge " + uuid.to_string() +
                                 ": an image was cloned from it and it does not say so");
      return out;
    }
    if (!cartridge.manifest) return abandoned_objects(cartridge, objects, first_look);
    const std::string prefix = std::string(kCartridgesPrefix) + uuid.to_string() + "/segments/";
    for (const ObjectInfo& object : objects) {
      if (!object.key.starts_with(prefix) || !object.key.ends_with(".seg")) continue;
      const auto name = parse_segment_file_stem(
          std::string_view(object.key)
              .substr(prefix.size(), object.key.size() - prefix.size() - 4));
      if (!name) continue;
      const Fate fate = fate_of(cartridge, *name);
      if (fate == Fate::keep) continue;
      if (fate == Fate::living) {
        count(report_.kept_living, first_look);
      } else if (young(object)) {
        count(report_.kept_young, first_look);
      } else {
        out.push_back(object);
      }
    }
    return out;
  }

  // No manifest: a deletion that was cut short, or a tape whose first manifest is on its way.
  Result<std::vector<ObjectInfo>> abandoned_objects(const BucketCartridge& cartridge,
                                                    const std::vector<ObjectInfo>& objects,
                                                    bool first_look) {
    std::vector<ObjectInfo> out;
    const bool deleting = cartridge.owner && cartridge.owner->state == OwnerState::deleting;
    bool living = cartridge.owner && !deleting;
    if (!living && !deleting) {
      ASSIGN_OR_RETURN(living, has_barcode(cartridge.uuid));
    }
    if (living) {
      for (size_t i = 0; i < objects.size(); ++i) count(report_.kept_living, first_look);
      return out;
    }
    const bool all_old = std::none_of(objects.begin(), objects.end(),
                                      [&](const ObjectInfo& object) { return young(object); });
    if (!all_old) {
      for (size_t i = 0; i < objects.size(); ++i) count(report_.kept_young, first_look);
      return out;
    }
    // The owner last: while it is there, it says what this was.
    out = objects;
    std::stable_partition(out.begin(), out.end(), [&](const ObjectInfo& object) {
      return object.key != owner_key(cartridge.uuid);
    });
    return out;
  }

  // What a clone needs, its source's manifest names, as long as that says that the clone is there.
  Result<bool> needed_by_a_clone(const BucketCartridge& cartridge) {
    if (cartridge.manifest && cartridge.manifest->kind != CartridgeKind::image) return false;
    const std::lock_guard lock(clones_mutex_);
    if (!clones_) {
      std::map<Uuid, std::set<Uuid>> found;  // by what they were made from
      std::mutex found_mutex;
      ScanOptions scan;
      scan.threads = options_.threads;
      scan.owners = false;
      TRY(scan_bucket(store_, scan, [&](BucketCartridge& c) -> Status {
        if (!c.manifest || c.manifest->kind != CartridgeKind::image) return {};
        ASSIGN_OR_RETURN(const auto base, image_base(*c.manifest));
        const std::lock_guard found_lock(found_mutex);
        if (base) found[base->image].insert(c.uuid);
        return {};
      }));
      clones_ = std::move(found);
    }
    const auto at = clones_->find(cartridge.uuid);
    if (at == clones_->end()) return false;
    std::set<Uuid> unknown = at->second;
    if (cartridge.manifest) {
      for (const Uuid& clone : clones_of(*cartridge.manifest)) unknown.erase(clone);
    }
    return !unknown.empty();
  }

  // Read once, when it is first needed: cartridges without a manifest are rare.
  Result<bool> has_barcode(const Uuid& uuid) {
    const std::lock_guard lock(barcodes_mutex_);
    if (!barcodes_) {
      std::set<Uuid> found;
      std::string after;
      do {
        ASSIGN_OR_RETURN(const auto page, store_.list(std::string(kBarcodesPrefix), after, kPage));
        for (const ObjectInfo& object : page.objects) {
          const Result<Versioned> read = read_versioned(store_, object.key, 64 * KiB);
          if (!read.ok() && read.error().code == ErrorCode::not_found) continue;
          if (!read.ok()) return read.error();
          ASSIGN_OR_RETURN(const BarcodeClaim claim, decode_barcode(read->content));
          found.insert(claim.cartridge);
        }
        after = page.next;
      } while (!after.empty());
      barcodes_ = std::move(found);
    }
    return barcodes_->contains(uuid);
  }

  ObjectStore& store_;
  Clock& clock_;
  const StoreGcOptions& options_;
  std::mutex mutex_;
  StoreGcReport report_;
  std::set<std::string> locked_;
  std::mutex barcodes_mutex_;
  std::optional<std::set<Uuid>> barcodes_;
  std::mutex clones_mutex_;
  std::optional<std::map<Uuid, std::set<Uuid>>> clones_;
};

}  // namespace

Result<StoreGcReport> collect_store_garbage(ObjectStore& store, Clock& clock,
                                            const StoreGcOptions& options) {
  return Collector(store, clock, options).run();
}

}  // namespace coldshelf
