#include "target/scsi/sbc_sanitize.h"

#include <algorithm>

#include "base/log.h"
#include "target/scsi/wire.h"

namespace coldshelf::scsi {

namespace {

constexpr char kRecord[] = "sanitize";
constexpr uint8_t kRecordVersion = 1;
constexpr size_t kRecordHeader = 4;
constexpr uint64_t kStepBytes = 1 * MiB;
constexpr auto kLookAtAborted = std::chrono::milliseconds(50);

}  // namespace

SanitizeJob::~SanitizeJob() {
  stopping_ = true;
  if (thread_.joinable()) thread_.join();
}

// Version, state, kind of erasure, AUSE, then the pattern.
Status SanitizeJob::note(State state) {
  if (store_ == nullptr) return {};
  Buffer record;
  WireWriter w(record);
  w.u8(kRecordVersion).u8(static_cast<uint8_t>(state)).u8(static_cast<uint8_t>(request_.erasure));
  w.u8(request_.unrestricted_exit ? 1 : 0).raw(request_.pattern);
  return store_->save(kRecord, record);
}

Status SanitizeJob::resume() {
  if (store_ == nullptr) return {};
  ASSIGN_OR_RETURN(const Buffer record, store_->load(kRecord));
  if (record.empty()) return {};
  if (record.size() < kRecordHeader || get_byte(record, 0) != kRecordVersion)
    return Error(ErrorCode::unsupported_version, "a sanitize operation of a later version");
  request_.erasure = static_cast<BlockDevice::Erasure>(get_byte(record, 2));
  request_.unrestricted_exit = get_byte(record, 3) != 0;
  request_.pattern = to_buffer(ByteView(record).subspan(kRecordHeader));
  state_ = static_cast<State>(get_byte(record, 1));
  if (state_ == State::running) launch();
  return {};
}

Status SanitizeJob::start(Request request) {
  const std::lock_guard one_at_a_time(starting_);
  if (state_ == State::running) return Error(ErrorCode::busy, "a sanitize operation is under way");
  if (thread_.joinable()) thread_.join();  // an earlier one that has ended
  request_ = std::move(request);
  TRY(note(State::running));
  state_ = State::running;
  launch();
  return {};
}

void SanitizeJob::launch() {
  progress_ = 0;
  thread_ = std::thread([this] { run(); });
}

void SanitizeJob::run() {
  // 1. Commands that were let through before end; new ones see condition().
  const std::unique_lock medium(medium_);
  // 2. What was there goes, durably. 3. The pattern, if one was asked for.
  Status done = work();
  if (stopping_) return;  // noted as running: resume() begins again
  // 4. Only then it is over.
  const State state = done.ok() ? State::idle : State::failed;
  if (!done.ok())
    log_error("scsi", "a sanitize operation failed", {{"error", done.error().message()}});
  if (const Status noted = note(state); !noted.ok())
    log_error("scsi", "the end of a sanitize operation was not noted",
              {{"error", noted.error().message()}});
  const std::lock_guard lock(mutex_);
  state_ = state;
  ended_.notify_all();
}

Status SanitizeJob::work() {
  TRY(device_->erase(request_.erasure));
  if (request_.pattern.empty()) return {};
  const uint64_t size = device_->size_bytes();
  const uint64_t block = device_->block_bytes();
  Buffer step;
  while (step.size() < std::max(kStepBytes, block)) append(step, request_.pattern);
  for (uint64_t at = 0; at < size && !stopping_; at += step.size()) {
    const uint64_t length = std::min<uint64_t>(step.size(), size - at);
    TRY(device_->write(at, ByteView(step).first(static_cast<size_t>(length)), false));
    progress_ = static_cast<uint16_t>((at >> 16) * 65535 / std::max<uint64_t>(size >> 16, 1));
  }
  return device_->flush();
}

void SanitizeJob::wait(const std::atomic<bool>* aborted) {
  std::unique_lock lock(mutex_);
  while (state_ == State::running && !(aborted != nullptr && aborted->load()))
    ended_.wait_for(lock, kLookAtAborted);
}

bool SanitizeJob::exit_failure() {
  const State state = state_;
  if (state == State::idle) return true;
  if (state == State::running || !request_.unrestricted_exit || !note(State::idle).ok())
    return false;
  state_ = State::idle;
  return true;
}

std::optional<Sense> SanitizeJob::condition() const {
  const State state = state_;
  if (state == State::idle) return std::nullopt;
  Sense sense;
  if (state == State::running) {
    sense.key = SenseKey::not_ready;
    sense.code = asc::sanitize_in_progress;
    sense.progress = progress_;
  } else {
    sense.key = SenseKey::medium_error;
    sense.code = asc::sanitize_failed;
  }
  return sense;
}

}  // namespace coldshelf::scsi
