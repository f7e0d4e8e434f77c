#include "tests/support/memory_unit.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>

#include "base/coding.h"

namespace coldshelf::testing {

namespace {
uint8_t byte_of(ByteView cdb, size_t at) { return std::to_integer<uint8_t>(cdb[at]); }

scsi::Reply check(uint8_t key, uint8_t asc, uint8_t ascq) {
  scsi::Reply reply;
  reply.status = scsi::ScsiStatus::check_condition;
  reply.sense = Buffer(18, std::byte{0});
  reply.sense[0] = std::byte{0x70};
  reply.sense[2] = static_cast<std::byte>(key);
  reply.sense[7] = std::byte{10};
  reply.sense[12] = static_cast<std::byte>(asc);
  reply.sense[13] = static_cast<std::byte>(ascq);
  return reply;
}

scsi::Reply with_data(Buffer bytes, uint64_t limit, uint64_t expected) {
  if (bytes.size() > limit) bytes.resize(static_cast<size_t>(limit));
  scsi::Reply reply;
  reply.data_in_wanted = bytes.size();
  reply.data = scsi::DataIn::from(std::move(bytes));
  reply.data.truncate(expected);
  return reply;
}
}  // namespace

uint64_t MemoryUnit::data_out_length(ByteView cdb) const {
  switch (byte_of(cdb, 0)) {
    case 0x2a:  // WRITE(10)
      return uint64_t{load_be<uint16_t>(&cdb[7])} * kBlock;
    case 0x8a:  // WRITE(16)
      return uint64_t{load_be<uint32_t>(&cdb[10])} * kBlock;
    default:
      return 0;
  }
}

bool MemoryUnit::may_block(const scsi::Command& command) const {
  return blocking_ || byte_of(command.cdb, 0) == kHang;
}

scsi::Reply MemoryUnit::read(uint64_t lba, uint64_t blocks, uint64_t expected) {
  if ((lba + blocks) * kBlock > data_.size()) return check(5, 0x21, 0);
  const auto first = data_.begin() + static_cast<ptrdiff_t>(lba * kBlock);
  return with_data(Buffer(first, first + static_cast<ptrdiff_t>(blocks * kBlock)), ~uint64_t{0},
                   expected);
}

scsi::Reply MemoryUnit::write(uint64_t lba, uint64_t blocks, ByteView bytes) {
  if ((lba + blocks) * kBlock > data_.size()) return check(5, 0x21, 0);
  std::copy(bytes.begin(), bytes.end(), data_.begin() + static_cast<ptrdiff_t>(lba * kBlock));
  scsi::Reply reply;
  reply.data_out_wanted = blocks * kBlock;
  return reply;
}

scsi::Reply MemoryUnit::execute(const scsi::Command& command) {
  const ByteView cdb = command.cdb;
  std::unique_lock lock(mutex_);
  opcodes_.push_back(byte_of(cdb, 0));
  switch (byte_of(cdb, 0)) {
    case 0x00:  // TEST UNIT READY
    case 0x35:  // SYNCHRONIZE CACHE(10)
      return {};
    case 0x12: {  // INQUIRY
      Buffer data(36, std::byte{' '});
      std::fill_n(data.begin(), 8, std::byte{0});
      data[2] = std::byte{6};
      data[3] = std::byte{2};
      data[4] = std::byte{31};
      return with_data(std::move(data), load_be<uint16_t>(&cdb[3]), command.expected_in);
    }
    case 0xa0: {  // REPORT LUNS
      Buffer data(16, std::byte{0});
      data[3] = std::byte{8};
      return with_data(std::move(data), load_be<uint32_t>(&cdb[6]), command.expected_in);
    }
    case 0x25: {  // READ CAPACITY(10)
      Buffer data(8);
      store_be(data.data(), static_cast<uint32_t>(data_.size() / kBlock - 1));
      store_be(data.data() + 4, static_cast<uint32_t>(kBlock));
      return with_data(std::move(data), 8, command.expected_in);
    }
    case 0x28:
      return read(load_be<uint32_t>(&cdb[2]), load_be<uint16_t>(&cdb[7]), command.expected_in);
    case 0x88:
      return read(load_be<uint64_t>(&cdb[2]), load_be<uint32_t>(&cdb[10]), command.expected_in);
    case 0x2a:
      return write(load_be<uint32_t>(&cdb[2]), load_be<uint16_t>(&cdb[7]), command.data_out);
    case 0x8a:
      return write(load_be<uint64_t>(&cdb[2]), load_be<uint32_t>(&cdb[10]), command.data_out);
    case kShortRead: {  // as a tape answers a record shorter than asked for: data and ILI
      const uint32_t length = load_be<uint32_t>(&cdb[2]);
      scsi::Reply reply = check(0, 0, 0);
      reply.sense[2] = std::byte{0x20};
      Buffer data(length / 2);
      for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i * 7);
      reply.data_in_wanted = data.size();
      reply.data = scsi::DataIn::from(std::move(data));
      reply.data.truncate(command.expected_in);
      return reply;
    }
    case kHang:
      hanging_ = true;
      changed_.notify_all();
      while (!released_ && !command.aborted->load())
        changed_.wait_for(lock, std::chrono::milliseconds(2));
      hanging_ = released_ = false;
      return {};
    case kBusy:
      hanging_ = true;
      changed_.notify_all();
      changed_.wait(lock, [this] { return released_; });
      hanging_ = released_ = false;
      return {};
    case kThrow:
      throw std::runtime_error("on request");
    default:
      return check(5, 0x20, 0);
  }
}

void MemoryUnit::note(std::string event) {
  const std::lock_guard lock(mutex_);
  events_.push_back(std::move(event));
}
void MemoryUnit::nexus_established(std::shared_ptr<const scsi::Nexus> nexus) {
  note("established " + nexus->initiator_name);
}
void MemoryUnit::nexus_lost(const scsi::Nexus& nexus) { note("lost " + nexus.initiator_name); }
void MemoryUnit::reset(scsi::ResetKind kind) {
  note("reset " + std::to_string(static_cast<int>(kind)));
}
void MemoryUnit::task_set_cleared(const scsi::Nexus& by) {
  note("cleared by " + by.initiator_name);
}

void MemoryUnit::release() {
  const std::lock_guard lock(mutex_);
  released_ = true;
  changed_.notify_all();
}

bool MemoryUnit::wait_hanging() {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::seconds(10), [this] { return hanging_; });
}

std::vector<std::string> MemoryUnit::events() const {
  const std::lock_guard lock(mutex_);
  return events_;
}
std::vector<std::byte> MemoryUnit::contents() const {
  const std::lock_guard lock(mutex_);
  return data_;
}
std::vector<uint8_t> MemoryUnit::opcodes() const {
  const std::lock_guard lock(mutex_);
  return opcodes_;
}

}  // namespace coldshelf::testing
