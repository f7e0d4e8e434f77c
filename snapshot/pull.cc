#include "snapshot/pull.h"

#include <algorithm>
#include <cstring>

#include "base/log.h"
#include "snapshot/block_list.h"
#include "snapshot/ordered_work.h"

namespace coldshelf {

namespace {

constexpr unsigned kTokenTries = 3;
constexpr int64_t kLongestHoldMs = 1'000;

uint64_t offset_of(uint64_t block) { return block * kEbsBlockBytes; }

const Sha256Digest& digest_of_zeros() {
  static const Sha256Digest digest = Sha256::of(Buffer(kEbsBlockBytes, std::byte{0}));
  return digest;
}

}  // namespace

std::string choose_base(const EbsImage& image, const Ec2Snapshot& wanted,
                        const std::vector<std::string>& still_there) {
  for (auto point = image.points.rbegin(); point != image.points.rend(); ++point) {
    const bool usable = point->snapshot != wanted.id && point->started_ms <= wanted.started_ms &&
                        point->volume == wanted.volume && !wanted.volume.empty() &&
                        point->volume_gib <= wanted.volume_gib;
    if (usable &&
        std::find(still_there.begin(), still_there.end(), point->snapshot) != still_there.end()) {
      return point->snapshot;
    }
  }
  return {};
}

Status check_readable(const Ec2Snapshot& snapshot) {
  if (!snapshot.archived()) return {};
  return Error(ErrorCode::not_supported,
               "snapshot " + snapshot.id +
                   " is in EC2's archive tier: restore it there first (RestoreSnapshotTier)");
}

SnapshotPull::SnapshotPull(Volume& image, EbsClient& ebs, Clock& clock, const Options& options,
                           Observer observer)
    : image_(image), ebs_(ebs), clock_(clock), options_(options), observer_(std::move(observer)) {}

Result<std::string> SnapshotPull::base_of(const EbsImage& image, const PullRequest& request) const {
  if (request.base.empty()) return std::string();
  if (request.base == "auto") {
    // A pull that was begun goes on with the base it had.
    if (image.pull && image.pull->snapshot == request.snapshot.id) {
      const std::string& had = image.pull->base;
      const auto& there = request.still_there;
      if (had.empty() || std::find(there.begin(), there.end(), had) != there.end()) return had;
    }
    return choose_base(image, request.snapshot, request.still_there);
  }
  if (image.find(request.base) == nullptr) {
    return Error(ErrorCode::not_found, "the image does not hold snapshot " + request.base);
  }
  return request.base;
}

// What the disk is when the first block comes: the base. Each step is harmless when the next one is
// missing.
Result<PullUnderWay> SnapshotPull::begin(const EbsImage& image, const PullRequest& request,
                                         const std::string& base, bool& resumed) {
  resumed = image.pull && image.pull->snapshot == request.snapshot.id && image.pull->base == base;
  if (resumed) return *image.pull;
  // 1. From here on the disk is no snapshot, and the pull that was under way is given up.
  if (image.pull || image.head != base) {
    TRY(image_.set_properties(
        {{std::string(kPropertyEbsHead), ""}, {std::string(kPropertyEbsPull), ""}}));
  }
  // 2. The base. In full every block is compared, so that it does not matter what is there.
  if (!base.empty() && image.head != base) {
    const EbsPoint* point = image.find(base);
    TRY(image_.roll_back(point->point));
  }
  // 3. Now blocks of the snapshot may be written over it.
  PullUnderWay state;
  state.snapshot = request.snapshot.id;
  state.base = base;
  Volume::Properties properties = property_of(state);
  properties[std::string(kPropertyEbsHead)] = "";
  TRY(image_.set_properties(properties));
  return state;
}

Result<PullResult> SnapshotPull::run(const PullRequest& request) {
  if (!is_snapshot_id(request.snapshot.id)) {
    return Error(ErrorCode::invalid_argument, request.snapshot.id + " is no snapshot");
  }
  if (request.snapshot.state != "completed") {
    return Error(ErrorCode::busy, "snapshot " + request.snapshot.id + " is " +
                                      request.snapshot.state + ", not completed");
  }
  ASSIGN_OR_RETURN(const EbsImage image, read_ebs_image(image_.manifest()));
  PullResult result;
  if (const EbsPoint* held = image.find(request.snapshot.id)) {
    result.point = held->point;
    result.base = held->base;
    result.was_there = true;
    return result;
  }
  ASSIGN_OR_RETURN(base_, base_of(image, request));
  const uint64_t bytes = request.snapshot.volume_gib * GiB;
  if (image_.size_bytes() < bytes) TRY(image_.resize(bytes));
  ASSIGN_OR_RETURN(PullUnderWay state, begin(image, request, base_, result.resumed));
  log_info("snapshot", "pull",
           {{"snapshot", request.snapshot.id}, {"base", base_}, {"from_block", state.next_block}});
  progress_ = {state.listed_blocks,
               state.fetched_blocks,
               state.stored_blocks,
               state.removed_blocks,
               0,
               state.next_block,
               request.snapshot.volume_gib * (GiB / kEbsBlockBytes)};
  checkpoint_ns_ = clock_.monotonic_ns();
  const Status done = stream(request, state, result);
  // Also after an error: what came is kept.
  checkpoint(state, true);
  TRY(done);
  if (checkpoint_failed_) return *checkpoint_failed_;
  ASSIGN_OR_RETURN(result.point, finish(request, state));
  result.base = base_;
  result.done = progress_;
  return result;
}

Status SnapshotPull::stream(const PullRequest& request, PullUnderWay& state, PullResult& result) {
  const std::string& snapshot = request.snapshot.id;
  // Only the recovery point was missing when it was interrupted. A list that begins behind the last
  // block is refused.
  if (state.next_block >= progress_.total_blocks) return remove_beyond(state);
  BlockList list(ebs_, {snapshot, base_}, static_cast<uint32_t>(state.next_block),
                 options_.page_size);
  ASSIGN_OR_RETURN(const uint64_t gib, list.volume_gib());
  if (gib != request.snapshot.volume_gib) {
    return Error(ErrorCode::corrupt, "EBS lists " + snapshot + " as one of another size");
  }
  uint64_t gap_from = state.next_block;
  OrderedWork<Block, Fetched>::Parts parts;
  parts.next = [&](Block& block) -> Result<bool> {
    EbsEntry entry;
    ASSIGN_OR_RETURN(const bool more, list.next(entry));
    if (!more) return false;
    block.index = entry.index;
    block.token = std::move(entry.token);
    block.gap_from = base_.empty() ? gap_from : entry.index;
    gap_from = uint64_t{entry.index} + 1;
    return true;
  };
  parts.work = [&](Block& block) -> Result<Fetched> {
    if (block.token.empty()) return Fetched{Fetched::Kind::absent, false, nullptr};
    for (unsigned i = 0;; ++i) {
      auto fetched = fetch(snapshot, block);
      const bool expired = !fetched.ok() && fetched.error().code == ErrorCode::precondition_failed;
      if (!expired || i >= kTokenTries) return fetched;
      TRY(renew_token(snapshot, block));
    }
  };
  parts.take = [&](Block& block, Fetched& fetched) { return store(block, fetched, state); };
  OrderedWork<Block, Fetched> work(std::move(parts), options_.ahead);
  TRY(work.run(options_.threads));
  result.peak_list_entries = list.peak_entries();
  // Behind the last block of a list in full nothing is there.
  if (base_.empty()) TRY(remove(gap_from, progress_.total_blocks));
  state.next_block = progress_.total_blocks;
  return remove_beyond(state);
}

// Nor beyond the snapshot's size.
Status SnapshotPull::remove_beyond(PullUnderWay& state) {
  TRY(remove(progress_.total_blocks, image_.size_bytes() / kEbsBlockBytes));
  state.removed_blocks = progress_.removed_blocks;
  return {};
}

Result<SnapshotPull::Fetched> SnapshotPull::fetch(const std::string& snapshot, const Block& block) {
  Fetched out;
  ASSIGN_OR_RETURN(out.write, image_.begin_write(offset_of(block.index), kEbsBlockBytes));
  const MutableBytes data = out.write->data();
  ASSIGN_OR_RETURN(const Sha256Digest digest,
                   ebs_.get_block(snapshot, block.index, block.token, data));
  out.zero = digest == digest_of_zeros();
  ASSIGN_OR_RETURN(const bool held, is_held(block.index, data));
  if (held) {
    out.write.reset();
    return out;
  }
  image_.finish_write(*out.write);
  out.kind = Fetched::Kind::stored;
  return out;
}

// Whether the image has just these bytes there; a hole is not a block of zeros.
Result<bool> SnapshotPull::is_held(uint32_t index, ByteView data) {
  ASSIGN_OR_RETURN(const BlockDevice::Run run, image_.run_at(offset_of(index), kEbsBlockBytes));
  if (!run.mapped || run.length != kEbsBlockBytes) return false;
  thread_local Buffer have;
  have.resize(kEbsBlockBytes);
  const Status read = image_.read(offset_of(index), have);
  // What cannot be read now is stored again.
  return read.ok() && equal(have, data);
}

// Block tokens live for seven days.
Status SnapshotPull::renew_token(const std::string& snapshot, Block& block) {
  BlockList list(ebs_, {snapshot, base_}, block.index, 100);
  EbsEntry entry;
  ASSIGN_OR_RETURN(const bool there, list.next(entry));
  if (!there || entry.index != block.index || entry.token.empty()) {
    return Error(ErrorCode::corrupt,
                 "EBS no longer lists block " + std::to_string(block.index) + " of " + snapshot);
  }
  block.token = std::move(entry.token);
  return {};
}

Status SnapshotPull::store(const Block& block, const Fetched& fetched, PullUnderWay& state) {
  TRY(remove(block.gap_from, block.index));
  ++progress_.listed_blocks;
  switch (fetched.kind) {
    case Fetched::Kind::absent:
      TRY(remove(block.index, uint64_t{block.index} + 1));
      break;
    case Fetched::Kind::stored:
      // The store is behind: blocks come slower, as a drive's writer does.
      if (const int64_t hold = image_.write_hold_ms(); hold > 0) {
        clock_.sleep_ms(std::min(hold, kLongestHoldMs));
      }
      TRY(image_.write(*fetched.write));
      ++progress_.stored_blocks;
      bytes_since_ += kEbsBlockBytes;
      [[fallthrough]];
    case Fetched::Kind::same:
      ++progress_.fetched_blocks;
      if (fetched.zero) ++progress_.zero_blocks;
      break;
  }
  progress_.next_block = uint64_t{block.index} + 1;
  state.next_block = progress_.next_block;
  state.listed_blocks = progress_.listed_blocks;
  state.fetched_blocks = progress_.fetched_blocks;
  state.stored_blocks = progress_.stored_blocks;
  state.removed_blocks = progress_.removed_blocks;
  const bool due = bytes_since_ >= options_.checkpoint_bytes ||
                   clock_.monotonic_ns() - checkpoint_ns_ >= options_.checkpoint_ms * 1'000'000;
  if (due) checkpoint(state, false);
  if (observer_) observer_(progress_);
  return {};
}

// Only what is mapped is unmapped: a hole needs no entry in the log.
Status SnapshotPull::remove(uint64_t from, uint64_t to) {
  uint64_t at = offset_of(from);
  const uint64_t end = std::min(offset_of(to), image_.size_bytes());
  while (at < end) {  // each turn moves to the end of a run
    ASSIGN_OR_RETURN(const BlockDevice::Run run, image_.run_at(at, end - at));
    if (run.mapped) {
      TRY(image_.unmap(at, run.length));
      progress_.removed_blocks += (run.length + kEbsBlockBytes - 1) / kEbsBlockBytes;
    }
    at += run.length;
  }
  return {};
}

// First the data, then where the pull is. While it goes on behind the blocks that come, these may
// already be written: a resumed pull finds them the same.
void SnapshotPull::checkpoint(const PullUnderWay& state, bool wait) {
  const auto save = [this, state] {
    Status done = image_.flush();
    if (done.ok()) done = image_.set_properties(property_of(state));
    const std::lock_guard lock(checkpoint_mutex_);
    if (!done.ok()) checkpoint_failed_ = done.error();
    checkpointing_ = false;
  };
  {
    const std::lock_guard lock(checkpoint_mutex_);
    if (checkpointing_ && !wait) return;
  }
  checkpointer_.reset();  // waits for the one before
  checkpoint_ns_ = clock_.monotonic_ns();
  bytes_since_ = 0;
  checkpointing_ = true;
  checkpointer_ = std::make_unique<WorkerPool>(1);
  checkpointer_->submit(save);
  if (wait) checkpointer_.reset();
}

Result<Uuid> SnapshotPull::finish(const PullRequest& request, const PullUnderWay& state) {
  EbsPoint point;
  point.snapshot = request.snapshot.id;
  point.base = base_;
  point.volume = request.snapshot.volume;
  point.description = request.snapshot.description;
  point.started_ms = request.snapshot.started_ms;
  point.volume_gib = request.snapshot.volume_gib;
  point.encrypted = request.snapshot.encrypted;
  point.kms_key = request.snapshot.kms_key;
  point.tags = request.snapshot.tags;
  point.pulled_ms = clock_.unix_ms();
  point.listed_blocks = state.listed_blocks;
  point.fetched_blocks = state.fetched_blocks;
  point.stored_blocks = state.stored_blocks;
  point.removed_blocks = state.removed_blocks;
  // All at once: the recovery point, what it is, and that nothing is under way.
  ASSIGN_OR_RETURN(const RecoveryPoint made,
                   image_.create_point(point.snapshot, [&](const Uuid& id) {
                     point.point = id;
                     Volume::Properties properties = property_of(point);
                     properties[std::string(kPropertyEbsHead)] = point.snapshot;
                     properties[std::string(kPropertyEbsPull)] = "";
                     return properties;
                   }));
  return made.id;
}

}  // namespace coldshelf
