// A disk in EBS's blocks of 512 KiB. A block is there when any of it is mapped. Thread-safe.
#pragma once

#include <optional>

#include "uploader/cloud/ebs_client.h"
#include "volume/block_device.h"

namespace coldshelf {

class BlockPresence {
 public:
  explicit BlockPresence(BlockDevice& disk) : disk_(disk) {}
  uint64_t block_count() const {
    return (disk_.size_bytes() + kEbsBlockBytes - 1) / kEbsBlockBytes;
  }
  // The first block from `from` on that is there.
  Result<std::optional<uint64_t>> next(uint64_t from);
  // kEbsBlockBytes; zeros beyond the end of the disk.
  Status read(uint64_t block, MutableBytes out);

 private:
  BlockDevice& disk_;
};

}  // namespace coldshelf
