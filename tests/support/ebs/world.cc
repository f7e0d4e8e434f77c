// The world behind the protocol's back: what tests make, change and look at.
#include <algorithm>

#include "base/random.h"
#include "tests/support/ebs/service.h"

namespace coldshelf::test::ebs {

Volume& Service::volume_of(const std::string& id) {
  const auto it = volumes_.find(id);
  CHECK(it != volumes_.end());
  return it->second;
}

BlockImage& Service::changeable(Volume& volume) {
  if (volume.image.use_count() > 1) volume.image = std::make_shared<BlockImage>(*volume.image);
  return *volume.image;
}

std::string Service::make_volume(const EbsVolumeSpec& spec, const EbsPlace& place) {
  const std::lock_guard lock(mutex_);
  Volume volume;
  volume.id = new_id("vol");
  volume.account = place.account.empty() ? options_.accounts.front().id : place.account;
  volume.region = place.region.empty() ? options_.regions.front() : place.region;
  volume.zone = volume.region + "a";
  volume.size_gib = spec.size_gib;
  volume.encrypted = spec.encrypted;
  if (spec.encrypted) {
    volume.kms_key = !spec.kms_key.empty()
                         ? spec.kms_key
                         : "arn:aws:kms:" + volume.region + ":" + volume.account + ":key/aws-ebs";
  }
  volume.tags = spec.tags;
  volume.created_ms = now_ms();
  volume.lineage = volume.id;
  volume.image = std::make_shared<BlockImage>();
  if (spec.fill_per_mille > 0) {
    volume.image->fill = std::make_shared<const LazyFill>(
        LazyFill{spec.seed, spec.fill_per_mille, spec.size_gib * kEbsBlocksPerGib, spec.pattern});
  }
  volumes_[volume.id] = volume;
  return volume.id;
}

void Service::change(const std::string& id, uint64_t first, uint64_t count, Change change,
                     uint64_t seed, EbsPattern pattern) {
  const std::lock_guard lock(mutex_);
  Volume& volume = volume_of(id);
  CHECK(first + count <= volume.size_gib * kEbsBlocksPerGib);
  BlockImage& image = changeable(volume);
  for (uint64_t index = first; index < first + count; ++index) {
    if (change == Change::trim) {
      if (image.fill && image.fill->has(index)) {
        image.written[index] = std::nullopt;
      } else {
        image.written.erase(index);
      }
      continue;
    }
    BlockRef block;
    if (change == Change::touch) {
      const auto before = image.at(index);
      if (!before) continue;
      block = *before;
    } else if (change == Change::pattern) {
      block.content = ContentStore::pattern(seed, index, pattern);
    }
    block.stamp = ++stamps_;
    image.written[index] = block;
  }
}

void Service::grow_volume(const std::string& id, uint64_t size_gib) {
  const std::lock_guard lock(mutex_);
  Volume& volume = volume_of(id);
  CHECK(size_gib > volume.size_gib);
  volume.size_gib = size_gib;
}

void Service::write_block(const std::string& id, uint64_t index, ByteView bytes) {
  CHECK(bytes.size() == kEbsBlockBytes);
  BlockRef block = contents_.keep(bytes, Sha256::of(bytes));
  const std::lock_guard lock(mutex_);
  Volume& volume = volume_of(id);
  CHECK(index < volume.size_gib * kEbsBlocksPerGib);
  block.stamp = ++stamps_;
  changeable(volume).written[index] = block;
}

Snapshot& Service::snap(Volume& volume, const EbsTags& tags, int64_t completed_ms) {
  Snapshot snapshot;
  snapshot.id = new_id("snap", &snapshot.number);
  snapshot.account = volume.account;
  snapshot.region = volume.region;
  snapshot.volume_id = volume.id;
  snapshot.lineage = volume.lineage;
  snapshot.size_gib = volume.size_gib;
  snapshot.encrypted = volume.encrypted;
  snapshot.kms_key = volume.kms_key;
  snapshot.tags = tags;
  snapshot.start_ms = now_ms();
  snapshot.completed_ms = completed_ms;
  snapshot.image = volume.image;
  volume.snapshot_ms = snapshot.start_ms;
  return snapshots_[snapshot.id] = snapshot;
}

std::string Service::make_snapshot(const std::string& volume, const EbsTags& tags) {
  const std::lock_guard lock(mutex_);
  return snap(volume_of(volume), tags, now_ms()).id;
}

std::string Service::make_instance(const std::vector<std::string>& volumes, const EbsTags& tags) {
  const std::lock_guard lock(mutex_);
  CHECK(!volumes.empty() && volumes.size() <= 20);
  const Volume& root = volume_of(volumes.front());
  Instance instance;
  instance.id = new_id("i");
  instance.account = root.account;
  instance.region = root.region;
  instance.zone = root.zone;
  instance.tags = tags;
  instance.launched_ms = now_ms();
  for (size_t i = 0; i < volumes.size(); ++i) {
    Volume& volume = volume_of(volumes[i]);
    CHECK(volume.instance_id.empty());
    volume.instance_id = instance.id;
    volume.device = i == 0 ? "/dev/xvda" : std::string("/dev/sd") + static_cast<char>('f' + i - 1);
    instance.devices.emplace_back(volume.device, volume.id);
  }
  instances_[instance.id] = instance;
  return instance.id;
}

EbsTags* Service::tags_of(const Call& call, const std::string& resource) {
  const auto mine = [&](auto& all) -> EbsTags* {
    const auto it = all.find(resource);
    if (it == all.end()) return nullptr;
    if (!call.account.empty() && !owns(call, it->second.account, it->second.region)) return nullptr;
    return &it->second.tags;
  };
  for (EbsTags* tags : {mine(volumes_), mine(snapshots_), mine(instances_), mine(images_)}) {
    if (tags != nullptr) return tags;
  }
  return nullptr;
}

void Service::set_tags(const std::string& resource, const EbsTags& tags) {
  const std::lock_guard lock(mutex_);
  EbsTags* there = tags_of(Call{}, resource);
  CHECK(there != nullptr);
  *there = tags;
}

void Service::add_role(const std::string& arn, const std::vector<std::string>& trusted,
                       const std::string& external_id) {
  const std::vector<std::string> parts = imposter::split(arn, ':');
  CHECK(parts.size() == 6 && parts[2] == "iam");
  const std::lock_guard lock(mutex_);
  roles_[arn] = Role{arn, parts[4], external_id, trusted};
}

void Service::archive_snapshot(const std::string& id) {
  const std::lock_guard lock(mutex_);
  const auto it = snapshots_.find(id);
  CHECK(it != snapshots_.end());
  it->second.archived = true;
}

void Service::expire_key(const std::string& access_key) {
  const std::lock_guard lock(mutex_);
  const auto it = identities_.find(access_key);
  CHECK(it != identities_.end());
  it->second.key.expired = true;
}

std::optional<Buffer> Service::snapshot_block(const std::string& id, uint64_t index) const {
  const std::lock_guard lock(mutex_);
  const auto it = snapshots_.find(id);
  CHECK(it != snapshots_.end());
  const auto block = it->second.image->at(index);
  if (!block) return std::nullopt;
  return contents_.bytes(*block).all();
}

std::vector<uint64_t> Service::snapshot_blocks(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  const auto it = snapshots_.find(id);
  CHECK(it != snapshots_.end());
  const uint64_t end = it->second.size_gib * kEbsBlocksPerGib;
  std::vector<uint64_t> out;
  for (uint64_t at = it->second.image->next(0, end); at < end;
       at = it->second.image->next(at + 1, end)) {
    out.push_back(at);
  }
  return out;
}

Buffer Service::volume_block(const std::string& id, uint64_t index) const {
  const std::lock_guard lock(mutex_);
  const auto it = volumes_.find(id);
  CHECK(it != volumes_.end());
  if (const auto block = it->second.image->at(index)) return contents_.bytes(*block).all();
  Buffer out(kEbsBlockBytes, std::byte{0});
  if (it->second.encrypted && !it->second.snapshot_id.empty()) {
    SeededRandom garbage(index + 1);  // what was never written decrypts to anything
    garbage.fill(out);
  }
  return out;
}

std::vector<EbsSnapshotInfo> Service::snapshots() const {
  const std::lock_guard lock(mutex_);
  std::vector<const Snapshot*> all;
  for (const auto& [id, snapshot] : snapshots_) all.push_back(&snapshot);
  std::sort(all.begin(), all.end(),
            [](const Snapshot* a, const Snapshot* b) { return a->number < b->number; });
  std::vector<EbsSnapshotInfo> out;
  for (const Snapshot* s : all) {
    out.push_back({s->id, s->account, s->region, s->volume_id, s->parent_id, s->description,
                   state_of(*s), s->kms_key, s->encrypted, s->size_gib, s->start_ms, s->tags});
  }
  return out;
}

std::vector<EbsVolumeInfo> Service::volumes() const {
  const std::lock_guard lock(mutex_);
  std::vector<EbsVolumeInfo> out;
  for (const auto& [id, v] : volumes_) {
    out.push_back(
        {v.id, v.snapshot_id, v.zone, v.type, v.kms_key, v.encrypted, v.size_gib, v.tags});
  }
  return out;
}

std::vector<EbsImageInfo> Service::images() const {
  const std::lock_guard lock(mutex_);
  std::vector<EbsImageInfo> out;
  for (const auto& [id, image] : images_) {
    EbsImageInfo info{image.id, image.name, image.architecture, image.root_device, {}};
    for (const MachineImage::Mapping& mapping : image.mappings) {
      info.snapshots[mapping.device] = mapping.snapshot_id;
    }
    out.push_back(std::move(info));
  }
  return out;
}

std::vector<EbsMessage> Service::messages() const {
  const std::lock_guard lock(mutex_);
  return messages_;
}

}  // namespace coldshelf::test::ebs
