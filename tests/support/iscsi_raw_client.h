// An initiator that sends exactly the bytes a test wants, right or wrong. Blocking, with timeouts.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "target/iscsi/pdu.h"

namespace coldshelf::testing {

using Keys = std::vector<std::pair<std::string, std::string>>;

struct InPdu {
  iscsi::Bhs bhs;
  Buffer data;
  std::string text() const { return to_text(data); }
  std::map<std::string, std::string> keys() const;
  uint16_t login_status() const { return bhs.get16(iscsi::field::kLoginStatus); }
};

class IscsiRawClient {
 public:
  explicit IscsiRawClient(const std::string& endpoint);  // "127.0.0.1:port"
  ~IscsiRawClient();
  IscsiRawClient(const IscsiRawClient&) = delete;
  IscsiRawClient& operator=(const IscsiRawClient&) = delete;

  bool connected() const { return fd_ >= 0; }
  void disconnect();
  void send_bytes(ByteView bytes);
  void cork() { corked_ = true; }  // what follows goes out together
  void uncork();
  void finish_sending();  // half-closes
  // Fills in lengths and padding, and the digests that are on. Damage flips a bit of a digest.
  void send_pdu(iscsi::Bhs bhs, ByteView data = {});
  std::optional<InPdu> receive(int timeout_ms = 5000);  // nullopt: closed, or nothing came
  bool closed_by_peer(int timeout_ms = 5000);           // after reading what was left

  // Login requests; each answers with the response.
  std::optional<InPdu> login_step(uint8_t flags, const Keys& keys);
  std::optional<InPdu> login_text(uint8_t flags, const std::string& text);
  // The whole login without authentication; true: full feature phase.
  bool login(const std::string& target, Keys extra = {});
  bool login_discovery();

  // SCSI. `flags`: Final, Read, Write; returns the task tag.
  uint32_t send_command(const std::vector<uint8_t>& cdb, uint8_t flags, uint32_t expected,
                        ByteView immediate = {}, uint64_t lun = 0);
  void send_data_out(uint32_t tag, uint32_t transfer_tag, uint32_t data_sn, uint32_t offset,
                     ByteView data, bool final);
  uint32_t send_task_management(uint8_t function, uint32_t referenced_tag, uint32_t ref_cmd_sn = 0);
  uint32_t send_text(const Keys& keys, uint32_t transfer_tag = iscsi::kReservedTag);
  uint32_t send_logout(uint8_t reason = 0);
  uint32_t send_nop(ByteView data);

  struct Outcome {
    uint8_t status = 0xff;  // 0xff: no answer
    uint8_t flags = 0;      // of the PDU with the status
    uint32_t residual = 0;
    Buffer data;
    Buffer sense;
    std::vector<iscsi::Bhs> pdus;
    uint8_t sense_key() const {
      return sense.size() > 2 ? std::to_integer<uint8_t>(sense[2]) & 15 : 0;
    }
    uint16_t asc() const { return sense.size() > 13 ? load_be<uint16_t>(&sense[12]) : uint16_t{0}; }
  };
  // Collects Data-In until the status of `tag`; answers R2Ts from `data_out`.
  Outcome complete(uint32_t tag, ByteView data_out = {}, int timeout_ms = 5000);

  // What a test may bend.
  std::string initiator_name = "iqn.2026-11.io.coldshelf.test:raw";
  std::array<uint8_t, 6> isid = {0x80, 1, 2, 3, 4, 5};
  uint16_t tsih = 0;
  uint16_t cid = 1;
  uint32_t cmd_sn = 100;
  uint32_t exp_stat_sn = 1;
  uint32_t next_tag = 1;
  uint32_t max_cmd_sn = 0;
  size_t segment = 8192;  // of Data-Out PDUs
  bool header_digest = false, data_digest = false;
  bool damage_header_digest = false, damage_data_digest = false;

 private:
  bool read_exactly(MutableBytes to, int timeout_ms);
  int fd_ = -1;
  bool corked_ = false;
  Buffer kept_;               // while corked
  std::deque<InPdu> parked_;  // what complete() found of other tasks
};

}  // namespace coldshelf::testing
