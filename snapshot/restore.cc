#include "snapshot/restore.h"

#include <algorithm>

#include "base/log.h"
#include "base/uuid.h"
#include "snapshot/ordered_work.h"

namespace coldshelf {

namespace {

constexpr int64_t kLongestPollMs = 30'000;
constexpr int64_t kLookMs = 200;
constexpr int64_t kSealedWaitMs = 30 * 60'000;

Error gone(const std::string& snapshot) {
  return Error(ErrorCode::not_found, "EBS gave up snapshot " + snapshot);
}

}  // namespace

uint64_t gib_for(uint64_t bytes) { return std::max<uint64_t>(1, (bytes + GiB - 1) / GiB); }

SnapshotRestore::SnapshotRestore(BlockDevice& source, BlockDevice* parent, EbsClient& ebs,
                                 Ec2Client* ec2, Clock& clock, Random& random,
                                 const Options& options, Save save,
                                 std::shared_ptr<const std::atomic<bool>> stop, Observer observer)
    : source_(source),
      ebs_(ebs),
      ec2_(ec2),
      clock_(clock),
      random_(random),
      options_(options),
      save_(std::move(save)),
      stop_(std::move(stop)),
      observer_(std::move(observer)) {
  if (parent != nullptr) parent_.emplace(*parent);
}

Result<RestoreResult> SnapshotRestore::run(const RestoreRequest& request, RestoreState state) {
  if (request.parent.empty() != !parent_) {
    return Error(ErrorCode::invalid_argument, "restore: a parent is a snapshot and its disk");
  }
  if (!request.parent.empty() && request.encrypted) {
    return Error(ErrorCode::invalid_argument,
                 "restore: with a parent snapshot EBS does not encrypt anew; leave one of the two");
  }
  if (!request.kms_key.empty() && !request.encrypted) {
    return Error(ErrorCode::invalid_argument, "restore: a KMS key without encryption");
  }
  volume_gib_ =
      request.volume_gib > 0 ? request.volume_gib : gib_for(source_.block_count() * kEbsBlockBytes);
  ASSIGN_OR_RETURN(const auto beyond, source_.next(volume_gib_ * (GiB / kEbsBlockBytes)));
  if (volume_gib_ > kEbsMaxVolumeGib || beyond) {
    return Error(ErrorCode::invalid_argument, "restore: the disk does not fit a volume of " +
                                                  std::to_string(volume_gib_) + " GiB");
  }
  progress_.total_blocks = volume_gib_ * (GiB / kEbsBlockBytes);
  // 1. The snapshot, once. 2. Its blocks. 3. That it is complete.
  if (!state.all_written) {
    TRY(start(request, state));
    TRY(write_blocks(state));
    state.all_written = true;
    TRY(save_(state));
  }
  TRY(complete(state));
  RestoreResult result;
  ASSIGN_OR_RETURN(result.status, wait_completed(state.snapshot, options_.completion_wait_ms));
  result.snapshot = state.snapshot;
  result.blocks_put = state.blocks_put;
  result.blocks_same = progress_.blocks_same;
  result.volume_gib = volume_gib_;
  return result;
}

Status SnapshotRestore::start(const RestoreRequest& request, RestoreState& state) {
  if (!state.snapshot.empty()) return {};
  if (state.client_token.empty()) {
    state.client_token = Uuid::generate(random_).to_string();
    TRY(save_(state));
  }
  EbsStart what;
  what.volume_gib = volume_gib_;
  what.parent = request.parent;
  what.description = request.description;
  what.tags = request.tags;
  what.client_token = state.client_token;
  what.encrypted = request.encrypted;
  what.kms_key = request.kms_key;
  what.timeout_minutes = request.timeout_minutes;
  ASSIGN_OR_RETURN(const EbsStarted started, ebs_.start_snapshot(what));
  if (started.status == "error") {
    TRY(save_({}));
    return Error(ErrorCode::unavailable, "EBS could not start snapshot " + started.snapshot);
  }
  state.snapshot = started.snapshot;
  state.next_block = 0;
  log_info("snapshot", "restore",
           {{"snapshot", state.snapshot}, {"gib", volume_gib_}, {"parent", request.parent}});
  return save_(state);
}

// The next block that is there or was in the parent.
Result<bool> SnapshotRestore::next_block(Block& out) {
  ASSIGN_OR_RETURN(const auto in_source, source_.next(looked_at_));
  std::optional<uint64_t> in_parent;
  if (parent_) {
    ASSIGN_OR_RETURN(in_parent, parent_->next(looked_at_));
  }
  if (!in_source && !in_parent) return false;
  out.index = std::min(in_source.value_or(UINT64_MAX), in_parent.value_or(UINT64_MAX));
  out.in_source = in_source == out.index;
  out.in_parent = in_parent == out.index;
  looked_at_ = out.index + 1;
  return out.index < progress_.total_blocks;
}

Result<SnapshotRestore::Done> SnapshotRestore::put(const std::string& snapshot,
                                                   const Block& block) {
  thread_local Buffer data;
  thread_local Buffer before;
  data.resize(kEbsBlockBytes);
  // What the parent has and the disk has not must read as zeros: leaving it out would keep it.
  if (block.in_source) {
    TRY(source_.read(block.index, data));
  } else {
    std::fill(data.begin(), data.end(), std::byte{0});
  }
  if (block.in_source && block.in_parent) {
    before.resize(kEbsBlockBytes);
    TRY(parent_->read(block.index, before));
    if (equal(data, before)) return Done{};
  }
  Done done{true, Sha256::of(data)};
  if (block.written) return done;
  const auto percent = static_cast<unsigned>(block.index * 100 / progress_.total_blocks);
  const Status put =
      ebs_.put_block(snapshot, static_cast<uint32_t>(block.index), data, done.digest, percent);
  if (!put.ok() && put.error().code == ErrorCode::not_found) return gone(snapshot);
  TRY(put);
  return done;
}

// The service takes no more blocks for the snapshot: it was deleted, or nobody completed it in
// time.
bool SnapshotRestore::is_lost(const std::string& snapshot, const Error& error) {
  if (error.code == ErrorCode::not_found) return true;
  if (error.code != ErrorCode::invalid_argument || ec2_ == nullptr) return false;
  const auto there = ec2_->describe_snapshot(snapshot);
  return there.ok() ? there->state == "error" : there.error().code == ErrorCode::not_found;
}

Status SnapshotRestore::write_blocks(RestoreState& state) {
  looked_at_ = 0;
  Sha256 linear;
  uint64_t count = 0;
  const uint64_t resume_at = state.next_block;
  int64_t saved_ns = clock_.monotonic_ns();
  OrderedWork<Block, Done>::Parts parts;
  parts.next = [&](Block& block) -> Result<bool> {
    ASSIGN_OR_RETURN(const bool more, next_block(block));
    block.written = block.index < resume_at;
    return more;
  };
  parts.work = [&](Block& block) { return put(state.snapshot, block); };
  parts.take = [&](Block& block, Done& done) -> Status {
    if (done.put) {
      linear.update(done.digest);
      ++count;
    } else {
      ++progress_.blocks_same;
    }
    progress_.blocks_put = count;
    progress_.next_block = block.index + 1;
    if (observer_) observer_(progress_);
    const int64_t now = clock_.monotonic_ns();
    if (block.index < resume_at || now - saved_ns < options_.checkpoint_ms * 1'000'000) return {};
    saved_ns = now;
    RestoreState reached = state;
    reached.next_block = block.index + 1;
    return save_(reached);
  };
  OrderedWork<Block, Done> work(std::move(parts), options_.ahead);
  const Status done = work.run(options_.threads);
  state.next_block = std::max(state.next_block, progress_.next_block);
  if (!done.ok()) {
    // Given up by the service: the next run begins with a new one.
    TRY(save_(is_lost(state.snapshot, done.error()) ? RestoreState{} : state));
    return done;
  }
  state.blocks_put = count;
  state.linear = to_hex(linear.finish());
  return {};
}

Status SnapshotRestore::complete(const RestoreState& state) {
  Buffer bytes;
  Sha256Digest linear;
  if (!from_hex(state.linear, bytes) || bytes.size() != linear.size()) {
    return Error(ErrorCode::corrupt, "restore: the saved state makes no sense");
  }
  std::copy(bytes.begin(), bytes.end(), linear.begin());
  const auto status = ebs_.complete_snapshot(state.snapshot, state.blocks_put, linear);
  if (status.ok()) {
    if (*status == "error") {
      return Error(ErrorCode::corrupt, "EBS refused what snapshot " + state.snapshot + " holds");
    }
    return {};
  }
  // After a lost answer it was told so already, and takes it no second time. EC2 calls it pending
  // until it is completed; so it does one that was really refused, which then never is.
  const ErrorCode why = status.error().code;
  const bool refused = why == ErrorCode::invalid_argument || why == ErrorCode::conflict;
  if (ec2_ == nullptr || why == ErrorCode::cancelled) return status.error();
  const auto completed = wait_completed(state.snapshot, refused ? kSealedWaitMs : 0);
  if (completed.ok()) return {};
  return completed.error().code == ErrorCode::cancelled ? completed.error() : status.error();
}

Result<std::string> SnapshotRestore::wait_completed(const std::string& snapshot,
                                                    int64_t longest_ms) {
  if (ec2_ == nullptr) return std::string("pending");
  const int64_t begun_ns = clock_.monotonic_ns();
  int64_t pause_ms = options_.poll_ms;
  while (true) {  // ends with longest_ms
    const auto there = ec2_->describe_snapshot(snapshot);
    const int64_t spent_ms = (clock_.monotonic_ns() - begun_ns) / 1'000'000;
    if (there.ok()) {
      if (there->state == "completed") return there->state;
      if (there->state == "error") {
        return Error(ErrorCode::corrupt, "EBS could not complete snapshot " + snapshot);
      }
    } else {
      const ErrorCode code = there.error().code;
      const bool not_yet =
          code == ErrorCode::not_found && spent_ms <= ebs_.options().early_not_found_ms;
      // All blocks are there: an EC2 that is away for a while is no reason to fail.
      if (!not_yet && code != ErrorCode::unavailable) return there.error();
    }
    if (spent_ms > longest_ms) {
      return Error(ErrorCode::timed_out, "snapshot " + snapshot + " is still pending");
    }
    for (int64_t left = pause_ms; left > 0; left -= kLookMs) {
      if (stop_ != nullptr && *stop_) return Error(ErrorCode::cancelled, "restore: told to stop");
      clock_.sleep_ms(std::min(left, kLookMs));
    }
    pause_ms = std::min(pause_ms * 2, kLongestPollMs);
  }
}

}  // namespace coldshelf
