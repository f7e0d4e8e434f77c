#include "tape/cartridge/frame_pipeline.h"

#include <algorithm>
#include <array>
#include <utility>

namespace coldshelf {

namespace {
// Dirty pages are pushed out in steps of this size, so that the sync at the end is short.
constexpr uint64_t kWritebackStep = 16 * MiB;
// A ratio is believed after this much data.
constexpr uint64_t kRatioSample = 4 * MiB;
}  // namespace

bool FramePipeline::would_block(uint64_t bytes) const {
  const std::lock_guard lock(state_.mutex);
  if (state_.failure) return false;
  return (pending_bytes_ > 0 && pending_bytes_ + bytes > state_.options.max_pending_bytes) ||
         state_.unsealed_bytes > state_.options.max_unsealed_bytes;
}

Status FramePipeline::wait_for_room(uint64_t bytes) {
  std::unique_lock lock(state_.mutex);
  const uint64_t limit = state_.options.max_pending_bytes;
  const auto fits = [&] {
    return state_.failure.has_value() ||
           ((pending_bytes_ == 0 || pending_bytes_ + bytes <= limit) &&
            state_.unsealed_bytes <= state_.options.max_unsealed_bytes);
  };
  state_.room.wait(lock, fits);
  if (state_.failure) return *state_.failure;
  return {};
}

void FramePipeline::submit(const std::shared_ptr<SegmentFile>& segment, FrameHeader header,
                           std::shared_ptr<const Buffer> plain, const PartitionEnd& after) {
  auto item = std::make_shared<Item>();
  item->segment = segment;
  item->header = std::move(header);
  item->cost = plain ? plain->capacity() : 4 * KiB;
  item->plain = std::move(plain);
  item->after = after;
  {
    const std::lock_guard lock(state_.mutex);
    item->header.frame_index = segment->guarded.frames_submitted++;
    segment->guarded.plain_submitted += item->plain ? item->plain->size() : 0;
    pending_bytes_ += item->cost;
    to_write_.push_back(item);
  }
  state_.jobs.submit(*state_.env.workers, [this, item] {
    encode(*item);
    pump();
  });
}

void FramePipeline::finish(const std::shared_ptr<SegmentFile>& segment) {
  auto item = std::make_shared<Item>();
  item->segment = segment;
  item->finish = true;
  item->ready = true;
  {
    const std::lock_guard lock(state_.mutex);
    to_write_.push_back(std::move(item));
  }
  state_.jobs.submit(*state_.env.workers, [this] { pump(); });
}

uint64_t FramePipeline::expected_bytes(const SegmentFile& segment) const {
  const std::lock_guard lock(state_.mutex);
  return expected_locked(segment);
}

uint64_t FramePipeline::unsealed_bytes() const {
  const std::lock_guard lock(state_.mutex);
  uint64_t total = 0;
  for (const auto& segment : state_.tail) total += expected_locked(*segment);
  return total;
}

uint64_t FramePipeline::expected_locked(const SegmentFile& segment) const {
  const SegmentFile::Guarded& g = segment.guarded;
  const uint64_t on_the_way = g.plain_submitted - g.plain_written;
  return g.bytes_written +
         static_cast<uint64_t>(static_cast<double>(on_the_way) * stored_per_plain_);
}

Status FramePipeline::drain(bool hashed) {
  std::unique_lock lock(state_.mutex);
  state_.changed.wait(lock, [&] {
    return to_write_.empty() && !writing_ && (!hashed || (to_hash_.empty() && !hashing_));
  });
  if (state_.failure) return *state_.failure;
  return {};
}

void FramePipeline::encode(Item& item) {
  if (state_.failed().ok()) {
    CompressionOptions compression = state_.options.compression;
    compression.enabled = compression.enabled && state_.compress;
    auto encoded = encode_frame(std::move(item.header), std::move(item.plain), compression,
                                item.segment->cipher(), *state_.env.buffers);
    if (encoded.ok()) {
      item.encoded = std::move(encoded).value();
    } else {
      item.error = encoded.error();
    }
  }
  item.plain.reset();
  const std::lock_guard lock(state_.mutex);
  item.ready = true;
}

void FramePipeline::pump() {
  std::unique_lock lock(state_.mutex);
  while (true) {
    if (!writing_ && !to_write_.empty() && to_write_.front()->ready) {
      const std::shared_ptr<Item> item = std::move(to_write_.front());
      to_write_.pop_front();
      writing_ = true;
      const bool skip = state_.failure.has_value();
      lock.unlock();
      Status done;
      if (!skip) done = write(*item);
      if (!done.ok()) state_.fail(done.error());
      lock.lock();
      publish(*item, !skip && done.ok());
      writing_ = false;
      to_hash_.push_back(item);
      if (to_write_.empty()) state_.changed.notify_all();
    } else if (!hashing_ && !to_hash_.empty()) {
      std::shared_ptr<Item> item = std::move(to_hash_.front());
      to_hash_.pop_front();
      hashing_ = true;
      lock.unlock();
      const uint64_t cost = item->cost;
      if (item->written) {
        const Status done = hash(*item);
        if (!done.ok()) state_.fail(done.error());
      }
      item.reset();  // its buffers go back before others may take their place
      lock.lock();
      hashing_ = false;
      pending_bytes_ -= cost;
      if (pending_bytes_ <= state_.options.max_pending_bytes / 2) state_.room.notify_all();
      if (to_hash_.empty()) state_.changed.notify_all();
    } else {
      return;
    }
  }
}

Status FramePipeline::create_file(SegmentFile& segment) {
  const std::string path = state_.open_path(segment.sequence(), segment.epoch());
  ASSIGN_OR_RETURN(auto file, state_.env.files->open(path, OpenMode::create));
  const Buffer header = encode_segment_header(segment.header());
  TRY(file->write_at(0, header));
  segment.write_stage.offset = header.size();
  segment.set_file(std::move(file));
  return {};
}

Status FramePipeline::write(Item& item) {
  SegmentFile& segment = *item.segment;
  if (item.finish) return {};
  if (item.error) return *item.error;
  if (!segment.file()) TRY(create_file(segment));
  const std::shared_ptr<File> file = segment.file();
  const uint64_t offset = segment.write_stage.offset;
  const std::array<ByteView, 2> pieces{item.encoded.header_bytes, item.encoded.payload};
  TRY(file->write_pieces_at(offset, pieces));
  segment.write_stage.offset += item.encoded.size();
  start_writeback(segment);
  return {};
}

void FramePipeline::start_writeback(SegmentFile& segment) {
  const uint64_t from = segment.write_stage.written_back;
  const uint64_t length = segment.write_stage.offset - from;
  if (length < kWritebackStep) return;
  segment.write_stage.written_back += length;
  // May block on a congested disk: not on a worker.
  state_.jobs.submit(*state_.env.sealers, [file = segment.file(), from, length] {
    file->start_writeback(from, length);
  });
}

void FramePipeline::publish(Item& item, bool ok) {
  // After a failure nothing is added any more, so that the end of data stays where it was
  // reported.
  if (!ok || state_.failure) return;
  item.written = true;
  if (item.finish) return;
  SegmentFile::Guarded& g = item.segment->guarded;
  const FrameHeader& header = item.encoded.header;
  const uint64_t offset = item.segment->write_stage.offset - item.encoded.size();
  item.segment->append_frame(
      index_entry_of(header, offset, static_cast<uint32_t>(item.encoded.header_bytes.size())));
  g.bytes_written = item.segment->write_stage.offset;
  g.plain_written += header.plain_size;
  if (!header.continues_next) {
    g.end = item.after;
    state_.committed[item.segment->partition()] = item.after;
  }
  if (g.plain_written >= kRatioSample) {
    stored_per_plain_ = static_cast<double>(g.bytes_written) / static_cast<double>(g.plain_written);
  }
  state_.stored_bytes_written += item.encoded.size();
}

Status FramePipeline::hash(Item& item) {
  SegmentFile& segment = *item.segment;
  SegmentFile::HashStage& stage = segment.hash_stage;
  if (!stage.header_seen) {
    stage.running.update(encode_segment_header(segment.header()));
    stage.header_seen = true;
  }
  if (!item.finish) {
    stage.running.update(item.encoded.header_bytes);
    stage.running.update(item.encoded.payload);
    return {};
  }
  // The write stage is past this segment: its offset stays.
  const uint64_t offset = segment.write_stage.offset;
  SegmentIndex index;
  {
    const std::lock_guard lock(state_.mutex);
    if (state_.failure) return {};  // a failed sync has shortened the index
    index = segment.index();
  }
  Sha256Digest digest{};
  const Buffer end = encode_segment_end(index, offset, stage.running, digest);
  const Sha256Digest file_digest = stage.running.finish();
  TRY(segment.file()->write_at(offset, end));
  {
    const std::lock_guard lock(state_.mutex);
    if (state_.failure) return {};
    segment.guarded.bytes_written = offset + end.size();
    segment.guarded.digest = digest;
    segment.guarded.file_digest = file_digest;
    segment.guarded.finished = true;
    state_.unsealed_bytes += segment.guarded.bytes_written;
  }
  segment_finished_();
  return {};
}

}  // namespace coldshelf
