// A cartridge in memory and a vault of them, for tests of what is above: the library, the drives'
// commands. One partition; records and filemarks in a list. Faults are switched on by tests.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tape/cartridge/cartridge.h"
#include "tape/library/library.h"

namespace coldshelf::test {

// What stays when the cartridge is not open: its "disk".
struct FakeMedium {
  struct Object {
    bool filemark = false;
    Buffer record;
  };
  Manifest manifest;
  std::vector<Object> synced;  // survives a crash
  bool open = false;
  // Faults.
  std::optional<Error> fail_open;
  std::optional<Error> fail_sync;   // once: the next sync or seal
  std::optional<Error> fail_close;  // once
};

class FakeCartridge final : public Cartridge {
 public:
  explicit FakeCartridge(std::shared_ptr<FakeMedium> medium)
      : medium_(std::move(medium)), objects_(medium_->synced) {}

  Manifest manifest() const override { return medium_->manifest; }
  const Uuid& uuid() const override { return medium_->manifest.uuid; }
  const std::string& label() const override { return medium_->manifest.label; }
  Status check_writable() const override { return {}; }

  Result<TapeObject> read(Position& at) override {
    TapeObject object;
    if (at.block >= objects_.size()) return object;
    const FakeMedium::Object& found = objects_[static_cast<size_t>(at.block)];
    at = after(at);
    object.kind = found.filemark ? TapeObject::Kind::filemark : TapeObject::Kind::record;
    if (found.filemark) return object;
    auto copy = std::make_shared<Buffer>(found.record);
    object.record.parts.push_back(*copy);
    object.record.size = copy->size();
    object.record.owners.push_back(std::move(copy));
    return object;
  }
  bool read_is_ready(const Position&) const override { return true; }
  uint32_t partition_count() const override { return 1; }
  uint64_t partition_capacity(uint32_t) const override { return medium_->manifest.capacity_bytes; }
  Position end_of_data(uint32_t) const override { return position(objects_.size()); }
  Result<Position> position_of(uint32_t, uint64_t block) override {
    return position(std::min<uint64_t>(block, objects_.size()));
  }
  Result<std::optional<uint64_t>> filemark_block(uint32_t, uint64_t n) override {
    for (size_t i = 0; i < objects_.size(); ++i) {
      if (objects_[i].filemark && n-- == 0) return std::optional<uint64_t>(i);
    }
    return std::optional<uint64_t>();
  }
  Result<uint64_t> bytes_before(const Position& at) override {
    uint64_t bytes = 0;
    for (size_t i = 0; i < at.block; ++i) bytes += objects_[i].record.size();
    return bytes;
  }

  Status write_record(Position& at, ByteView record) override {
    objects_.resize(static_cast<size_t>(at.block));
    objects_.push_back({false, to_buffer(record)});
    at = after(at);
    return {};
  }
  void set_compression(bool) override {}
  Status write_filemarks(Position& at, uint64_t count) override {
    if (count > 0) objects_.resize(static_cast<size_t>(at.block));
    for (uint64_t i = 0; i < count; ++i) {
      objects_.push_back({true, {}});
      at = after(at);
    }
    return {};
  }
  bool write_would_block(size_t) const override { return false; }
  Status sync() override {
    if (medium_->fail_sync) {
      failure_ = medium_->fail_sync;
      medium_->fail_sync.reset();
    }
    if (failure_) return *failure_;  // an fsync error is final until the cartridge is opened again
    medium_->synced = objects_;
    return {};
  }
  Status erase_from(const Position& at) override {
    objects_.resize(static_cast<size_t>(at.block));
    return sync();
  }
  Status format(const std::vector<uint64_t>&) override {
    objects_.clear();
    return sync();
  }
  Status set_capacity(uint64_t capacity_bytes) override {
    medium_->manifest.capacity_bytes = capacity_bytes;
    return {};
  }
  Status set_mam(const MamKey& key, const MamValue& value) override {
    medium_->manifest.mam[key] = value;
    return {};
  }
  Status remove_mam(const MamKey& key) override {
    medium_->manifest.mam.erase(key);
    return {};
  }
  Status set_property(const std::string& name, const std::string& value) override {
    medium_->manifest.properties[name] = value;
    return {};
  }
  Status set_write_protected(bool on) override {
    medium_->manifest.write_protected = on;
    return {};
  }
  Status seal() override { return sync(); }
  Status close() override {
    if (medium_->fail_close) {
      Error error = *medium_->fail_close;
      medium_->fail_close.reset();
      return error;
    }
    return seal();
  }
  Counters counters() const override { return {}; }

 private:
  Position position(uint64_t block) const {
    Position at;
    while (at.block < block) at = after(at);
    return at;
  }
  Position after(Position at) const {
    if (objects_[static_cast<size_t>(at.block)].filemark) ++at.filemark;
    ++at.block;
    return at;
  }

  std::shared_ptr<FakeMedium> medium_;
  std::vector<FakeMedium::Object> objects_;
  std::optional<Error> failure_;
};

class FakeVault final : public CartridgeVault {
 public:
  LibraryCartridge make(const std::string& barcode, const std::string& medium = "LTO-8",
                        uint64_t capacity_bytes = 64 * MiB) {
    auto fresh = std::make_shared<FakeMedium>();
    Uuid uuid;
    uuid.bytes[0] = std::byte{0x42};
    store_number(uuid, ++last_);
    fresh->manifest.uuid = uuid;
    fresh->manifest.label = barcode;
    fresh->manifest.medium = medium;
    fresh->manifest.capacity_bytes = capacity_bytes;
    fresh->manifest.partitions.resize(1);
    fresh->manifest.partitions[0].capacity_bytes = capacity_bytes;
    media_[uuid] = std::move(fresh);
    return {uuid, barcode, medium};
  }
  FakeMedium& medium(const Uuid& uuid) { return *media_.at(uuid); }
  // Like a kill of the process: what was open is open no more.
  void crash() {
    for (auto& [uuid, medium] : media_) medium->open = false;
  }

  Result<std::unique_ptr<Cartridge>> open(const Uuid& uuid) override {
    const auto found = media_.find(uuid);
    if (found == media_.end()) return Error(ErrorCode::not_found, "no such cartridge");
    FakeMedium& medium = *found->second;
    if (medium.fail_open) return *medium.fail_open;
    if (medium.open) return Error(ErrorCode::busy, medium.manifest.label + " is open elsewhere");
    medium.open = true;
    return std::unique_ptr<Cartridge>(std::make_unique<FakeCartridge>(found->second));
  }
  Status close(std::unique_ptr<Cartridge> cartridge) override {
    medium(cartridge->uuid()).open = false;
    return cartridge->close();
  }

 private:
  static void store_number(Uuid& uuid, uint32_t n) {
    for (size_t i = 0; i < 4; ++i) uuid.bytes[12 + i] = static_cast<std::byte>(n >> (24 - 8 * i));
  }
  std::map<Uuid, std::shared_ptr<FakeMedium>> media_;
  uint32_t last_ = 0;
};

}  // namespace coldshelf::test
