// A cartridge in memory: the Cartridge interface without files, with faults on demand. For tests of
// what stands above cartridges.
#pragma once

#include <map>
#include <mutex>

#include "tape/cartridge/cartridge.h"

namespace coldshelf {

class MemoryCartridge final : public Cartridge {
 public:
  explicit MemoryCartridge(const NewCartridge& what);

  // -- faults and looks inside
  // Reading object `block` fails with `error` until repair().
  void damage(uint32_t partition, uint64_t block, Error error);
  void repair() { damaged_.clear(); }
  void lose_index(bool lost) { index_lost_ = lost; }  // position_of() fails with corrupt
  void fail_next_write(Error error) { next_write_error_ = std::move(error); }
  // The next sync fails: what was not synced is gone and the cartridge takes no more writes.
  void fail_next_sync(Error error) { next_sync_error_ = std::move(error); }
  void fail_next_attribute(Error error) { next_attribute_error_ = std::move(error); }
  void set_ready(bool ready) { ready_ = ready; }  // read_is_ready, !write_would_block
  unsigned syncs() const { return syncs_; }
  unsigned seals() const { return seals_; }
  unsigned attribute_commits() const { return attribute_commits_; }

  Manifest manifest() const override;
  const Uuid& uuid() const override { return manifest_.uuid; }
  const std::string& label() const override { return manifest_.label; }
  Status check_writable() const override;
  Result<TapeObject> read(Position& at) override;
  bool read_is_ready(const Position& at) const override;
  uint32_t partition_count() const override;
  uint64_t partition_capacity(uint32_t partition) const override;
  Position end_of_data(uint32_t partition) const override;
  Result<Position> position_of(uint32_t partition, uint64_t block) override;
  Result<std::optional<uint64_t>> filemark_block(uint32_t partition, uint64_t n) override;
  Result<uint64_t> bytes_before(const Position& at) override;
  Status write_record(Position& at, ByteView record) override;
  Status write_filemarks(Position& at, uint64_t count) override;
  void set_compression(bool on) override { compression_ = on; }
  bool compression() const { return compression_; }
  bool write_would_block(size_t record_bytes) const override;
  Status sync() override;
  Status erase_from(const Position& at) override;
  Status format(const std::vector<uint64_t>& partition_capacities) override;
  Status set_capacity(uint64_t capacity_bytes) override;
  Status set_mam(const MamKey& key, const MamValue& value) override;
  Status remove_mam(const MamKey& key) override;
  Status set_property(const std::string& name, const std::string& value) override;
  Status set_write_protected(bool on) override;
  Status seal() override;
  Status close() override { return seal(); }
  Counters counters() const override { return counters_; }

 private:
  bool compression_ = true;  // nothing is compressed in memory; remembered for tests
  struct Object {
    std::shared_ptr<const Buffer> data;  // null: a filemark
    uint64_t bytes_before = 0;
  };
  struct Content {
    std::vector<Object> objects;
    std::vector<uint64_t> filemarks;  // their block numbers
    uint64_t bytes = 0;
    size_t synced = 0;  // objects
  };
  Status prepare_write(const Position& at);
  Status begin_attribute();
  void cut(Content& content, uint64_t block);

  Manifest manifest_;
  std::vector<Content> content_;
  std::map<std::pair<uint32_t, uint64_t>, Error> damaged_;
  std::optional<Error> next_write_error_, next_sync_error_, next_attribute_error_, failure_;
  bool index_lost_ = false;
  bool ready_ = true;
  unsigned syncs_ = 0, seals_ = 0, attribute_commits_ = 0;
  Counters counters_;
};

}  // namespace coldshelf
