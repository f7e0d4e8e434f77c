#include "tests/support/scsi_client.h"

#include <algorithm>
#include <ostream>

#include "target/scsi/wire.h"

namespace coldshelf::test {

using scsi::Command;
using scsi::Reply;
using scsi::ScsiStatus;

uint64_t ScsiResult::number(size_t at, size_t bytes) const {
  return scsi::get_number(data, at, bytes);
}

std::string ScsiResult::text(size_t at, size_t bytes) const {
  if (at >= data.size()) return "";
  return to_text(ByteView(data).subspan(at, std::min(bytes, data.size() - at)));
}

std::ostream& operator<<(std::ostream& out, const ScsiResult& r) {
  out << "status " << static_cast<int>(r.status) << ", " << r.data.size() << " bytes, residual "
      << r.residual;
  if (!r.sense) return out;
  out << ", sense " << static_cast<int>(r.sense->key) << "/" << std::hex
      << static_cast<int>(r.sense->code.code) << "/" << static_cast<int>(r.sense->code.qualifier)
      << std::dec;
  if (r.sense->information) out << " information " << *r.sense->information;
  return out;
}

void ScsiClient::clear_unit_attentions() {
  for (int i = 0; i < 20; ++i) {
    const ScsiResult r = run({0x00, 0, 0, 0, 0, 0});
    if (!r.sense || r.sense->key != scsi::SenseKey::unit_attention) return;
  }
}

Buffer ScsiClient::bytes(std::initializer_list<unsigned> values) {
  Buffer out;
  for (unsigned v : values) out.push_back(static_cast<std::byte>(v & 0xFFU));
  return out;
}

DirectClient::DirectClient(scsi::LogicalUnit& unit, uint64_t nexus_id, std::string initiator_name)
    : unit_(unit) {
  auto nexus = std::make_shared<scsi::Nexus>();
  nexus->id = nexus_id;
  nexus->initiator_name = std::move(initiator_name);
  nexus->isid[0] = std::byte{0x80};
  nexus_ = std::move(nexus);
  unit_.nexus_established(nexus_);
}

DirectClient::~DirectClient() { unit_.nexus_lost(*nexus_); }

ScsiResult DirectClient::run(ByteView cdb, ByteView data_out, size_t data_in_bytes) {
  Command command;
  command.nexus = nexus_;
  std::copy(cdb.begin(), cdb.end(), command.cdb.begin());
  const uint64_t wanted = unit_.data_out_length(command.cdb);
  command.data_out =
      data_out.first(static_cast<size_t>(std::min<uint64_t>(wanted, data_out.size())));
  command.expected_in = data_in_bytes;
  command.expected_out = data_out.size();
  (void)unit_.may_block(command);
  const Reply reply = unit_.execute(command);
  ScsiResult result;
  result.status = reply.status;
  result.raw_sense = reply.sense;
  if (!reply.sense.empty()) result.sense = scsi::decode_sense(reply.sense);
  for (ByteView part : reply.data.parts) append(result.data, part);
  const bool writes = !data_out.empty() || reply.data_out_wanted > 0;
  result.residual =
      writes ? static_cast<int64_t>(data_out.size()) - static_cast<int64_t>(reply.data_out_wanted)
             : static_cast<int64_t>(data_in_bytes) - static_cast<int64_t>(reply.data_in_wanted);
  return result;
}

}  // namespace coldshelf::test
