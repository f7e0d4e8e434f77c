// Images on the shelf: the cartridges of volumes. What is different from tapes: they are open all
// the time, they drop segments anywhere, they share segments with their clones, and one of them is
// kept here as a whole ("stored") while another is not ("cached").
#include <algorithm>

#include "tape/format/image_manifest.h"
#include "uploader/bucket_scan.h"
#include "uploader/shelf_state.h"

namespace coldshelf {

namespace {
constexpr size_t kMaxHistory = 4;  // manifests of one image
}  // namespace

ImageMode mode_of(const Manifest& manifest) {
  const auto at = manifest.properties.find(std::string(kPropertyMode));
  if (at == manifest.properties.end()) return ImageMode::cached;
  return parse_image_mode(at->second).value_or(ImageMode::cached);
}

bool says_pinned(const Manifest& manifest) {
  const auto at = manifest.properties.find(std::string(kPinnedProperty));
  return at != manifest.properties.end() && at->second == "true";
}

// Called with the lock held, for every manifest an image has had. One from before a map entered is
// kept until the store has a later one: while the store is behind, it may be all that can be sent.
void Shelf::State::note_image(const Manifest& manifest, bool map_entered) {
  ImageWatch& image = images[manifest.uuid];
  const std::pair<ImageMode, bool> keeping{mode_of(manifest), says_pinned(manifest)};
  if (!image.keeping || *image.keeping != keeping) {
    image.keeping = keeping;
    new_keeping[manifest.uuid] = keeping;
    wake_locked(Work::rows);
  }
  if (map_entered && image.last) {
    image.history.push_back(image.last);
    // What is in the middle is missed least: the oldest can be sent first, the newest is the best.
    if (image.history.size() > kMaxHistory) {
      image.history.erase(image.history.begin() + kMaxHistory / 2);
    }
  }
  image.last = std::make_shared<const Manifest>(manifest);
}

// The newest state of the image that is in the store but for its manifest, and the segments of the
// manifest it is cut from; nullopt: none beyond the one the store has.
std::optional<Manifest> Shelf::State::storable(const Manifest& now,
                                               const std::vector<SegmentRow>& rows, bool& complete,
                                               std::set<SegmentId>& whole) {
  std::set<std::pair<uint64_t, uint64_t>> there;
  {
    const std::lock_guard lock(mutex);
    const std::set<SegmentId>& garbage = manifests[now.uuid].garbage;
    for (const SegmentRow& row : rows) {
      // What is about to be deleted must not be named by an earlier manifest once more.
      const bool going = dropped.contains(id_of(row)) && !garbage.contains(id_of(row));
      if (in_store(row.state) && !going) there.insert({row.sequence, row.epoch});
    }
  }
  const IsConfirmed confirmed = [&](const SegmentEntry& e) {
    return there.contains({e.sequence, e.epoch});
  };
  if (auto found = storable_image(now, confirmed, complete)) return found;
  std::deque<std::shared_ptr<const Manifest>> history;
  uint64_t sent = 0;
  {
    const std::lock_guard lock(mutex);
    const auto at = images.find(now.uuid);
    if (at != images.end()) history = at->second.history;
    const ManifestWatch& watch = manifests[now.uuid];
    if (watch.sent_generation != UINT64_MAX) sent = watch.sent_generation;
  }
  // Never one older than the store's: what that one does not name may be deleted.
  for (auto at = history.rbegin(); at != history.rend() && (*at)->generation >= sent; ++at) {
    auto found = storable_image(**at, confirmed, complete);
    complete = false;
    if (!found) continue;
    whole = segments_of(**at);
    return found;
  }
  return std::nullopt;
}

// Called with the lock held: the store has this one.
void Shelf::State::note_image_sent(const Manifest& sent) {
  ImageWatch& image = images[sent.uuid];
  std::erase_if(image.history, [&](const auto& m) { return m->generation < sent.generation; });
  const std::vector<Uuid> clones = clones_of(sent);
  image.sent_holds = std::set<Uuid>(clones.begin(), clones.end());
}

// A clone's manifest goes up when the store's manifest of what it stands on knows of it, so that
// nothing the clone needs can go, after a rebuild neither.
Result<bool> Shelf::State::base_is_stored(const Manifest& manifest) {
  ASSIGN_OR_RETURN(const auto base, image_base(manifest));
  if (!base) return true;
  ASSIGN_OR_RETURN(const std::optional<TapeRow> row, env.catalog->tape(base->image));
  bool ours = row.has_value();
  {
    const std::lock_guard lock(mutex);
    const auto at = images.find(base->image);
    if (at != images.end() && at->second.sent_holds.contains(manifest.uuid)) return true;
    ours = ours && !fenced.contains(base->image);
  }
  if (!ours) return others_base_is_stored(manifest.uuid, *base);
  // Nothing of it was sent since the start: then the store has what the disk has, or will get it.
  ASSIGN_OR_RETURN(const Manifest source, read_manifest(base->image));
  return source.generation == row->uploaded_manifest_generation;
}

// What a clone stands on has come to be another gateway's: that must know of the recovery point.
Result<bool> Shelf::State::others_base_is_stored(const Uuid& clone, const ImageBase& base) {
  {
    const std::lock_guard lock(mutex);
    if (images[clone].base_seen) return true;
  }
  ASSIGN_OR_RETURN(const BucketCartridge found, read_cartridge(*env.store, base.image, false));
  if (!found.manifest) return *found.problem;
  if (!segments_of(*found.manifest).contains({base.image, base.sequence, base.epoch})) {
    return Error(ErrorCode::conflict,
                 "image " + found.manifest->label +
                     ", another gateway's by now, lacks the recovery point this clone stands on");
  }
  const std::lock_guard lock(mutex);
  images[clone].base_seen = true;
  return true;
}

// What is here of an image that is another gateway's may go when no clone of this one stands on a
// recovery point that nothing else has.
Status Shelf::State::check_clones_stand(const TapeRow& image) {
  const Result<Manifest> local = read_manifest(image.uuid);
  if (!local.ok() && local.error().code == ErrorCode::not_found) return {};
  if (!local.ok()) return local.error();
  for (const Uuid& uuid : clones_of(*local)) {
    ASSIGN_OR_RETURN(const auto row, env.catalog->tape(uuid));
    if (!row || !check_owned(uuid).ok()) continue;
    const Result<Manifest> clone = read_manifest(uuid);
    if (!clone.ok()) continue;  // damaged, or on its way out
    const auto base = image_base(*clone);
    if (!base.ok() || !*base || (*base)->image != image.uuid) continue;
    const Result<bool> stored = others_base_is_stored(uuid, **base);
    if (stored.ok()) continue;
    if (is_passing(stored.error())) return stored.error();
    return Error(ErrorCode::conflict, "clone " + row->barcode + " stands on a recovery point of " +
                                          image.barcode + " that only what is here of it has");
  }
  return {};
}

// Nobody must take its first segments for garbage: before they go up, the store says whose they
// are. Asked once; after that it is remembered.
Status Shelf::State::claim_image(const Uuid& cartridge) {
  if (env.ownership == nullptr) return {};
  {
    const std::lock_guard lock(mutex);
    if (!images.contains(cartridge)) return {};
  }
  return ensure_owned(cartridge);
}

Status Shelf::State::check_no_clones(const TapeRow& image) {
  const Result<Manifest> manifest = read_manifest(image.uuid);
  if (!manifest.ok() && manifest.error().code == ErrorCode::not_found) return {};
  if (!manifest.ok()) return manifest.error();
  const std::vector<Uuid> clones = clones_of(*manifest);
  if (clones.empty()) return {};
  return Error(ErrorCode::busy, "clone " + clones.front().to_string() +
                                    " stands on a recovery point of image " + image.barcode);
}

Result<ImageStatistics> Shelf::image_statistics(const Uuid& cartridge) const {
  State& s = *state_;
  ASSIGN_OR_RETURN(const TapeRow row, s.tape_row(cartridge));
  ASSIGN_OR_RETURN(const Catalog::CartridgeUsage usage, s.env.catalog->cartridge_usage(cartridge));
  ImageStatistics out;
  out.local_bytes = usage.local_bytes;
  out.stored_bytes = usage.stored_bytes;
  out.not_uploaded_bytes = usage.not_uploaded_bytes;
  int64_t oldest_ms = usage.oldest_unsent_ms;
  const int64_t now = s.env.clock->unix_ms();
  {
    const std::lock_guard lock(s.mutex);
    for (const SegmentRow& waiting : s.new_rows) {
      if (waiting.cartridge != cartridge) continue;
      out.local_bytes += waiting.stored_bytes;
      out.not_uploaded_bytes += waiting.stored_bytes;
      if (oldest_ms == 0) oldest_ms = now;
    }
    const auto watch = s.manifests.find(cartridge);
    if (watch != s.manifests.end() && watch->second.dirty && oldest_ms == 0) {
      // Everything is there but the manifest that names it.
      oldest_ms = now - (s.now_ms() - watch->second.changed_ms);
    }
  }
  const uint64_t unsealed = s.buffer.unsealed_bytes(cartridge);
  out.not_uploaded_bytes += unsealed;
  out.local_bytes += unsealed;
  if (oldest_ms != 0) out.not_uploaded_age_ms = std::max<int64_t>(0, now - oldest_ms);
  out.problem = row.problem;
  return out;
}

}  // namespace coldshelf
