#include "tape/cartridge/sealer.h"

namespace coldshelf {

namespace {
// Segments that share one directory sync and one manifest edit, at most.
constexpr size_t kMaxBatch = 16;
}  // namespace

SegmentEntry entry_of(const SegmentFile& segment) {
  const SegmentFile::Guarded& g = segment.guarded;
  SegmentEntry entry;
  entry.sequence = segment.sequence();
  entry.epoch = segment.epoch();
  entry.partition = segment.partition();
  entry.first_block = g.start.block;
  entry.block_count = g.end.block - g.start.block;
  entry.first_filemark = g.start.filemark;
  entry.filemark_count = g.end.filemark - g.start.filemark;
  entry.plain_bytes = g.end.plain_bytes - g.start.plain_bytes;
  entry.stored_bytes = g.bytes_written;
  entry.sha256 = g.digest;
  return entry;
}

void Sealer::kick() {
  {
    const std::lock_guard lock(state_.mutex);
    if (running_) return;
    running_ = true;
  }
  state_.jobs.submit(*state_.env.sealers, [this] { run(); });
}

Status Sealer::drain() {
  std::unique_lock lock(state_.mutex);
  state_.changed.wait(lock, [&] { return !running_ && (state_.failure || next_batch().empty()); });
  if (state_.failure) return *state_.failure;
  return {};
}

std::vector<std::shared_ptr<SegmentFile>> Sealer::next_batch() {
  std::vector<std::shared_ptr<SegmentFile>> batch;
  for (const auto& segment : state_.tail) {
    if (!segment->guarded.finished || batch.size() == kMaxBatch) break;
    batch.push_back(segment);
  }
  return batch;
}

void Sealer::run() {
  std::unique_lock lock(state_.mutex);
  while (!state_.failure) {
    const auto batch = next_batch();
    if (batch.empty()) break;
    lock.unlock();
    const Status done = seal(batch);
    if (!done.ok()) state_.fail(done.error());
    lock.lock();
  }
  running_ = false;
  state_.changed.notify_all();
}

// The order decides what a crash leaves; each step is harmless when the next one is missing.
Status Sealer::seal(const std::vector<std::shared_ptr<SegmentFile>>& batch) {
  // 1. The bytes. From here on recovery finds whole segments, under either name.
  for (const auto& segment : batch) TRY(state_.sync_segment(segment));
  // 2. The name of a sealed segment.
  for (const auto& segment : batch) {
    TRY(state_.env.files->rename(state_.open_path(segment->sequence(), segment->epoch()),
                                 state_.sealed_path(segment->sequence(), segment->epoch())));
  }
  // 3. The directory: a manifest must not name a file that a power loss takes away.
  TRY(state_.sync_directory(batch));
  // 4. The manifest, and 5. the observer (catalog, uploader), both in commit().
  std::vector<ManifestEdit> edits;
  for (const auto& segment : batch) {
    cache_.insert(segment);  // readers go on without loading it
    const std::lock_guard lock(state_.mutex);
    edits.push_back(AddSegment{entry_of(*segment)});
  }
  return state_.commit(edits, nullptr, batch);
}

}  // namespace coldshelf
