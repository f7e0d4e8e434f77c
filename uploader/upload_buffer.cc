#include "uploader/upload_buffer.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/log.h"

namespace coldshelf {

namespace {
constexpr int64_t kNsPerMs = 1'000'000;
// A writer that has been silent for so long takes no share of the room.
constexpr int64_t kWriterIdleMs = 5'000;
// Slowing ends when this much less is in the buffer than where it begins, so that the log does not
// say so all the time.
constexpr double kEndsAt = 0.55;
// Of what the store takes, where slowing begins: the pace falls from there to nothing.
constexpr double kFirstPace = 2.0;
// A store of which nothing is known yet: the room that is left lasts for so long.
constexpr double kUnknownS = 60;
// Beyond the limit by this much the longest hold is reached.
constexpr uint64_t kOverLimitBytes = 64 * MiB;
}  // namespace

uint64_t UploadBuffer::bytes() const { return sealed_bytes_ + unsealed_bytes_; }

void UploadBuffer::judge(int64_t now_ns) {
  if (limit_bytes_ == 0) return;
  const auto limit = static_cast<double>(limit_bytes_);
  const auto fill = static_cast<double>(bytes()) / limit;
  if (!slowing_ && fill >= kBeginsAt) {
    slowing_ = true;
    slowing_since_ns_ = now_ns;
    log_warning("shelf", "writers are slowed down: data waits for the store",
                {{"not_uploaded_bytes", bytes()}, {"limit_bytes", limit_bytes_}});
  } else if (slowing_ && fill < kEndsAt) {
    slowing_ = false;
    const auto ms = static_cast<uint64_t>((now_ns - slowing_since_ns_) / kNsPerMs);
    slowed_ms_ += ms;
    for (auto& [cartridge, writer] : writers_) writer.next_ns = 0;
    log_info("shelf", "writers go at full speed again",
             {{"not_uploaded_bytes", bytes()}, {"slowed_ms", ms}});
  }
}

double UploadBuffer::rate(int64_t now_ns) const {
  const auto active = std::count_if(writers_.begin(), writers_.end(), [&](const auto& entry) {
    return now_ns - entry.second.last_ns < kWriterIdleMs * kNsPerMs;
  });
  const auto room = static_cast<double>(limit_bytes_ - std::min(limit_bytes_, bytes()));
  const double part = room / (static_cast<double>(limit_bytes_) * (1 - kBeginsAt));
  const double all = std::max(room / kUnknownS, drain_rate(now_ns) * kFirstPace * part);
  return all / static_cast<double>(std::max<std::ptrdiff_t>(1, active));
}

void UploadBuffer::drained(uint64_t bytes_now, int64_t now_ns) {
  while (!drains_.empty() && now_ns - drains_.front().at_ns > kMeasureMs * kNsPerMs) {
    drains_.pop_front();
  }
  if (drains_.empty() || now_ns - drains_.back().at_ns > 1'000 * kNsPerMs) {
    drains_.push_back({now_ns, 0});
  }
  drains_.back().bytes += bytes_now;
}

double UploadBuffer::drain_rate(int64_t now_ns) const {
  uint64_t sum = 0;
  for (const Drain& d : drains_) {
    if (now_ns - d.at_ns <= kMeasureMs * kNsPerMs) sum += d.bytes;
  }
  const int64_t span_ns =
      std::clamp(now_ns - busy_since_ns_, 1'000 * kNsPerMs, kMeasureMs * kNsPerMs);
  return static_cast<double>(sum) * 1e9 / static_cast<double>(span_ns);
}

int64_t UploadBuffer::longest_hold_ms() const {
  const uint64_t over = bytes() - std::min(limit_bytes_, bytes());
  const double part = std::min(1.0, static_cast<double>(over) / double{kOverLimitBytes});
  return kLongestHoldMs +
         static_cast<int64_t>(part * static_cast<double>(kMostHoldMs - kLongestHoldMs));
}

int64_t UploadBuffer::hold_ms(const Uuid& cartridge) {
  const std::lock_guard lock(mutex_);
  if (!slowing_) return 0;
  const auto at = writers_.find(cartridge);
  if (at == writers_.end()) return 0;
  const int64_t now = clock_.monotonic_ns();
  const int64_t left = at->second.next_ns - now;
  // Rounded down: what is less than a millisecond is made up for by the next record.
  return left <= 0 ? 0 : left / kNsPerMs;
}

void UploadBuffer::wrote(const Uuid& cartridge, uint64_t bytes_now, uint64_t unsealed_bytes) {
  const std::lock_guard lock(mutex_);
  const int64_t now = clock_.monotonic_ns();
  Writer& writer = writers_[cartridge];
  unsealed_bytes_ += unsealed_bytes - writer.unsealed_bytes;
  writer.unsealed_bytes = unsealed_bytes;
  writer.last_ns = now;
  last_write_ns_ = now;
  judge(now);
  if (!slowing_) return;
  const int64_t longest = longest_hold_ms() * kNsPerMs;
  const double pace = rate(now);
  const double wait_ns = pace > 0 ? static_cast<double>(bytes_now) * 1e9 / pace : 1e18;
  // From when it was due: a writer that was a little late makes up for it.
  const int64_t from = std::max(writer.next_ns, now - kNsPerMs);
  writer.next_ns = std::min(
      from + static_cast<int64_t>(std::min(wait_ns, static_cast<double>(longest))), now + longest);
}

void UploadBuffer::sealed(const Uuid& cartridge, uint64_t stored_bytes) {
  const std::lock_guard lock(mutex_);
  if (sealed_bytes_ == 0) busy_since_ns_ = clock_.monotonic_ns();
  sealed_bytes_ += stored_bytes;
  const auto at = writers_.find(cartridge);
  if (at == writers_.end()) return;
  const uint64_t moved = std::min(at->second.unsealed_bytes, stored_bytes);
  at->second.unsealed_bytes -= moved;
  unsealed_bytes_ -= moved;
}

void UploadBuffer::closed(const Uuid& cartridge) {
  const std::lock_guard lock(mutex_);
  const auto at = writers_.find(cartridge);
  if (at == writers_.end()) return;
  unsealed_bytes_ -= at->second.unsealed_bytes;
  writers_.erase(at);
  judge(clock_.monotonic_ns());
}

void UploadBuffer::set_sealed_bytes(uint64_t bytes_now) {
  const std::lock_guard lock(mutex_);
  const int64_t now = clock_.monotonic_ns();
  if (sealed_bytes_ == 0) busy_since_ns_ = now;
  if (bytes_now < sealed_bytes_) drained(sealed_bytes_ - bytes_now, now);
  sealed_bytes_ = bytes_now;
  judge(now);
}

UploadBuffer::View UploadBuffer::view() const {
  const std::lock_guard lock(mutex_);
  View out{limit_bytes_, bytes(), slowing_, slowed_ms_};
  if (slowing_) {
    out.slowed_ms += static_cast<uint64_t>((clock_.monotonic_ns() - slowing_since_ns_) / kNsPerMs);
  }
  return out;
}

uint64_t UploadBuffer::unsealed_bytes(const Uuid& cartridge) const {
  const std::lock_guard lock(mutex_);
  const auto at = writers_.find(cartridge);
  return at == writers_.end() ? 0 : at->second.unsealed_bytes;
}

bool UploadBuffer::written_within(int64_t ms) const {
  const std::lock_guard lock(mutex_);
  return clock_.monotonic_ns() - last_write_ns_ < ms * kNsPerMs;
}

}  // namespace coldshelf
