// Makes an EBS snapshot of a disk: a recovery point of an archived EBS volume, or of one of our own
// volumes. Exactly the blocks of 512 KiB of which anything is mapped are written: on an encrypted
// volume a block that is left out reads as garbage. Interrupted at any moment it goes on where it
// was. docs/snapshots.md.
#pragma once

#include <functional>
#include <mutex>

#include "snapshot/block_presence.h"
#include "uploader/cloud/ebs_client.h"
#include "uploader/cloud/ec2_client.h"

namespace coldshelf {

struct RestoreRequest {
  std::string description;
  std::map<std::string, std::string> tags;
  bool encrypted = false;
  std::string kms_key;      // empty: the account's default key
  uint64_t volume_gib = 0;  // 0: the disk's size, rounded up
  // A snapshot of the same account that equals the disk given as parent: then only what differs is
  // written. Not together with `encrypted`: the service refuses that.
  std::string parent;
  unsigned timeout_minutes = 1440;  // after which the service gives up a snapshot nobody completes
};

// What must survive an interruption, kept by the caller.
struct RestoreState {
  std::string client_token;  // made first, so that a lost answer makes no second snapshot
  std::string snapshot;
  uint64_t next_block = 0;  // every block below it was written
  // Set when all blocks are: what CompleteSnapshot is told.
  bool all_written = false;
  uint64_t blocks_put = 0;
  std::string linear;  // SHA-256, hexadecimal
};

struct RestoreProgress {
  uint64_t next_block = 0;
  uint64_t total_blocks = 0;
  uint64_t blocks_put = 0;
  uint64_t blocks_same = 0;  // as in the parent
};

struct RestoreResult {
  std::string snapshot;
  uint64_t blocks_put = 0;
  uint64_t blocks_same = 0;
  uint64_t volume_gib = 0;
  std::string status;  // "completed"; "pending" when nobody could be asked
};

uint64_t gib_for(uint64_t bytes);  // of a volume that a disk of that size fits

class SnapshotRestore {
 public:
  struct Options {
    unsigned threads = 192;
    size_t ahead = 4096;  // of the last block taken in order: a digest each is kept
    int64_t checkpoint_ms = 5'000;
    int64_t completion_wait_ms = int64_t{24} * 3600 * 1000;
    int64_t poll_ms = 250;  // the first time; then longer
  };
  // Durable when it returns.
  using Save = std::function<Status(const RestoreState&)>;
  using Observer = std::function<void(const RestoreProgress&)>;

  // `parent`: the disk the parent snapshot was made of, or null. `ec2`: asked until the snapshot is
  // completed; null: that is not waited for. `stop`: as EbsClient's.
  SnapshotRestore(BlockDevice& source, BlockDevice* parent, EbsClient& ebs, Ec2Client* ec2,
                  Clock& clock, Random& random, const Options& options, Save save,
                  std::shared_ptr<const std::atomic<bool>> stop = nullptr, Observer observer = {});

  // With the state an interrupted run saved, or an empty one.
  Result<RestoreResult> run(const RestoreRequest& request, RestoreState state);

 private:
  struct Block {
    uint64_t index = 0;
    bool in_source = false;
    bool in_parent = false;
    bool written = false;  // before the interruption: only its digest is needed
  };
  struct Done {
    bool put = false;
    Sha256Digest digest{};
  };
  Status start(const RestoreRequest& request, RestoreState& state);
  Status write_blocks(RestoreState& state);
  Result<bool> next_block(Block& out);
  Result<Done> put(const std::string& snapshot, const Block& block);
  bool is_lost(const std::string& snapshot, const Error& error);
  Status complete(const RestoreState& state);
  Result<std::string> wait_completed(const std::string& snapshot, int64_t longest_ms);

  BlockPresence source_;
  std::optional<BlockPresence> parent_;
  EbsClient& ebs_;
  Ec2Client* const ec2_;
  Clock& clock_;
  Random& random_;
  const Options options_;
  const Save save_;
  const std::shared_ptr<const std::atomic<bool>> stop_;
  const Observer observer_;
  uint64_t volume_gib_ = 0;
  uint64_t looked_at_ = 0;
  RestoreProgress progress_;
};

}  // namespace coldshelf
