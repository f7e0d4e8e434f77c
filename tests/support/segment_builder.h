// Builds whole segments in memory, for tests of the format: the shortest correct writer.
#pragma once

#include <string>
#include <vector>

#include "base/buffer_pool.h"
#include "base/check.h"
#include "base/sha256.h"
#include "tape/format/segment.h"

namespace coldshelf {

struct BuiltSegment {
  Buffer bytes;
  SegmentIndex index;
  Sha256Digest sha256{};
  std::vector<FrameHeader> frames;
};

class SegmentBuilder {
 public:
  // `data_key` null: not encrypted (and `header.encrypted` is set accordingly).
  SegmentBuilder(SegmentHeader header, const Secret* data_key, CompressionOptions compression = {})
      : header_(header), compression_(compression), pool_(BufferPool::create(4 * MiB)) {
    header_.encrypted = data_key != nullptr;
    if (data_key != nullptr) {
      cipher_.data_key = *data_key;
      cipher_.epoch = static_cast<uint32_t>(header.epoch);
      cipher_.sequence = static_cast<uint32_t>(header.sequence);
    }
    next_block_ = header.first_block;
    next_filemark_ = header.first_filemark;
    out_.bytes = encode_segment_header(header_);
  }

  // Records go into frames of at most 1 MiB; a bigger one is split.
  void record(ByteView bytes) {
    if (bytes.size() > kMaxFramePlainBytes) {
      flush();
      for (size_t at = 0; at < bytes.size();) {
        const size_t n = std::min(bytes.size() - at, size_t{kMaxFramePlainBytes});
        FrameHeader h = next(FrameKind::records);
        h.continues_previous = at > 0;
        h.continues_next = at + n < bytes.size();
        h.record_size = static_cast<uint32_t>(bytes.size());
        h.runs = {{static_cast<uint32_t>(n), 1}};
        add(std::move(h), std::make_shared<const Buffer>(to_buffer(bytes.subspan(at, n))));
        at += n;
      }
      return;
    }
    const bool new_run = runs_.empty() || runs_.back().length != bytes.size();
    if (plain_.size() + bytes.size() > kMaxFramePlainBytes ||
        (new_run && runs_.size() == kMaxFrameRuns)) {
      flush();
    }
    if (runs_.empty() || runs_.back().length != bytes.size()) {
      runs_.push_back({static_cast<uint32_t>(bytes.size()), 0});
    }
    ++runs_.back().count;
    append(plain_, bytes);
  }

  void filemarks(uint32_t count) {
    flush();
    FrameHeader h = next(FrameKind::filemarks);
    h.filemark_count = count;
    add(std::move(h), nullptr);
  }

  // Ends the frame of the records so far.
  void flush() {
    if (runs_.empty()) return;
    FrameHeader h = next(FrameKind::records);
    h.runs = std::move(runs_);
    runs_.clear();
    auto plain = std::make_shared<const Buffer>(std::move(plain_));
    plain_ = Buffer();
    add(std::move(h), std::move(plain));
  }

  // The frames alone: what a segment looks like before it is sealed.
  const Buffer& unsealed() {
    flush();
    return out_.bytes;
  }

  BuiltSegment seal() {
    flush();
    Sha256 running;
    running.update(out_.bytes);
    append(out_.bytes, encode_segment_end(out_.index, out_.bytes.size(), running, out_.sha256));
    return out_;
  }

  const SegmentHeader& header() const { return header_; }
  const FrameCipher* cipher() const { return header_.encrypted ? &cipher_ : nullptr; }
  BufferPool& pool() { return *pool_; }

  FrameHeader next(FrameKind kind) const {
    FrameHeader h;
    h.kind = kind;
    h.frame_index = static_cast<uint32_t>(out_.frames.size());
    h.first_block = next_block_;
    h.first_filemark = next_filemark_;
    return h;
  }
  void add(FrameHeader h, std::shared_ptr<const Buffer> plain) {
    auto frame = encode_frame(std::move(h), std::move(plain), compression_, cipher(), *pool_);
    CHECK(frame.ok());
    out_.index.frames.push_back(index_entry_of(frame->header, out_.bytes.size(),
                                               static_cast<uint32_t>(frame->header_bytes.size())));
    append(out_.bytes, frame->header_bytes);
    append(out_.bytes, frame->payload);
    next_block_ += frame->header.block_count();
    next_filemark_ += frame->header.filemark_count;
    out_.frames.push_back(std::move(frame->header));
  }

 private:
  SegmentHeader header_;
  CompressionOptions compression_;
  FrameCipher cipher_;
  std::shared_ptr<BufferPool> pool_;
  BuiltSegment out_;
  uint64_t next_block_ = 0;
  uint64_t next_filemark_ = 0;
  std::vector<RecordRun> runs_;
  Buffer plain_;
};

inline Uuid test_uuid(uint8_t first) {
  Uuid id;
  for (size_t i = 0; i < id.bytes.size(); ++i) id.bytes[i] = static_cast<std::byte>(first + i);
  return id;
}

inline Secret test_key(uint8_t first) {
  std::array<std::byte, 32> key;
  for (size_t i = 0; i < key.size(); ++i) key[i] = static_cast<std::byte>(first + i);
  return Secret(ByteView(key));
}

inline Buffer random_bytes(Random& random, size_t size) {
  Buffer out(size);
  random.fill(out);
  return out;
}

inline Buffer text_bytes(size_t size, std::string_view phrase = "a line of text that repeats. ") {
  Buffer out(size);
  for (size_t i = 0; i < size; ++i) out[i] = static_cast<std::byte>(phrase[i % phrase.size()]);
  return out;
}

}  // namespace coldshelf
