#include "tests/support/tape_client.h"

#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>

#include <array>
#include <cstdlib>
#include <memory>

namespace coldshelf::test {

namespace {

constexpr int kTimeoutSeconds = 300;

struct FreeTask {
  void operator()(scsi_task* task) const { scsi_free_scsi_task(task); }
};

std::array<uint8_t, 6> cdb6(uint8_t opcode, uint8_t flags, size_t length) {
  return {opcode,
          flags,
          static_cast<uint8_t>((length >> 16) & 255U),
          static_cast<uint8_t>((length >> 8) & 255U),
          static_cast<uint8_t>(length & 255U),
          0};
}

}  // namespace

Result<TapeClient> TapeClient::connect(const std::string& portal, const std::string& target,
                                       int lun, const std::string& initiator) {
  iscsi_context* context = iscsi_create_context(initiator.c_str());
  if (context == nullptr) return Error(ErrorCode::internal, "iscsi_create_context");
  TapeClient client(context, lun);
  iscsi_set_targetname(context, target.c_str());
  iscsi_set_session_type(context, ISCSI_SESSION_NORMAL);
  iscsi_set_noautoreconnect(context, 1);
  iscsi_set_timeout(context, kTimeoutSeconds);
  if (iscsi_connect_sync(context, portal.c_str()) != 0 || iscsi_login_sync(context) != 0) {
    return Error(ErrorCode::unavailable,
                 target + " at " + portal + ": " + iscsi_get_error(context));
  }
  return client;
}

TapeClient::TapeClient(TapeClient&& other) noexcept : context_(other.context_), lun_(other.lun_) {
  other.context_ = nullptr;
}

TapeClient::~TapeClient() {
  if (context_ == nullptr) return;
  iscsi_logout_sync(context_);
  iscsi_destroy_context(context_);
}

Result<TapeClient::Answer> TapeClient::run(std::span<const uint8_t> cdb, Direction direction,
                                           std::span<std::byte> data) {
  std::array<uint8_t, 16> copy{};
  std::copy(cdb.begin(), cdb.end(), copy.begin());
  const int transfer = direction == Direction::none        ? SCSI_XFER_NONE
                       : direction == Direction::to_device ? SCSI_XFER_WRITE
                                                           : SCSI_XFER_READ;
  std::unique_ptr<scsi_task, FreeTask> task(scsi_create_task(
      static_cast<int>(cdb.size()), copy.data(), transfer, static_cast<int>(data.size())));
  auto* bytes = reinterpret_cast<unsigned char*>(data.data());
  if (direction == Direction::to_device) {
    scsi_task_add_data_out_buffer(task.get(), static_cast<int>(data.size()), bytes);
  } else if (direction == Direction::from_device) {
    scsi_task_add_data_in_buffer(task.get(), static_cast<int>(data.size()), bytes);
  }
  if (iscsi_scsi_command_sync(context_, lun_, task.get(), nullptr) == nullptr) {
    return Error(ErrorCode::unavailable, iscsi_get_error(context_));
  }
  Answer answer;
  answer.status = task->status;
  if (task->status == SCSI_STATUS_CHECK_CONDITION) {
    answer.sense_key = task->sense.key;
    answer.asc_ascq = task->sense.ascq;
  }
  answer.transferred = data.size();
  if (task->residual_status == SCSI_RESIDUAL_UNDERFLOW) answer.transferred -= task->residual;
  return answer;
}

Status TapeClient::run_whole(std::span<const uint8_t> cdb, Direction direction,
                             std::span<std::byte> data) {
  ASSIGN_OR_RETURN(const Answer answer, run(cdb, direction, data));
  if (answer.status != SCSI_STATUS_GOOD) {
    return Error(ErrorCode::io, "opcode " + std::to_string(cdb[0]) + ": status " +
                                    std::to_string(answer.status) + ", sense key " +
                                    std::to_string(answer.sense_key) + ", asc/ascq " +
                                    std::to_string(answer.asc_ascq));
  }
  if (answer.transferred != data.size()) {
    return Error(ErrorCode::corrupt, "moved " + std::to_string(answer.transferred) + " of " +
                                         std::to_string(data.size()) + " bytes");
  }
  return {};
}

Status TapeClient::wait_ready(int attempts) {
  Status last;
  for (int i = 0; i < attempts; ++i) {
    last = run_whole(cdb6(0x00, 0, 0), Direction::none, {});
    if (last.ok()) return last;
  }
  return last;
}

Status TapeClient::rewind() { return run_whole(cdb6(0x01, 0, 0), Direction::none, {}); }
Status TapeClient::unload() { return run_whole(cdb6(0x1b, 0, 0), Direction::none, {}); }
Status TapeClient::prevent_removal(bool on) {
  return run_whole(cdb6(0x1e, 0, on ? 1 : 0), Direction::none, {});
}
Status TapeClient::write(std::span<std::byte> record) {
  return run_whole(cdb6(0x0a, 0, record.size()), Direction::to_device, record);
}
Status TapeClient::read(std::span<std::byte> record) {
  return run_whole(cdb6(0x08, 0, record.size()), Direction::from_device, record);
}

Result<TapeClient::Next> TapeClient::read_next(std::span<std::byte> room) {
  constexpr uint8_t kSili = 2;
  ASSIGN_OR_RETURN(const Answer answer,
                   run(cdb6(0x08, kSili, room.size()), Direction::from_device, room));
  if (answer.status == SCSI_STATUS_GOOD) return Next{Next::Kind::record, answer.transferred};
  if (answer.sense_key == 0 && answer.asc_ascq == 0x0001) return Next{Next::Kind::filemark, 0};
  if (answer.sense_key == SCSI_SENSE_BLANK_CHECK) return Next{Next::Kind::end_of_data, 0};
  const bool lost = answer.sense_key == SCSI_SENSE_MEDIUM_ERROR;
  return Error(lost ? ErrorCode::corrupt : ErrorCode::io,
               "READ: sense key " + std::to_string(answer.sense_key) + ", asc/ascq " +
                   std::to_string(answer.asc_ascq));
}

Status TapeClient::write_filemarks(uint32_t count, bool immediate) {
  return run_whole(cdb6(0x10, immediate ? 1 : 0, count), Direction::none, {});
}

Status TapeClient::space_filemarks(int32_t count) {
  return run_whole(cdb6(0x11, 1, static_cast<uint32_t>(count) & 0xFFFFFFU), Direction::none, {});
}

Status TapeClient::locate(uint64_t block) {
  std::array<uint8_t, 16> cdb{};
  cdb[0] = 0x92;
  for (size_t i = 0; i < 8; ++i) cdb[4 + i] = static_cast<uint8_t>((block >> (56 - 8 * i)) & 255U);
  return run_whole(cdb, Direction::none, {});
}

}  // namespace coldshelf::test
