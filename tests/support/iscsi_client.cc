#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>

#include <algorithm>

#include "tests/support/scsi_client.h"

namespace coldshelf::test {

namespace {
struct FreeTask {
  void operator()(scsi_task* task) const { scsi_free_scsi_task(task); }
};
}  // namespace

Result<std::unique_ptr<IscsiClient>> IscsiClient::connect(const std::string& portal,
                                                          const std::string& target,
                                                          const std::string& initiator_name,
                                                          std::optional<uint32_t> isid) {
  iscsi_context* context = iscsi_create_context(initiator_name.c_str());
  if (context == nullptr) return Error(ErrorCode::internal, "iscsi_create_context");
  std::unique_ptr<IscsiClient> client(new IscsiClient(context));
  if (isid) iscsi_set_isid_random(context, *isid, 0);
  iscsi_set_targetname(context, target.c_str());
  iscsi_set_session_type(context, ISCSI_SESSION_NORMAL);
  iscsi_set_noautoreconnect(context, 1);
  iscsi_set_timeout(context, 30);
  if (iscsi_connect_sync(context, portal.c_str()) != 0 || iscsi_login_sync(context) != 0)
    return Error(ErrorCode::unavailable, iscsi_get_error(context));
  return client;
}

IscsiClient::~IscsiClient() {
  iscsi_logout_sync(context_);
  iscsi_destroy_context(context_);
  for (scsi_task* task : abandoned_) scsi_free_scsi_task(task);
}

ScsiResult IscsiClient::run(ByteView cdb, ByteView data_out, size_t data_in_bytes) {
  unsigned char raw[16] = {};
  std::memcpy(raw, cdb.data(), std::min(cdb.size(), sizeof raw));
  const bool writes = !data_out.empty();
  const int transfer = writes               ? SCSI_XFER_WRITE
                       : data_in_bytes != 0 ? SCSI_XFER_READ
                                            : SCSI_XFER_NONE;
  const size_t expected = writes ? data_out.size() : data_in_bytes;
  std::unique_ptr<scsi_task, FreeTask> task(
      scsi_create_task(static_cast<int>(cdb.size()), raw, transfer, static_cast<int>(expected)));
  ScsiResult result;
  Buffer out = to_buffer(data_out);
  result.data.resize(data_in_bytes);
  if (writes)
    scsi_task_add_data_out_buffer(task.get(), static_cast<int>(out.size()),
                                  reinterpret_cast<unsigned char*>(out.data()));
  else if (data_in_bytes != 0)
    scsi_task_add_data_in_buffer(task.get(), static_cast<int>(data_in_bytes),
                                 reinterpret_cast<unsigned char*>(result.data.data()));
  if (iscsi_scsi_command_sync(context_, 0, task.get(), nullptr) == nullptr) {
    abandoned_.push_back(task.release());
    result.status = scsi::ScsiStatus::task_aborted;
    return result;
  }
  // libiscsi's own values lie above those of SCSI: the connection ended, or nothing was answered.
  if (task->status < 0 || task->status > 0xFF) {
    result.status = scsi::ScsiStatus::task_aborted;
    return result;
  }
  result.status = static_cast<scsi::ScsiStatus>(task->status);
  if (task->residual_status == SCSI_RESIDUAL_UNDERFLOW)
    result.residual = static_cast<int64_t>(task->residual);
  if (task->residual_status == SCSI_RESIDUAL_OVERFLOW)
    result.residual = -static_cast<int64_t>(task->residual);
  if (result.residual > 0)
    result.data.resize(data_in_bytes -
                       std::min(data_in_bytes, static_cast<size_t>(result.residual)));
  // The data segment of the SCSI Response: sense length, then the sense data (RFC 7143 11.4.7).
  if (task->status == SCSI_STATUS_CHECK_CONDITION && task->datain.size > 2) {
    const ByteView sense(reinterpret_cast<const std::byte*>(task->datain.data) + 2,
                         static_cast<size_t>(task->datain.size) - 2);
    const size_t length = (static_cast<size_t>(task->datain.data[0]) << 8) | task->datain.data[1];
    result.raw_sense = to_buffer(sense.first(std::min(length, sense.size())));
    result.sense = scsi::decode_sense(result.raw_sense);
  }
  return result;
}

}  // namespace coldshelf::test
