// Volumes on a simulated shelf (shelf_rig.h), and what the store holds of them.
#pragma once

#include "tape/cartridge/segment_listing.h"
#include "tape/format/image_manifest.h"
#include "tests/support/shelf_rig.h"
#include "volume/volume.h"

namespace coldshelf::test {

class ImageRig : public ShelfRig, public ImageDirectory {
 public:
  explicit ImageRig(uint64_t seed, ShelfOptions options = {}, Sharing sharing = {})
      : ShelfRig(seed, with_ranges(std::move(options)), std::move(sharing)) {
    volume_options.segment_bytes = 512 * KiB;
    volume_options.map_interval_bytes = 1 * MiB;
  }

  VolumeOptions volume_options;

  Result<std::string> directory_of(const Uuid& image) override {
    return shelf().image_directory(image);
  }
  Result<std::string> stored_directory_of(const Uuid& image) override {
    return shelf().stored_image_directory(image);
  }
  VolumeEnv volume_env() { return {cartridge_env(), this}; }

  std::unique_ptr<Volume> make_image(const std::string& name, uint64_t size_bytes,
                                     const std::string& mode = "") {
    const Uuid id = Uuid::generate(random());
    auto made =
        Volume::create(volume_env(), volume_options, directory(id), {id, name, size_bytes, 4096});
    EXPECT_TRUE(made.ok()) << made.error().message();
    if (!mode.empty()) {
      EXPECT_TRUE((*made)->set_property(std::string(kPropertyMode), mode).ok());
    }
    EXPECT_TRUE(shelf().adopt((*made)->manifest(), "", TapeStatus::available).ok());
    return std::move(*made);
  }
  Result<std::unique_ptr<Volume>> open_image(const Uuid& id) {
    return Volume::open(volume_env(), volume_options, directory(id));
  }
  Result<std::unique_ptr<Volume>> clone_image(Volume& source, const Uuid& point,
                                              const std::string& name) {
    const Uuid id = Uuid::generate(random());
    auto made = Volume::clone(source, point, directory(id), {id, name});
    if (made.ok()) {
      EXPECT_TRUE(shelf().adopt((*made)->manifest(), "", TapeStatus::available).ok());
    }
    return made;
  }

  struct StoredImages : ImageDirectory {
    Result<std::string> directory_of(const Uuid& image) override { return "/" + image.to_string(); }
  };
  // The image as the store has it, on a disk of its own; null: not yet, or not whole.
  struct Stored {
    SimFileSystem disk;
    StoredImages images;
    std::unique_ptr<Volume> volume;
  };
  std::unique_ptr<Stored> open_stored(const Uuid& id) {
    auto out = std::make_unique<Stored>();
    if (!copy_stored(id, out->disk)) return nullptr;
    VolumeEnv env = volume_env();
    env.cartridge.files = &out->disk;
    env.cartridge.source = nullptr;
    env.cartridge.observer = nullptr;
    env.cartridge.gate = nullptr;
    env.images = &out->images;
    auto opened = Volume::open(env, volume_options, "/" + id.to_string());
    EXPECT_TRUE(opened.ok()) << opened.error().message();
    if (!opened.ok()) return nullptr;
    out->volume = std::move(*opened);
    return out;
  }
  // All that is written is in the store, and the store's manifest is the local one.
  bool all_stored(const Uuid& id) {
    const auto stored = stored_manifest(id);
    return stored && *stored == manifest(id);
  }
  // And nothing else of it.
  bool stored_exactly(const Uuid& id) {
    const Manifest local = manifest(id);
    size_t segments = 0;
    for (const Partition& p : local.partitions) segments += p.segments.size();
    return all_stored(id) && stored_objects(id) == segments &&
           catalog().segments(id)->size() == segments;
  }
  // For messages.
  std::string describe_stored(const Uuid& id) {
    std::map<SegmentState, size_t> states;
    const std::vector<SegmentRow> rows = *catalog().segments(id);
    for (const SegmentRow& row : rows) ++states[row.state];
    const Manifest local = manifest(id);
    size_t segments = 0;
    for (const Partition& p : local.partitions) segments += p.segments.size();
    const auto stored = stored_manifest(id);
    std::string out = id.to_string() + ": manifest " + std::to_string(local.generation) + " of " +
                      std::to_string(segments) + " segments, in the store " +
                      (stored ? std::to_string(stored->generation) : "none") + ", " +
                      std::to_string(stored_objects(id)) + " objects, rows";
    for (const auto& [state, count] : states) {
      out += " " + std::to_string(count) + " " + std::string(to_string(state));
    }
    return out + " " + (*catalog().tape(id))->problem;
  }
  size_t stored_objects(const Uuid& id) {
    const auto page = store().list("cartridges/" + id.to_string() + "/segments/", "", 10'000);
    EXPECT_TRUE(page.ok());
    return page->objects.size();
  }

 private:
  static ShelfOptions with_ranges(ShelfOptions options) {
    options.range_cache_directory = "/data/cache";
    return options;
  }
  bool copy_stored(const Uuid& id, SimFileSystem& to) {
    const auto m = stored_manifest(id);
    if (!m) return false;
    const std::string where = "/" + id.to_string();
    EXPECT_TRUE(to.create_directories(where).ok());
    EXPECT_TRUE(to.replace_file(where + "/manifest", encode_manifest(*m)).ok());
    for (const Partition& partition : m->partitions) {
      for (const SegmentEntry& e : partition.segments) {
        const auto bytes = store().get_all(segment_key(id, e.sequence, e.epoch));
        EXPECT_TRUE(bytes.ok()) << "the store's manifest names segment " << e.sequence;
        if (!bytes.ok()) return false;
        EXPECT_TRUE(to.replace_file(segment_path(where, e.sequence, e.epoch), *bytes).ok());
      }
    }
    const auto base = image_base(*m);
    EXPECT_TRUE(base.ok());
    if (!*base) return true;
    EXPECT_TRUE(copy_stored((*base)->image, to)) << "a clone is in the store without its source";
    const auto source = stored_manifest((*base)->image);
    if (!source) return false;
    const auto& maps = source->partitions[kImageMapPartition].segments;
    EXPECT_TRUE(std::any_of(maps.begin(), maps.end(), [&](const SegmentEntry& e) {
      return e.sequence == (*base)->sequence && e.epoch == (*base)->epoch;
    })) << "the map that a clone stands on is not in the store";
    return true;
  }
};

}  // namespace coldshelf::test
