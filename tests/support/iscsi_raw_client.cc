#include "tests/support/iscsi_raw_client.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "base/crc32c.h"

namespace coldshelf::testing {

using namespace iscsi;  // NOLINT

std::map<std::string, std::string> InPdu::keys() const {
  std::map<std::string, std::string> out;
  std::string rest = text();
  while (!rest.empty()) {
    const size_t end = rest.find('\0');
    const std::string pair = rest.substr(0, end);
    rest.erase(0, end == std::string::npos ? rest.size() : end + 1);
    const size_t equals = pair.find('=');
    if (equals != std::string::npos) out[pair.substr(0, equals)] = pair.substr(equals + 1);
  }
  return out;
}

IscsiRawClient::IscsiRawClient(const std::string& endpoint) {
  const size_t colon = endpoint.rfind(':');
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::stoi(endpoint.substr(colon + 1))));
  inet_pton(AF_INET, endpoint.substr(0, colon).c_str(), &address.sin_addr);
  fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd_ >= 0 && connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    disconnect();
  const int on = 1;
  if (fd_ >= 0) setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

IscsiRawClient::~IscsiRawClient() { disconnect(); }

void IscsiRawClient::disconnect() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

void IscsiRawClient::finish_sending() { shutdown(fd_, SHUT_WR); }

void IscsiRawClient::uncork() {
  corked_ = false;
  send_bytes(std::exchange(kept_, {}));
}

