// What cartridge tests share: a simulated disk, a clock that stands, an observer that remembers,
// a source of segments that are elsewhere.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "tape/cartridge/cartridge.h"
#include "tape/cartridge/segment_listing.h"
#include "tests/support/sim_file_system.h"

namespace coldshelf::test {

class StillClock final : public Clock {
 public:
  int64_t unix_ms() override { return 1'795'000'000'000; }
  int64_t monotonic_ns() override { return 1; }
  void sleep_ms(int64_t) override {}
};

class RecordingObserver final : public CartridgeObserver {
 public:
  void segment_sealed(const Manifest& manifest, const SegmentEntry& entry,
                      const std::optional<Sha256Digest>& file_sha256) override {
    const std::lock_guard lock(mutex_);
    file_digests_.push_back(file_sha256);
    sealed_.push_back(entry);
    generation_ = manifest.generation;
  }
  void segments_dropped(const Uuid&, std::span<const SegmentEntry> dropped) override {
    const std::lock_guard lock(mutex_);
    dropped_.insert(dropped_.end(), dropped.begin(), dropped.end());
  }
  void manifest_changed(const Manifest& manifest) override {
    const std::lock_guard lock(mutex_);
    generation_ = manifest.generation;
    ++changes_;
  }
  void write_failed(const Uuid&, const Error& why) override {
    const std::lock_guard lock(mutex_);
    failures_.push_back(why);
  }
  std::vector<SegmentEntry> sealed() const {
    const std::lock_guard lock(mutex_);
    return sealed_;
  }
  std::vector<std::optional<Sha256Digest>> file_digests() const {
    const std::lock_guard lock(mutex_);
    return file_digests_;
  }
  std::vector<SegmentEntry> dropped() const {
    const std::lock_guard lock(mutex_);
    return dropped_;
  }
  std::vector<Error> failures() const {
    const std::lock_guard lock(mutex_);
    return failures_;
  }
  uint64_t changes() const {
    const std::lock_guard lock(mutex_);
    return changes_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::optional<Sha256Digest>> file_digests_;
  std::vector<SegmentEntry> sealed_;
  std::vector<SegmentEntry> dropped_;
  std::vector<Error> failures_;
  uint64_t changes_ = 0;
  uint64_t generation_ = 0;
};

// Segments in another directory, or in the cold.
class FakeSource final : public SegmentSource {
 public:
  FakeSource(FileSystem& files, std::string elsewhere)
      : files_(files), elsewhere_(std::move(elsewhere)) {}

  Result<std::unique_ptr<File>> fetch(const Uuid&, const SegmentEntry& entry, int64_t) override {
    {
      const std::lock_guard lock(mutex_);
      ++fetched;
      if (cold) return Error(ErrorCode::cold, "segment " + std::to_string(entry.sequence));
    }
    return files_.open(segment_path(elsewhere_, entry.sequence, entry.epoch), OpenMode::read);
  }
  void will_need(const Uuid&, std::span<const SegmentEntry> next) override {
    const std::lock_guard lock(mutex_);
    for (const SegmentEntry& entry : next) announced.push_back(entry.sequence);
  }

  bool cold = false;
  uint64_t fetched = 0;
  std::vector<uint64_t> announced;

 private:
  std::mutex mutex_;
  FileSystem& files_;
  const std::string elsewhere_;
};

// Content that tells records apart: half of it compressible.
inline Buffer make_record(uint64_t seed, size_t size) {
  Buffer out(size);
  SeededRandom random(seed * 7919 + size);
  if (seed % 2 == 0) {
    random.fill(out);
  } else {
    for (size_t i = 0; i < size; ++i) out[i] = static_cast<std::byte>((seed + i / 64) & 255U);
  }
  return out;
}

}  // namespace coldshelf::test
