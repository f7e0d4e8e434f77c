#include "uploader/bucket_check.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <set>
#include <tuple>

#include "tape/format/image_manifest.h"
#include "tape/format/segment.h"
#include "uploader/object_file.h"
#include "uploader/shelf.h"

namespace coldshelf {

namespace {

constexpr size_t kPage = 1'000;
constexpr size_t kProblemsKept = 1'000;
constexpr size_t kManySegments = 64;  // of a cartridge: worth several requests at a time
constexpr unsigned kDeepThreads = 3;  // each holds a segment in memory

class Checker {
 public:
  Checker(ObjectStore& store, Clock& clock, BufferPool& buffers, const StoreCheckOptions& options)
      : store_(store), clock_(clock), buffers_(buffers), options_(options) {}

  Result<StoreCheckReport> run() {
    ASSIGN_OR_RETURN(const std::vector<Uuid> cartridges, list_cartridges(store_));
    // Deep: one cartridge after the other, its segments side by side.
    const unsigned threads = options_.deep ? 1 : options_.threads;
    size_t done = 0;
    TRY(in_parallel(threads, cartridges.size(), [&](size_t i) -> Status {
      TRY(check_cartridge(cartridges[i]));
      const std::lock_guard lock(mutex_);
      ++done;
      if (options_.progress) options_.progress(done, cartridges.size());
      return {};
    }));
    return report_;
  }

 private:
  Status abandoned() const {
    if (options_.abandon == nullptr || !*options_.abandon) return {};
    return Error(ErrorCode::cancelled, "the check was ended");
  }

  // The store's manifest of a cartridge, read again when something of it is wrong.
  struct Latest {
    std::mutex mutex;
    std::string etag;  // of what `named` is of
    std::set<std::tuple<uint64_t, uint64_t, Sha256Digest>> named;
  };

  // Gateways write meanwhile: what they drop goes, when the store's manifest names it no more.
  Result<bool> still_named(const Uuid& uuid, const SegmentEntry& entry, Latest& latest) {
    const std::lock_guard lock(latest.mutex);
    const Result<ObjectInfo> head = store_.head(manifest_key(uuid));
    if (!head.ok() && head.error().code == ErrorCode::not_found) return false;
    if (!head.ok()) return head.error();
    if (head->etag.empty() || head->etag != latest.etag) {
      ASSIGN_OR_RETURN(const BucketCartridge found, read_cartridge(store_, uuid, false));
      if (!found.manifest) return found.problem->code != ErrorCode::not_found;
      latest.named.clear();
      for (const Partition& partition : found.manifest->partitions) {
        for (const SegmentEntry& e : partition.segments) {
          latest.named.emplace(e.sequence, e.epoch, e.sha256);
        }
      }
      latest.etag = head->etag;
    }
    return latest.named.contains({entry.sequence, entry.epoch, entry.sha256});
  }

  Status segment_problem(const Manifest& manifest, const SegmentEntry& entry, Latest& latest,
                         const char* kind, const std::string& what) {
    ASSIGN_OR_RETURN(const bool named, still_named(manifest.uuid, entry, latest));
    if (!named) return {};
    problem(kind, segment_key(manifest.uuid, entry.sequence, entry.epoch), manifest.label, what);
    return {};
  }

  void problem(const char* kind, const std::string& key, const std::string& barcode,
               const std::string& what) {
    const std::lock_guard lock(mutex_);
    if (std::string_view(kind) != "orphan") ++report_.problems_total;
    if (report_.problems.size() < kProblemsKept) {
      report_.problems.push_back({kind, key, barcode, what});
    }
  }

  Status check_cartridge(const Uuid& uuid) {
    TRY(abandoned());
    // The listing first: what is named behind it may be younger than the listing and is asked for
    // by itself.
    std::map<std::string, ObjectInfo> objects;
    const std::string prefix = std::string(kCartridgesPrefix) + uuid.to_string() + "/";
    std::string after;
    do {
      ASSIGN_OR_RETURN(auto page, store_.list(prefix + "segments/", after, kPage));
      for (ObjectInfo& object : page.objects) objects.emplace(object.key, std::move(object));
      after = page.next;
    } while (!after.empty());
    ASSIGN_OR_RETURN(const BucketCartridge found, read_cartridge(store_, uuid, false));
    {
      const std::lock_guard lock(mutex_);
      ++report_.cartridges;
    }
    if (!found.manifest) {
      // Nothing but its owner and segments: being made, or deleted, or garbage.
      if (found.problem->code == ErrorCode::not_found) {
        for (const auto& [key, object] : objects) orphan(object, "");
        return {};
      }
      problem("manifest", manifest_key(uuid), "", found.problem->message());
      return {};
    }
    const Manifest& manifest = *found.manifest;
    std::vector<const SegmentEntry*> entries;
    for (const Partition& partition : manifest.partitions) {
      for (const SegmentEntry& entry : partition.segments) entries.push_back(&entry);
    }
    std::optional<Secret> key;
    if (options_.deep && options_.data_key && !manifest.key.empty()) {
      key = options_.data_key(manifest);
    }
    const unsigned threads = options_.deep                    ? kDeepThreads
                             : entries.size() > kManySegments ? options_.threads
                                                              : 1;
    Latest latest;
    TRY(in_parallel(threads, entries.size(), [&](size_t i) -> Status {
      const std::string name = segment_key(uuid, entries[i]->sequence, entries[i]->epoch);
      const auto at = objects.find(name);
      return check_segment(manifest, *entries[i], name, at == objects.end() ? nullptr : &at->second,
                           key ? &*key : nullptr, latest);
    }));
    for (const SegmentEntry* entry : entries) {
      objects.erase(segment_key(uuid, entry->sequence, entry->epoch));
    }
    for (const auto& [name, object] : objects) orphan(object, manifest.label);
    return check_base(manifest);
  }