void IscsiRawClient::send_bytes(ByteView bytes) {
  if (corked_) {
    append(kept_, bytes);
    return;
  }
  while (!bytes.empty()) {
    const ssize_t n = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return;
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
}

void IscsiRawClient::send_pdu(Bhs bhs, ByteView data) {
  bhs.set_data_length(data.size());
  Buffer wire = to_buffer(bhs.bytes());
  const auto add_digest = [&wire](uint32_t crc, bool damage) {
    const size_t at = wire.size();
    wire.resize(at + kDigestLength);
    store_le(&wire[at], damage ? crc ^ 4U : crc);
  };
  if (header_digest) add_digest(crc32c(wire), damage_header_digest);
  if (!data.empty()) {
    const size_t start = wire.size();
    append(wire, data);
    wire.resize(wire.size() + padding_of(data.size()), std::byte{0});
    if (data_digest) add_digest(crc32c(ByteView(wire).subspan(start)), damage_data_digest);
  }
  send_bytes(wire);
}

bool IscsiRawClient::read_exactly(MutableBytes to, int timeout_ms) {
  while (!to.empty()) {
    pollfd ready{fd_, POLLIN, 0};
    if (fd_ < 0 || poll(&ready, 1, timeout_ms) <= 0) return false;
    const ssize_t n = recv(fd_, to.data(), to.size(), 0);
    if (n <= 0) return false;
    to = to.subspan(static_cast<size_t>(n));
  }
  return true;
}

std::optional<InPdu> IscsiRawClient::receive(int timeout_ms) {
  InPdu pdu;
  Buffer header(kBhsLength + (header_digest ? kDigestLength : 0));
  if (!read_exactly(header, timeout_ms)) return std::nullopt;
  pdu.bhs = Bhs::parse(header);
  const ByteView bare = ByteView(header).first(kBhsLength);
  if (header_digest && load_le<uint32_t>(&header[kBhsLength]) != crc32c(bare)) return std::nullopt;
  const size_t length = pdu.bhs.data_length();
  const size_t padded = length + padding_of(length);
  pdu.data.resize(padded + (data_digest && length > 0 ? kDigestLength : 0));
  if (!read_exactly(pdu.data, timeout_ms)) return std::nullopt;
  if (data_digest && length > 0 &&
      load_le<uint32_t>(&pdu.data[padded]) != crc32c(ByteView(pdu.data).first(padded)))
    return std::nullopt;
  pdu.data.resize(length);
  // Data-In without status has no StatSN.
  const bool has_stat_sn = pdu.bhs.opcode() != Opcode::data_in || pdu.bhs.has(flag::kStatusPresent);
  const bool shows_only = pdu.bhs.opcode() == Opcode::r2t || (pdu.bhs.opcode() == Opcode::nop_in &&
                                                              pdu.bhs.task_tag() == kReservedTag);
  if (has_stat_sn && !shows_only) exp_stat_sn = pdu.bhs.get32(field::kStatSn) + 1;
  max_cmd_sn = pdu.bhs.get32(field::kMaxCmdSn);
  return pdu;
}

bool IscsiRawClient::closed_by_peer(int timeout_ms) {
  std::byte trash[4096];
  for (;;) {
    pollfd ready{fd_, POLLIN, 0};
    if (poll(&ready, 1, timeout_ms) <= 0) return false;
    if (recv(fd_, trash, sizeof trash, 0) <= 0) return true;
  }
}

std::optional<InPdu> IscsiRawClient::login_text(uint8_t flags, const std::string& text) {
  Bhs bhs(Opcode::login_request, flags);
  bhs.set8(0, 0x43);
  for (size_t i = 0; i < isid.size(); ++i) bhs.set8(field::kIsid + i, isid[i]);
  bhs.set16(field::kTsih, tsih);
  bhs.set32(field::kInitiatorTaskTag, 0);
  bhs.set16(field::kCid, cid);
  bhs.set32(field::kCmdSn, cmd_sn);
  bhs.set32(field::kExpStatSn, exp_stat_sn);
  send_pdu(bhs, as_view(text));
  return receive();
}

std::optional<InPdu> IscsiRawClient::login_step(uint8_t flags, const Keys& keys) {
  std::string text;
  for (const auto& [key, value] : keys) text += key + "=" + value + std::string(1, '\0');
  return login_text(flags, text);
}

bool IscsiRawClient::login(const std::string& target, Keys extra) {
  Keys keys = {
      {"InitiatorName", initiator_name}, {"SessionType", "Normal"}, {"TargetName", target}};
  keys.insert(keys.end(), extra.begin(), extra.end());
  const auto response = login_step(0x87, keys);  // Transit, CSG 1, NSG 3
  if (!response || response->login_status() != 0) return false;
  const auto answers = response->keys();
  const auto on = [&answers](const char* key) {
    const auto at = answers.find(key);
    return at != answers.end() && at->second == "CRC32C";
  };
  header_digest = on("HeaderDigest");
  data_digest = on("DataDigest");
  tsih = response->bhs.get16(field::kTsih);
  return (response->bhs.flags() & 0x83) == 0x83;
}

bool IscsiRawClient::login_discovery() {
  const auto response =
      login_step(0x87, {{"InitiatorName", initiator_name}, {"SessionType", "Discovery"}});
  return response && response->login_status() == 0;
}

uint32_t IscsiRawClient::send_command(const std::vector<uint8_t>& cdb, uint8_t flags,
                                      uint32_t expected, ByteView immediate, uint64_t lun) {
  Bhs bhs(Opcode::scsi_command, static_cast<uint8_t>(flags | 1));
  bhs.set8(field::kLun + 1, static_cast<uint8_t>(lun));
  const uint32_t tag = next_tag++;
  bhs.set32(field::kInitiatorTaskTag, tag);
  bhs.set32(field::kExpectedLength, expected);
  bhs.set32(field::kCmdSn, cmd_sn++);
  bhs.set32(field::kExpStatSn, exp_stat_sn);
  for (size_t i = 0; i < cdb.size(); ++i) bhs.set8(field::kCdb + i, cdb[i]);
  send_pdu(bhs, immediate);
  return tag;
}

void IscsiRawClient::send_data_out(uint32_t tag, uint32_t transfer_tag, uint32_t data_sn,
                                   uint32_t offset, ByteView data, bool final) {
  Bhs bhs(Opcode::data_out, final ? flag::kFinal : uint8_t{0});
  bhs.set32(field::kInitiatorTaskTag, tag);
  bhs.set32(field::kTargetTransferTag, transfer_tag);
  bhs.set32(field::kExpStatSn, exp_stat_sn);
  bhs.set32(field::kDataSn, data_sn);
  bhs.set32(field::kBufferOffset, offset);
  send_pdu(bhs, data);
}

uint32_t IscsiRawClient::send_task_management(uint8_t function, uint32_t referenced_tag,
                                              uint32_t ref_cmd_sn) {
  Bhs bhs(Opcode::task_management_request, static_cast<uint8_t>(0x80 | function));
  bhs.set8(0, 0x42);
  const uint32_t tag = next_tag++;
  bhs.set32(field::kInitiatorTaskTag, tag);
  bhs.set32(field::kReferencedTaskTag, referenced_tag);
  bhs.set32(field::kCmdSn, cmd_sn);
  bhs.set32(field::kExpStatSn, exp_stat_sn);
  bhs.set32(field::kRefCmdSn, ref_cmd_sn);
  send_pdu(bhs);
  return tag;
}

uint32_t IscsiRawClient::send_text(const Keys& keys, uint32_t transfer_tag) {
  std::string text;
  for (const auto& [key, value] : keys) text += key + "=" + value + std::string(1, '\0');
  Bhs bhs(Opcode::text_request);
  const uint32_t tag = next_tag++;
  bhs.set32(field::kInitiatorTaskTag, tag);
  bhs.set32(field::kTargetTransferTag, transfer_tag);
  bhs.set32(field::kCmdSn, cmd_sn++);
  bhs.set32(field::kExpStatSn, exp_stat_sn);
  send_pdu(bhs, as_view(text));
  return tag;
}

uint32_t IscsiRawClient::send_logout(uint8_t reason) {
  Bhs bhs(Opcode::logout_request, static_cast<uint8_t>(0x80 | reason));
  bhs.set8(0, 0x46);
  const uint32_t tag = next_tag++;
  bhs.set32(field::kInitiatorTaskTag, tag);
  bhs.set16(field::kCid, cid);
  bhs.set32(field::kCmdSn, cmd_sn);
  bhs.set32(field::kExpStatSn, exp_stat_sn);
  send_pdu(bhs);
  return tag;
}

uint32_t IscsiRawClient::send_nop(ByteView data) {
  Bhs bhs(Opcode::nop_out);
  const uint32_t tag = next_tag++;
  bhs.set32(field::kInitiatorTaskTag, tag);
  bhs.set32(field::kTargetTransferTag, kReservedTag);
  bhs.set32(field::kCmdSn, cmd_sn++);
  bhs.set32(field::kExpStatSn, exp_stat_sn);
  send_pdu(bhs, data);
  return tag;
}

IscsiRawClient::Outcome IscsiRawClient::complete(uint32_t tag, ByteView data_out, int timeout_ms) {
  Outcome outcome;
  for (;;) {
    std::optional<InPdu> pdu;
    const auto mine = std::find_if(parked_.begin(), parked_.end(),
                                   [tag](const InPdu& p) { return p.bhs.task_tag() == tag; });
    if (mine != parked_.end()) {
      pdu = std::move(*mine);
      parked_.erase(mine);
    } else {
      pdu = receive(timeout_ms);
    }
    if (!pdu) break;
    if (pdu->bhs.task_tag() != tag) {  // of a command that overtook this one
      const Opcode opcode = pdu->bhs.opcode();
      if (opcode == Opcode::scsi_response || opcode == Opcode::data_in || opcode == Opcode::r2t)
        parked_.push_back(std::move(*pdu));
      continue;
    }
    outcome.pdus.push_back(pdu->bhs);
    if (pdu->bhs.opcode() == Opcode::r2t) {
      const uint32_t offset = pdu->bhs.get32(field::kBufferOffset);
      const uint32_t length = pdu->bhs.get32(field::kDesiredLength);
      const uint32_t transfer_tag = pdu->bhs.get32(field::kTargetTransferTag);
      uint32_t data_sn = 0;
      for (uint32_t sent = 0; sent < length;) {
        const auto n = static_cast<uint32_t>(std::min<size_t>(segment, length - sent));
        send_data_out(tag, transfer_tag, data_sn++, offset + sent,
                      data_out.subspan(offset + sent, n), sent + n == length);
        sent += n;
      }
      continue;
    }
    if (pdu->bhs.opcode() == Opcode::data_in) {
      append(outcome.data, pdu->data);
      if (!pdu->bhs.has(flag::kStatusPresent)) continue;
    } else if (pdu->bhs.opcode() != Opcode::scsi_response) {
      continue;
    }
    outcome.status = pdu->bhs.get8(field::kStatus);
    outcome.flags = pdu->bhs.flags();
    outcome.residual = pdu->bhs.get32(field::kResidual);
    if (pdu->bhs.opcode() == Opcode::scsi_response && pdu->data.size() > 2)
      outcome.sense.assign(pdu->data.begin() + 2, pdu->data.end());
    return outcome;
  }
  return outcome;
}

}  // namespace coldshelf::testing
