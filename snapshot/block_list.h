// The blocks of a snapshot, or what changed between two, in order and as they are needed: at most
// two pages are in memory (20,000 blocks), whatever the size of the snapshot.
#pragma once

#include <optional>

#include "base/executor.h"
#include "uploader/cloud/ebs_client.h"

namespace coldshelf {

class BlockList {
 public:
  // From block `start` on. `ebs` outlives this.
  BlockList(EbsClient& ebs, EbsListing what, uint32_t start, uint32_t page_size = kEbsMaxPage);

  // The next block; false: there are no more. Not thread-safe.
  Result<bool> next(EbsEntry& out);
  // The volume's size; asks for the first page if that was not done yet.
  Result<uint64_t> volume_gib();
  // Entries in memory at most, so far.
  size_t peak_entries() const { return peak_entries_; }

 private:
  Status advance();
  Result<EbsPage> fetch(const std::string& token, uint32_t start);
  void fetch_ahead();

  EbsClient& ebs_;
  const EbsListing what_;
  const uint32_t page_size_;
  EbsPage page_;
  size_t at_ = 0;      // in page_
  uint64_t expected_;  // no block below it comes any more
  bool begun_ = false;
  size_t peak_entries_ = 0;
  std::optional<Result<EbsPage>> ahead_;
  std::unique_ptr<WorkerPool> fetcher_;  // last: joins before the rest goes
};

}  // namespace coldshelf