  // A clone needs the map it stands on, and that its source knows of it.
  Status check_base(const Manifest& manifest) {
    if (manifest.kind != CartridgeKind::image) return {};
    const auto base = image_base(manifest);
    const std::string key = manifest_key(manifest.uuid);
    if (!base.ok()) {
      problem("manifest", key, manifest.label, base.error().message());
      return {};
    }
    if (!*base) return {};
    ASSIGN_OR_RETURN(const BucketCartridge found, read_cartridge(store_, (*base)->image, false));
    const std::string name = "image " + (*base)->image.to_string();
    // One that was deleted meanwhile has let its source go.
    const auto base_problem = [&](const std::string& what) -> Status {
      const Result<ObjectInfo> head = store_.head(key);
      if (!head.ok() && head.error().code == ErrorCode::not_found) return {};
      if (!head.ok()) return head.error();
      problem("base", key, manifest.label, what);
      return {};
    };
    if (!found.manifest) {
      return base_problem(name + ", which it was cloned from, is not there");
    }
    bool there = false;
    for (const Partition& partition : found.manifest->partitions) {
      for (const SegmentEntry& entry : partition.segments) {
        there = there || (entry.sequence == (*base)->sequence && entry.epoch == (*base)->epoch);
      }
    }
    const std::vector<Uuid> clones = clones_of(*found.manifest);
    if (!there) {
      return base_problem(name + " has lost the map that this one stands on");
    }
    if (std::find(clones.begin(), clones.end(), manifest.uuid) == clones.end()) {
      return base_problem(name + " does not know that this one stands on it");
    }
    return {};
  }

  void orphan(const ObjectInfo& object, const std::string& barcode) {
    {
      const std::lock_guard lock(mutex_);
      ++report_.orphans;
      report_.orphan_bytes += object.size;
    }
    problem("orphan", object.key, barcode, "no manifest names it");
  }

  Status check_segment(const Manifest& manifest, const SegmentEntry& entry, const std::string& key,
                       const ObjectInfo* listed, const Secret* data_key, Latest& latest) {
    TRY(abandoned());
    {
      const std::lock_guard lock(mutex_);
      ++report_.segments;
      report_.bytes += entry.stored_bytes;
    }
    // A listing tells neither of restored copies nor of what came after it.
    ObjectInfo object;
    if (listed == nullptr || needs_restore(listed->storage_class)) {
      Result<ObjectInfo> head = store_.head(key);
      if (!head.ok() && head.error().code == ErrorCode::not_found) {
        return segment_problem(manifest, entry, latest, "missing",
                               "the manifest names it: " + head.error().context);
      }
      if (!head.ok() && head.error().code == ErrorCode::corrupt) {
        return segment_problem(manifest, entry, latest, "damaged", head.error().message());
      }
      ASSIGN_OR_RETURN(object, std::move(head));
    } else {
      object = *listed;
    }
    if (object.size != entry.stored_bytes) {
      return segment_problem(manifest, entry, latest, "damaged",
                             std::to_string(object.size) + " bytes, the manifest says " +
                                 std::to_string(entry.stored_bytes));
    }
    if (needs_restore(object.storage_class) && object.restored_until_ms <= clock_.unix_ms()) {
      const std::lock_guard lock(mutex_);
      ++report_.cold_segments;
      return {};
    }
    const Status checked =
        options_.deep ? check_content(manifest, entry, key, data_key) : check_trailer(entry, key);
    if (checked.ok()) return {};
    const ErrorCode code = checked.error().code;
    if (code == ErrorCode::not_found) {
      return segment_problem(manifest, entry, latest, "missing",
                             "it went away, and the manifest names it");
    }
    if (code != ErrorCode::corrupt && code != ErrorCode::out_of_range) return checked;
    return segment_problem(manifest, entry, latest, "damaged", checked.error().message());
  }

  Status check_trailer(const SegmentEntry& entry, const std::string& key) {
    Buffer end(kSegmentTrailerSize);
    if (entry.stored_bytes < end.size()) return Error(ErrorCode::corrupt, "too short");
    TRY(store_.get(key, entry.stored_bytes - end.size(), end));
    ASSIGN_OR_RETURN(const SegmentTrailer trailer, decode_segment_trailer(end));
    if (trailer.sha256 == entry.sha256) return {};
    return Error(ErrorCode::corrupt, "a segment, but not the one the manifest names");
  }

  Status check_content(const Manifest& manifest, const SegmentEntry& entry, const std::string& key,
                       const Secret* data_key) {
    const auto content = buffers_.take(static_cast<size_t>(entry.stored_bytes));
    const MutableBytes bytes = MutableBytes(*content).first(entry.stored_bytes);
    TRY(store_.get(key, 0, bytes));
    ObjectFile file(bytes);
    TRY(check_segment_object(file, manifest.uuid, entry, data_key, buffers_));
    const std::lock_guard lock(mutex_);
    ++report_.read_segments;
    return {};
  }

  ObjectStore& store_;
  Clock& clock_;
  BufferPool& buffers_;
  const StoreCheckOptions& options_;
  std::mutex mutex_;
  StoreCheckReport report_;
};

}  // namespace

Result<StoreCheckReport> check_store(ObjectStore& store, Clock& clock, BufferPool& buffers,
                                     const StoreCheckOptions& options) {
  return Checker(store, clock, buffers, options).run();
}

}  // namespace coldshelf
