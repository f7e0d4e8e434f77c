// The reference model of a tape: objects in a vector, every rule written as the plainest loop that
// SSC-5 describes. Knows nothing of drives, cartridges or CDBs, so that it can judge each of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace coldshelf {

class TapeModel {
 public:
  struct Object {
    bool filemark = false;
    uint64_t length = 0;   // of a record
    uint64_t content = 0;  // whatever tells one record's bytes from another's, e.g. their seed
    bool operator==(const Object&) const = default;
  };
  enum class Stop { done, filemark, end_of_data, beginning_of_partition };
  struct Moved {
    Stop stop = Stop::done;
    uint64_t residual = 0;
    bool operator==(const Moved&) const = default;
  };
  struct Written {
    bool refused = false;   // WORM, and more would go than filemarks
    bool overflow = false;  // did not fit, nothing written
    bool early_warning = false;
    bool programmable_early_warning = false;
    bool operator==(const Written&) const = default;
  };

  // Early warning lies `early_warning_bytes` before the end of each partition.
  TapeModel(uint64_t capacity_bytes, uint64_t early_warning_bytes, bool worm);

  Written write(uint64_t length, uint64_t content);
  Written write_filemarks(uint64_t count);
  // The object at the position, which moves behind it; null at the end of data.
  const Object* read();
  void rewind() { block_ = 0; }
  Moved space_blocks(int64_t count);
  Moved space_filemarks(int64_t count);
  Moved space_sequential_filemarks(int64_t count);
  void space_end_of_data() { block_ = objects().size(); }
  Moved locate_block(uint32_t partition, uint64_t block);
  Moved locate_filemark(uint32_t partition, uint64_t filemark);
  void locate_end_of_data(uint32_t partition);
  bool erase();                                          // false: refused
  bool format(const std::vector<uint64_t>& capacities);  // false: refused, WORM
  void set_programmable_early_warning(uint64_t bytes) { programmable_bytes_ = bytes; }
  void load();  // what inserting into a drive does to the position

  uint32_t partition() const { return partition_; }
  uint64_t block() const { return block_; }
  uint64_t filemark() const;  // filemarks before the position
  bool behind_early_warning() const;
  uint32_t partition_count() const { return static_cast<uint32_t>(partitions_.size()); }
  uint64_t used_bytes(uint32_t partition) const;
  const std::vector<Object>& objects(uint32_t partition) const {
    return partitions_[partition].objects;
  }

 private:
  struct Part {
    uint64_t capacity = 0;
    std::vector<Object> objects;
  };
  std::vector<Object>& objects() { return partitions_[partition_].objects; }
  const std::vector<Object>& objects() const { return partitions_[partition_].objects; }
  uint64_t bytes_before() const;
  uint64_t early_warning_at() const;
  bool may_write() const;

  const uint64_t early_warning_bytes_;
  const bool worm_;
  uint64_t programmable_bytes_ = 0;
  std::vector<Part> partitions_;
  uint32_t partition_ = 0;
  uint64_t block_ = 0;
};

}  // namespace coldshelf
