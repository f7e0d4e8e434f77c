#include "uploader/bucket_scan.h"

#include <algorithm>
#include <atomic>
#include <mutex>

#include "base/executor.h"
#include "uploader/bucket_takeover.h"
#include "uploader/detached_document.h"
#include "uploader/shelf.h"

namespace coldshelf {

namespace {
constexpr size_t kPage = 1'000;
constexpr uint64_t kOwnerLimit = 64 * KiB;
}  // namespace

Status in_parallel(unsigned threads, size_t count, const std::function<Status(size_t)>& work) {
  if (threads <= 1 || count <= 1) {
    for (size_t i = 0; i < count; ++i) TRY(work(i));
    return {};
  }
  std::mutex mutex;
  std::optional<Error> first;
  std::atomic<size_t> next{0};
  std::atomic<bool> failed{false};
  {
    WorkerPool pool(static_cast<unsigned>(std::min<size_t>(threads, count)));
    for (unsigned t = 0; t < pool.thread_count(); ++t) {
      pool.submit([&] {
        for (size_t i = next++; i < count && !failed; i = next++) {
          Status done = work(i);
          if (done.ok()) continue;
          const std::lock_guard lock(mutex);
          failed = true;
          if (!first) first = std::move(done).error();
        }
      });
    }
  }
  if (first) return *first;
  return {};
}

Result<std::vector<Uuid>> list_cartridges(ObjectStore& store) {
  std::vector<Uuid> out;
  std::string after;
  do {
    ASSIGN_OR_RETURN(const auto page,
                     store.list_folders(std::string(kCartridgesPrefix), after, kPage));
    for (const std::string& name : page.names) {
      if (const auto uuid = Uuid::parse(name)) out.push_back(*uuid);
    }
    after = page.next;
  } while (!after.empty());
  return out;
}

Result<BucketCartridge> read_cartridge(ObjectStore& store, const Uuid& uuid, bool owner) {
  // Of this object, not of the way to it.
  const auto of_the_object = [](const Error& error) {
    return error.code == ErrorCode::not_found || error.code == ErrorCode::corrupt ||
           error.code == ErrorCode::unsupported_version || error.code == ErrorCode::out_of_range;
  };
  BucketCartridge out;
  out.uuid = uuid;
  const auto read = [&]() -> Result<Manifest> {
    ASSIGN_OR_RETURN(const Versioned found, read_versioned(store, manifest_key(uuid)));
    ASSIGN_OR_RETURN(ReplayedManifest replayed, decode_manifest(found.content, false));
    if (replayed.manifest.uuid == uuid) return std::move(replayed.manifest);
    return Error(ErrorCode::corrupt,
                 manifest_key(uuid) + " is of cartridge " + replayed.manifest.uuid.to_string());
  };
  Result<Manifest> manifest = read();
  if (manifest.ok()) {
    out.manifest = std::move(*manifest);
  } else {
    if (!of_the_object(manifest.error())) return manifest.error();
    out.problem = manifest.error();
  }
  if (!owner) return out;
  const Result<Versioned> found = read_versioned(store, owner_key(uuid), kOwnerLimit);
  if (!found.ok() && found.error().code != ErrorCode::not_found) return found.error();
  if (!found.ok()) return out;
  Result<Owner> decoded = decode_owner(found->content);
  if (decoded.ok()) {
    decoded->etag = found->info.etag;
    out.owner = std::move(*decoded);
  } else if (!out.problem) {
    out.problem = decoded.error();
  }
  return out;
}

Detached is_detached(const BucketCartridge& image) {
  if (image.owner && image.owner->state != OwnerState::shelved) return Detached::no;
  if (!image.manifest) {
    const bool gone = image.problem && image.problem->code == ErrorCode::not_found;
    return gone ? Detached::no : Detached::unknown;
  }
  // What is on the shelf may be ARCHIVED, too: that is retrieved, not attached.
  const bool says_so = property_of(*image.manifest, "status") == kDetachedStatus;
  return says_so ? Detached::yes : Detached::no;
}

Status scan_bucket(ObjectStore& store, const ScanOptions& options, const VisitCartridge& visit) {
  ASSIGN_OR_RETURN(const std::vector<Uuid> cartridges, list_cartridges(store));
  std::mutex mutex;
  size_t done = 0;
  return in_parallel(options.threads, cartridges.size(), [&](size_t i) -> Status {
    ASSIGN_OR_RETURN(BucketCartridge found, read_cartridge(store, cartridges[i], options.owners));
    TRY(visit(found));
    const std::lock_guard lock(mutex);
    ++done;
    if (options.progress) options.progress(done, cartridges.size());
    return {};
  });
}

}  // namespace coldshelf
