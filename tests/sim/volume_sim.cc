#include "tests/sim/volume_sim.h"

#include <algorithm>

#include "base/coding.h"
#include "tape/cartridge/segment_listing.h"

namespace coldshelf::test {

// -- the store

void SimStore::put(const SegmentEntry& entry) {
  const std::string stem = segment_file_stem(entry.sequence, entry.epoch);
  if (segments_.contains(stem)) return;
  auto bytes = files_.read_file(segment_path(directory, entry.sequence, entry.epoch));
  ASSERT_TRUE(bytes.ok()) << bytes.error().message();
  segments_[stem] = std::move(*bytes);
}

void SimStore::segment_sealed(const Manifest& manifest, const SegmentEntry& entry,
                              const std::optional<Sha256Digest>& file_sha256) {
  if (manifest.uuid != watched) return;
  const std::lock_guard lock(mutex_);
  put(entry);
  if (file_sha256) {
    const auto& bytes = segments_[segment_file_stem(entry.sequence, entry.epoch)];
    EXPECT_EQ(Sha256::of(bytes), *file_sha256);
  }
  manifest_ = manifest;
}

void SimStore::segments_dropped(const Uuid& cartridge, std::span<const SegmentEntry> dropped) {
  if (cartridge != watched) return;
  const std::lock_guard lock(mutex_);
  for (const SegmentEntry& e : dropped) segments_.erase(segment_file_stem(e.sequence, e.epoch));
}

void SimStore::manifest_changed(const Manifest& manifest) {
  if (manifest.uuid != watched) return;
  const std::lock_guard lock(mutex_);
  manifest_ = manifest;
}

// What was entered in the manifest when nobody could be told any more.
void SimStore::put_missing(const Manifest& manifest) {
  const std::lock_guard lock(mutex_);
  std::set<std::string> named;
  for (const Partition& partition : manifest.partitions) {
    for (const SegmentEntry& entry : partition.segments) {
      named.insert(segment_file_stem(entry.sequence, entry.epoch));
      put(entry);
    }
  }
  std::erase_if(segments_, [&](const auto& s) { return !named.contains(s.first); });
  manifest_ = manifest;
}

Result<std::unique_ptr<File>> SimStore::fetch(const Uuid&, const SegmentEntry&, int64_t) {
  return Error(ErrorCode::unavailable, "by range only");
}

Status SimStore::fetch_range(const Uuid& cartridge, const SegmentEntry& entry, uint64_t offset,
                             MutableBytes out, int64_t) {
  if (cartridge != watched) return Error(ErrorCode::not_found, "not in the store");
  const std::lock_guard lock(mutex_);
  const auto found = segments_.find(segment_file_stem(entry.sequence, entry.epoch));
  if (found == segments_.end()) return Error(ErrorCode::not_found, "not in the store");
  if (offset + out.size() > found->second.size())
    return Error(ErrorCode::corrupt, "beyond the end");
  std::memcpy(out.data(), found->second.data() + offset, out.size());
  return {};
}

bool SimStore::holds(uint64_t sequence, uint64_t epoch) const {
  const std::lock_guard lock(mutex_);
  return segments_.contains(segment_file_stem(sequence, epoch));
}

bool SimStore::restore(FileSystem& disk, const std::string& where) const {
  const std::lock_guard lock(mutex_);
  if (!manifest_) return false;
  EXPECT_TRUE(disk.create_directories(where).ok());
  EXPECT_TRUE(disk.replace_file(join_path(where, "manifest"), encode_manifest(*manifest_)).ok());
  for (const Partition& partition : manifest_->partitions) {
    for (const SegmentEntry& e : partition.segments) {
      const auto found = segments_.find(segment_file_stem(e.sequence, e.epoch));
      if (found == segments_.end()) {
        ADD_FAILURE() << "the manifest in the store names segment " << e.sequence
                      << ", which is not there";
        return false;
      }
      EXPECT_TRUE(disk.replace_file(segment_path(where, e.sequence, e.epoch), found->second).ok());
    }
  }
  return true;
}

// -- the volume

VolumeSim::VolumeSim(uint64_t seed, bool threads)
    : seed_(seed), random_(seed), volume_random_(seed * 31 + 7) {
  if (threads) pool_ = std::make_unique<WorkerPool>(2);
  if (random_.one_in(3)) {
    auto key =
        KeyEncryptionKey::parse("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
    CHECK(key.ok());
    key_ = std::move(*key);
    options_.key = &*key_;
  }
  block_bytes_ = random_.one_in(2) ? 4096 : 512;
  blocks_ = 16 + random_.below(600);
  options_.segment_bytes = 512 * KiB + random_.below(512 * KiB);
  options_.map_interval_bytes = random_.one_in(2) ? 300 * KiB : 4 * MiB;
  options_.compact_percent = 20 + static_cast<unsigned>(random_.below(40));
  options_.compact_bytes_per_s = random_.below(512) * KiB;
  options_.max_open_files = 1 + random_.below(4);
  store_.directory = directory_;
  uuid_ = Uuid::generate(volume_random_);
  store_.watched = uuid_;
  watch_nonces();
  auto made = Volume::create(env(true), options_, directory_,
                             {uuid_, "sim", blocks_ * block_bytes_, block_bytes_});
  CHECK(made.ok());
  volume_ = std::move(*made);
}

VolumeSim::~VolumeSim() { volume_.reset(); }

VolumeEnv VolumeSim::env(bool with_observer) {
  VolumeEnv e;
  e.cartridge.files = &files_;
  e.cartridge.clock = &clock_;
  e.cartridge.random = &volume_random_;
  e.cartridge.workers = &inline_;
  e.cartridge.sealers = pool_ ? static_cast<Executor*>(pool_.get()) : &inline_;
  e.cartridge.buffers = buffers_;
  e.cartridge.source = &store_;
  if (with_observer) e.cartridge.observer = &store_;
  e.images = this;
  return e;
}

Result<std::string> VolumeSim::directory_of(const Uuid& image) {
  if (image == uuid_) return std::string(directory_);
  const auto found = clones_.find(image);
  if (found != clones_.end()) return std::string(found->second.directory);
  return Error(ErrorCode::not_found, image.to_string());
}

// Every frame ever written: its nonce must not come again with other contents.
void VolumeSim::watch_nonces() {
  if (!key_) return;
  files_.on_write([this](const std::string& path, uint64_t offset, ByteView bytes) {
    if (!path.ends_with(".open")) return;
    const std::lock_guard lock(nonce_mutex_);
    size_t at = offset == 0 ? kSegmentHeaderSize : 0;
    while (at + kFrameHeaderFixedSize <= bytes.size()) {
      const auto header = decode_frame_header(bytes.subspan(at, kFrameHeaderFixedSize));
      if (!header.ok()) break;
      const std::string nonce = path + "/" + std::to_string(header->frame_index);
      const auto [known, fresh] = payload_of_nonce_.emplace(nonce, header->payload_crc);
      EXPECT_TRUE(fresh || known->second == header->payload_crc) << "nonce again: " << nonce;
      at += kFrameHeaderFixedSize + header->stored_size;
    }
  });
}

void VolumeSim::apply(Tags& tags, const Op& op) const {
  if (op.whole) {
    tags = *op.whole;
    return;
  }
  for (uint64_t b = op.first; b < op.first + op.count; ++b) {
    tags[b] = op.tag == 0 ? 0 : tag_of(op.tag, b);
  }
}

VolumeSim::Tags VolumeSim::now() const {
  Tags tags(blocks_, 0);
  for (const Op& op : ops_) {
    if (!op.maybe) apply(tags, op);
  }
  return tags;
}

void VolumeSim::fill(MutableBytes out, uint64_t first, uint64_t tag) const {
  for (size_t i = 0; i < out.size(); i += 8) {
    const uint64_t block = first + i / block_bytes_;
    // A third of the blocks compresses.
    const uint64_t salt = tag % 3 == 0 ? 0 : (i % block_bytes_) * 0x9e3779b97f4a7c15U;
    store_le(out.data() + i,
             i % block_bytes_ == 0 ? tag_of(tag, block) : tag_of(tag, block) ^ salt);
  }
}

VolumeSim::Tags VolumeSim::read_all(BlockDevice& disk) {
  const uint64_t blocks = disk.size_bytes() / block_bytes_;
  Tags tags(blocks, 0);
  Buffer bytes(block_bytes_);
  Buffer expected(block_bytes_);
  Buffer all(static_cast<size_t>(blocks) * block_bytes_);
  const Status done = disk.read(0, all);
  EXPECT_TRUE(done.ok()) << (done.ok() ? "" : done.error().message());
  if (!done.ok()) return tags;
  for (uint64_t b = 0; b < blocks; ++b) {
    const ByteView block =
        ByteView(all).subspan(static_cast<size_t>(b) * block_bytes_, block_bytes_);
    const auto tag = load_le<uint64_t>(block.data());
    tags[b] = tag;
    if (tag == 0) {
      EXPECT_TRUE(
          std::all_of(block.begin(), block.end(), [](auto x) { return x == std::byte{0}; }));
      continue;
    }
    fill(expected, b, (tag - b - 1) / 1'000'003);
    EXPECT_TRUE(equal(block, expected)) << "a torn block " << b;
  }
  return tags;
}

bool VolumeSim::full(const Status& done) const {
  if (done.ok() || !may_be_full_ || done.error().code != ErrorCode::no_space) return false;
  EXPECT_FALSE(volume_->read_only())
      << "seed " << seed_ << ": " << volume_->failure().error().message();
  return true;
}

void VolumeSim::add(Op op, const Status& done) {
  if (full(done)) return;
  op.maybe = !done.ok();
  if (!done.ok()) failed_ = true;
  ops_.push_back(std::move(op));
}

bool VolumeSim::write(uint64_t first, uint64_t count, bool durable) {
  Op op{first, count, next_tag_++, std::nullopt, false};
  Buffer bytes(static_cast<size_t>(count) * block_bytes_);
  fill(bytes, first, op.tag);
  const Status done = volume_->write(first * block_bytes_, bytes, durable);
  add(std::move(op), done);
  if (done.ok() && durable) synced_ = ops_.size();
  return done.ok();
}

bool VolumeSim::unmap(uint64_t first, uint64_t count) {
  const Status done = volume_->unmap(first * block_bytes_, count * block_bytes_);
  add({first, count, 0, std::nullopt, false}, done);
  return done.ok();
}

bool VolumeSim::flush() {
  const Status done = volume_->flush();
  if (done.ok()) {
    synced_ = ops_.size();
  } else if (!full(done)) {
    failed_ = true;
  }
  return done.ok();
}

bool VolumeSim::create_point() {
  const Tags tags = now();
  auto made = volume_->create_point("p" + std::to_string(next_tag_));
  if (made.ok()) {
    points_[made->id] = {tags, true, false};
    synced_ = ops_.size();
    return true;
  }
  if (full(made.error())) return false;
  half_made_ = Point{tags, false, false};
  failed_ = true;
  return false;
}

void VolumeSim::delete_point() {
  if (points_.empty()) return;
  auto at = points_.begin();
  std::advance(at, static_cast<std::ptrdiff_t>(random_.below(points_.size())));
  const Status done = volume_->delete_point(at->first);
  if (done.ok()) {
    points_.erase(at);
  } else if (done.error().code != ErrorCode::busy && !full(done)) {
    at->second.gone = true;
    failed_ = true;
  }
}

bool VolumeSim::roll_back() {
  if (points_.empty()) return true;
  auto at = points_.begin();
  std::advance(at, static_cast<std::ptrdiff_t>(random_.below(points_.size())));
  const Status done = volume_->roll_back(at->first);
  Op op;
  op.whole = at->second.tags;
  add(std::move(op), done);
  if (done.ok()) synced_ = ops_.size();
  return done.ok();
}

void VolumeSim::check_point() {
  if (points_.empty()) return;
  auto at = points_.begin();
  std::advance(at, static_cast<std::ptrdiff_t>(random_.below(points_.size())));
  auto view = volume_->open_point(at->first);
  if (!view.ok() || volume_->read_only()) {
    if (view.ok() || !full(view.error())) failed_ = true;
    return;
  }
  EXPECT_EQ(read_all(**view), at->second.tags) << "a recovery point has changed";
  EXPECT_EQ(volume_->delete_point(at->first).error().code, ErrorCode::busy);
}

void VolumeSim::clone() {
  if (points_.empty() || clones_.size() >= 3) return;
  auto at = points_.begin();
  std::advance(at, static_cast<std::ptrdiff_t>(random_.below(points_.size())));
  const Uuid id = Uuid::generate(volume_random_);
  const std::string directory = "/c" + std::to_string(next_tag_++);
  auto made = Volume::clone(*volume_, at->first, directory, {id, "clone"});
  if (!made.ok()) {
    if (!full(made.error())) failed_ = true;
    return;
  }
  Clone& clone = clones_[id] = {directory, at->second.tags};
  EXPECT_EQ(read_all(**made), clone.tags);
  EXPECT_EQ(volume_->delete_point(at->first).error().code, ErrorCode::busy);
}

void VolumeSim::check_clones(bool write_too) {
  for (auto& [id, clone] : clones_) {
    auto opened = Volume::open(env(false), options_, clone.directory);
    ASSERT_TRUE(opened.ok()) << opened.error().message();
    EXPECT_EQ(read_all(**opened), clone.tags) << "a clone has changed";
    if (!write_too) continue;
    Op op{random_.below(blocks_), 1, next_tag_++, std::nullopt, false};
    op.count = 1 + random_.below(blocks_ - op.first);
    Buffer bytes(static_cast<size_t>(op.count) * block_bytes_);
    fill(bytes, op.first, op.tag);
    ASSERT_TRUE((*opened)->write(op.first * block_bytes_, bytes, true).ok());
    apply(clone.tags, op);
    EXPECT_EQ(read_all(**opened), clone.tags);
    if (random_.one_in(2)) {
      ASSERT_TRUE((*opened)->collect().ok());
    }
    ASSERT_TRUE((*opened)->close().ok());
  }
}

bool VolumeSim::collect() {
  const Status done = volume_->collect();
  if (!done.ok() && !full(done)) failed_ = true;
  return done.ok();
}

// Takes a sealed segment away from the disk that the store holds.
void VolumeSim::evict() {
  const Manifest manifest = volume_->manifest();
  const auto& segments = manifest.partitions[random_.below(2)].segments;
  if (segments.empty()) return;
  const SegmentEntry& e = segments[random_.below(segments.size())];
  if (!store_.holds(e.sequence, e.epoch)) return;
  const Status done = files_.remove(segment_path(directory_, e.sequence, e.epoch));
  static_cast<void>(done.ok());
}

void VolumeSim::check_reads() {
  const uint64_t first = random_.below(blocks_);
  const uint64_t count = 1 + random_.below(blocks_ - first);
  Buffer bytes(static_cast<size_t>(count) * block_bytes_);
  const Status done = volume_->read(first * block_bytes_, bytes);
  if (!done.ok() && volume_->read_only()) {
    failed_ = true;  // a sync that failed behind our back has lost pages; that is said, not hidden
    return;
  }
  ASSERT_TRUE(done.ok()) << done.error().message();
  const Tags tags = now();
  for (uint64_t b = 0; b < count; ++b) {
    const auto found = load_le<uint64_t>(bytes.data() + b * block_bytes_);
    ASSERT_EQ(found, tags[first + b]) << "block " << first + b;
    auto run = volume_->run_at((first + b) * block_bytes_, block_bytes_);
    ASSERT_TRUE(run.ok());
    EXPECT_EQ(run->mapped, tags[first + b] != 0);
  }
}

void VolumeSim::random_operation() {
  const uint64_t kind = random_.below(100);
  const uint64_t first = random_.below(blocks_);
  const uint64_t room = blocks_ - first;
  if (random_.one_in(8)) volume_->go_on();
  if (kind < 45) {
    const uint64_t most = random_.one_in(4) ? 1 * MiB / block_bytes_ : 16;
    write(first, 1 + random_.below(std::min(room, most)), random_.one_in(10));
  } else if (kind < 55) {
    unmap(first, 1 + random_.below(room));
  } else if (kind < 65) {
    flush();
  } else if (kind < 80) {
    check_reads();
  } else if (kind < 85) {
    create_point();
  } else if (kind < 88) {
    delete_point();
  } else if (kind < 90) {
    roll_back();
  } else if (kind < 93) {
    check_point();
  } else if (kind < 95) {
    collect();
  } else if (kind < 97) {
    evict();
  } else if (kind < 98) {
    clone();
  } else {
    const Status done = volume_->seal();
    if (!done.ok() && !full(done)) failed_ = true;
  }
}

void VolumeSim::crash() {
  volume_.reset();
  files_.crash(random_);
}

void VolumeSim::kill() {
  volume_.reset();
  files_.kill();
}

void VolumeSim::close() {
  const Status done = volume_->close();
  EXPECT_TRUE(done.ok()) << done.error().message();
  synced_ = ops_.size();
  volume_.reset();
}

std::optional<size_t> VolumeSim::find_prefix(const Tags& found, size_t at_least,
                                             bool& with_maybe) const {
  Tags tags(blocks_, 0);
  std::optional<size_t> best;
  for (size_t k = 0;; ++k) {
    if (k >= at_least && tags == found) {
      best = k;
      with_maybe = false;
    }
    if (k == ops_.size()) return best;
    if (!ops_[k].maybe) {
      apply(tags, ops_[k]);
      continue;
    }
    Tags also = tags;
    apply(also, ops_[k]);
    if (k + 1 >= at_least && also == found && also != tags) {
      best = k + 1;
      with_maybe = true;
    }
  }
}

bool VolumeSim::open(bool must) {
  failed_ = false;
  if (must) files_.no_faults();
  auto opened = Volume::open(env(true), options_, directory_);
  if (!opened.ok()) {
    EXPECT_FALSE(must) << opened.error().message();
    return false;
  }
  volume_ = std::move(*opened);
  if (!must) return true;
  const Tags found = read_all(*volume_);
  bool with_maybe = false;
  const auto k = find_prefix(found, synced_, with_maybe);
  EXPECT_TRUE(k.has_value()) << "seed " << seed_ << ": not a beginning of the " << ops_.size()
                             << " operations with the " << synced_ << " that were synced";
  if (!k) return false;
  ops_.resize(*k);
  if (with_maybe) ops_.back().maybe = false;
  synced_ = ops_.size();  // recovery has synced what it kept
  store_.put_missing(volume_->manifest());
  check_points();
  return !::testing::Test::HasFailure();
}

void VolumeSim::check_points() {
  auto listed = volume_->points();
  ASSERT_TRUE(listed.ok());
  std::set<Uuid> there;
  for (const RecoveryPoint& p : *listed) {
    there.insert(p.id);
    if (!points_.contains(p.id)) {
      ASSERT_TRUE(half_made_.has_value()) << "a recovery point that nobody made";
      points_[p.id] = *half_made_;
    }
    points_[p.id].gone = false;
    auto view = volume_->open_point(p.id);
    ASSERT_TRUE(view.ok()) << view.error().message();
    EXPECT_EQ(read_all(**view), points_[p.id].tags) << "seed " << seed_ << ": recovery point";
  }
  half_made_.reset();
  for (auto at = points_.begin(); at != points_.end();) {
    if (there.contains(at->first)) {
      ++at;
    } else {
      EXPECT_TRUE(at->second.gone) << "a recovery point is lost";
      at = points_.erase(at);
    }
  }
}

void VolumeSim::check_store() {
  SimFileSystem elsewhere;
  if (!store_.restore(elsewhere, "/s")) return;
  VolumeEnv e = env(false);
  e.cartridge.files = &elsewhere;
  e.cartridge.source = nullptr;
  e.cartridge.sealers = &inline_;
  auto opened = Volume::open(e, options_, "/s");
  ASSERT_TRUE(opened.ok()) << opened.error().message();
  bool with_maybe = false;
  const auto k = find_prefix(read_all(**opened), std::min(stored_, ops_.size()), with_maybe);
  ASSERT_TRUE(k.has_value()) << "seed " << seed_ << ": the store holds no beginning";
}

}  // namespace coldshelf::test
