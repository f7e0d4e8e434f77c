// Pulls an EBS snapshot into an image: all of it, or what changed since a snapshot the image holds.
// Interrupted at any moment it goes on where it was. docs/snapshots.md.
#pragma once

#include <functional>

#include "snapshot/ebs_image.h"
#include "uploader/cloud/ebs_client.h"
#include "uploader/cloud/ec2_client.h"

namespace coldshelf {

struct PullRequest {
  Ec2Snapshot snapshot;  // as EC2 describes it
  std::string base;      // "": in full; "auto"; or a snapshot that the image holds
  // Of the same volume, that EC2 still has, completed and not archived: what "auto" may choose
  // from.
  std::vector<std::string> still_there;
};

struct PullProgress {
  uint64_t listed_blocks = 0;
  uint64_t fetched_blocks = 0;
  uint64_t stored_blocks = 0;   // the others were there already
  uint64_t removed_blocks = 0;  // not in the snapshot any more
  uint64_t zero_blocks = 0;     // present, and nothing but zeros
  uint64_t next_block = 0;
  uint64_t total_blocks = 0;  // of the volume
};

struct PullResult {
  Uuid point;
  std::string base;  // it was pulled against; empty: in full
  bool was_there = false;
  bool resumed = false;
  PullProgress done;
  size_t peak_list_entries = 0;
};

// The snapshot to pull against: the newest one that the image holds, older than `wanted`, of the
// same volume, and still in EC2; "" when there is none.
std::string choose_base(const EbsImage& image, const Ec2Snapshot& wanted,
                        const std::vector<std::string>& still_there);

// not_supported: `snapshot` is in EC2's archive tier.
Status check_readable(const Ec2Snapshot& snapshot);

class SnapshotPull {
 public:
  struct Options {
    unsigned threads = 192;  // requests under way, at most
    size_t ahead = 256;      // blocks in memory, at most
    uint64_t checkpoint_bytes = 1 * GiB;
    int64_t checkpoint_ms = 10'000;
    uint32_t page_size = kEbsMaxPage;
  };
  using Observer = std::function<void(const PullProgress&)>;

  // Nobody else writes to `image` meanwhile.
  SnapshotPull(Volume& image, EbsClient& ebs, Clock& clock, const Options& options,
               Observer observer = {});

  // Errors leave the image such that the same call goes on: cancelled, unavailable (try later),
  // not_found, permission, not_supported (archived), conflict (the base is of another volume),
  // corrupt.
  Result<PullResult> run(const PullRequest& request);

 private:
  struct Block {
    uint32_t index = 0;
    uint64_t gap_from = 0;  // blocks from here to index are not in the snapshot (in full only)
    std::string token;
  };
  struct Fetched {
    enum class Kind { same, stored, absent };
    Kind kind = Kind::same;
    bool zero = false;
    std::shared_ptr<PreparedWrite> write;
  };
  Result<std::string> base_of(const EbsImage& image, const PullRequest& request) const;
  Result<PullUnderWay> begin(const EbsImage& image, const PullRequest& request,
                             const std::string& base, bool& resumed);
  Status stream(const PullRequest& request, PullUnderWay& state, PullResult& result);
  Result<Fetched> fetch(const std::string& snapshot, const Block& block);
  Result<bool> is_held(uint32_t index, ByteView data);
  Status store(const Block& block, const Fetched& fetched, PullUnderWay& state);
  Status remove(uint64_t from, uint64_t to);  // blocks
  Status remove_beyond(PullUnderWay& state);
  Status renew_token(const std::string& snapshot, Block& block);
  void checkpoint(const PullUnderWay& state, bool wait);
  Result<Uuid> finish(const PullRequest& request, const PullUnderWay& state);

  Volume& image_;
  EbsClient& ebs_;
  Clock& clock_;
  const Options options_;
  const Observer observer_;
  PullProgress progress_;
  std::string base_;
  int64_t checkpoint_ns_ = 0;
  uint64_t bytes_since_ = 0;
  std::mutex checkpoint_mutex_;
  bool checkpointing_ = false;  // under checkpoint_mutex_
  std::optional<Error> checkpoint_failed_;
  std::unique_ptr<WorkerPool> checkpointer_;  // last: joins before the rest goes
};

}  // namespace coldshelf
