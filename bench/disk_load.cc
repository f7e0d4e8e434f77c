#include "bench/disk_load.h"

#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>
#include <poll.h>

#include <algorithm>

#include "base/clock.h"

namespace coldshelf::bench {

struct DiskLoad::Slot {
  DiskLoad* load = nullptr;
  Buffer room;  // of reads
  uint64_t offset = 0;
  int64_t began_ns = 0;
  bool syncing = false;
  scsi_task* task = nullptr;
};

namespace {

constexpr int kPollMs = 30'000;

int64_t now_ns() {
  SystemClock clock;
  return clock.monotonic_ns();
}

}  // namespace

Result<std::unique_ptr<DiskLoad>> DiskLoad::connect(const std::string& portal,
                                                    const std::string& target, int lun) {
  iscsi_context* context = iscsi_create_context("iqn.2026-11.io.coldshelf:bench");
  if (context == nullptr) return Error(ErrorCode::internal, "libiscsi: no context");
  std::unique_ptr<DiskLoad> load(new DiskLoad(context, lun));
  iscsi_set_targetname(context, target.c_str());
  iscsi_set_session_type(context, ISCSI_SESSION_NORMAL);
  iscsi_set_header_digest(context, ISCSI_HEADER_DIGEST_NONE);
  if (iscsi_full_connect_sync(context, portal.c_str(), lun) != 0) {
    return Error(ErrorCode::unavailable, target + ": " + iscsi_get_error(context));
  }
  scsi_task* task = iscsi_readcapacity16_sync(context, lun);
  const auto* capacity =
      task == nullptr ? nullptr : static_cast<scsi_readcapacity16*>(scsi_datain_unmarshall(task));
  if (capacity != nullptr) load->block_ = capacity->block_length;
  if (task != nullptr) scsi_free_scsi_task(task);
  if (capacity == nullptr) return Error(ErrorCode::io, target + ": READ CAPACITY failed");
  return load;
}

DiskLoad::~DiskLoad() {
  iscsi_logout_sync(context_);
  iscsi_destroy_context(context_);
}

uint64_t DiskLoad::next_offset() {
  const uint64_t pieces = spec_.span / spec_.bytes;
  if (spec_.sequential) return next_++ % pieces * spec_.bytes;
  return random_->below(pieces) * spec_.bytes;
}

void disk_load_callback(iscsi_context*, int status, void* task, void* context) {
  auto* slot = static_cast<DiskLoad::Slot*>(context);
  slot->task = static_cast<scsi_task*>(task);
  slot->load->done(*slot, status);
}

Status DiskLoad::start(Slot& slot) {
  const auto bytes = static_cast<uint32_t>(spec_.bytes);
  if (!slot.syncing) {
    slot.offset = next_offset();
    slot.began_ns = now_ns();
  }
  scsi_task* task = nullptr;
  if (slot.syncing) {
    task = iscsi_synchronizecache16_task(context_, lun_, 0, 0, 0, 0, disk_load_callback, &slot);
  } else if (spec_.write) {
    auto* data = reinterpret_cast<unsigned char*>(content_.data()) +
                 random_->below(64) * 512;  // not the same bytes again and again
    task = iscsi_write16_task(context_, lun_, slot.offset / block_, data, bytes,
                              static_cast<int>(block_), 0, 0, 0, 0, 0, disk_load_callback, &slot);
  } else {
    task = iscsi_read16_task(context_, lun_, slot.offset / block_, bytes, static_cast<int>(block_),
                             0, 0, 0, 0, 0, disk_load_callback, &slot);
    if (task != nullptr) {
      scsi_task_add_data_in_buffer(task, static_cast<int>(bytes),
                                   reinterpret_cast<unsigned char*>(slot.room.data()));
    }
  }
  if (task == nullptr) return Error(ErrorCode::io, iscsi_get_error(context_));
  ++under_way_;
  return {};
}

void DiskLoad::done(Slot& slot, int status) {
  --under_way_;
  if (slot.task != nullptr) scsi_free_scsi_task(slot.task);
  slot.task = nullptr;
  if (status != SCSI_STATUS_GOOD) {
    failure_ = std::string("a command failed: ") + iscsi_get_error(context_);
    stopping_ = true;
    return;
  }
  if (spec_.sync_each && !slot.syncing) {
    slot.syncing = true;
  } else {
    slot.syncing = false;
    latencies_us_.push_back(static_cast<float>(now_ns() - slot.began_ns) / 1000.0F);
    if (stopping_) return;
  }
  if (const Status started = start(slot); !started.ok()) {
    failure_ = started.error().context;
    stopping_ = true;
  }
}

Result<LoadResult> DiskLoad::run(const LoadSpec& spec) {
  spec_ = spec;
  random_ = std::make_unique<SeededRandom>(spec.seed);
  content_.resize(static_cast<size_t>(spec.bytes) + 64 * 512);
  random_->fill(content_);
  next_ = 0;
  under_way_ = 0;
  stopping_ = false;
  failure_.clear();
  latencies_us_.clear();
  std::vector<Slot> slots(spec.depth);
  const int64_t began = now_ns();
  for (Slot& slot : slots) {
    slot.load = this;
    if (!spec.write) slot.room.resize(static_cast<size_t>(spec.bytes));
    TRY(start(slot));
  }
  const uint64_t pieces = spec.span / spec.bytes;
  while (under_way_ > 0) {
    const double passed = static_cast<double>(now_ns() - began) / 1e9;
    if (spec.seconds > 0 ? passed >= spec.seconds : next_ >= pieces) stopping_ = true;
    pollfd waiting{iscsi_get_fd(context_), static_cast<short>(iscsi_which_events(context_)), 0};
    const int ready = ::poll(&waiting, 1, kPollMs);
    if (ready == 0) return Error(ErrorCode::timed_out, "the target does not answer");
    if (iscsi_service(context_, ready < 0 ? 0 : waiting.revents) != 0) {
      return Error(ErrorCode::io, iscsi_get_error(context_));
    }
  }
  if (!failure_.empty()) return Error(ErrorCode::io, failure_);
  LoadResult out;
  out.seconds = static_cast<double>(now_ns() - began) / 1e9;
  out.commands = latencies_us_.size();
  if (latencies_us_.empty()) return Error(ErrorCode::internal, "nothing was measured");
  std::sort(latencies_us_.begin(), latencies_us_.end());
  out.p50_us = static_cast<double>(latencies_us_[latencies_us_.size() / 2]);
  out.p99_us = static_cast<double>(latencies_us_[latencies_us_.size() * 99 / 100]);
  return out;
}

}  // namespace coldshelf::bench
