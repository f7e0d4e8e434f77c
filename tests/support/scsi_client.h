// One SCSI initiator port as the conformance suites see it: send a CDB, get status, sense, data and
// residual. The same suites run without a transport (DirectClient) and over iSCSI (IscsiClient).
#pragma once

#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "target/scsi/logical_unit.h"
#include "target/scsi/sense.h"

struct iscsi_context;
struct scsi_task;

namespace coldshelf::test {

struct ScsiResult {
  scsi::ScsiStatus status = scsi::ScsiStatus::good;
  std::optional<scsi::Sense> sense;
  Buffer raw_sense;
  Buffer data;
  int64_t residual = 0;  // bytes less (positive) or more (negative) than expected

  bool good() const { return status == scsi::ScsiStatus::good; }
  bool check(scsi::SenseKey key, scsi::AdditionalSense code) const {
    return status == scsi::ScsiStatus::check_condition && sense && sense->key == key &&
           sense->code == code;
  }
  uint64_t number(size_t at, size_t bytes) const;  // big-endian field of `data`
  std::string text(size_t at, size_t bytes) const;
};
// For GoogleTest messages.
std::ostream& operator<<(std::ostream& out, const ScsiResult& result);

class ScsiClient {
 public:
  virtual ~ScsiClient() = default;
  // `data_in_bytes`: Expected Data Transfer Length of a command that reads; else data_out's size.
  virtual ScsiResult run(ByteView cdb, ByteView data_out, size_t data_in_bytes) = 0;

  ScsiResult run(std::initializer_list<unsigned> cdb) { return run(bytes(cdb), {}, 0); }
  ScsiResult read(std::initializer_list<unsigned> cdb, size_t data_in_bytes) {
    return run(bytes(cdb), {}, data_in_bytes);
  }
  ScsiResult write(std::initializer_list<unsigned> cdb, ByteView data_out) {
    return run(bytes(cdb), data_out, 0);
  }
  // TEST UNIT READY until no unit attention is pending.
  void clear_unit_attentions();
  static Buffer bytes(std::initializer_list<unsigned> values);
};

// Calls the logical unit as a transport would: solicits what the CDB asks for, truncates what the
// initiator did not expect.
class DirectClient final : public ScsiClient {
 public:
  DirectClient(scsi::LogicalUnit& unit, uint64_t nexus_id, std::string initiator_name);
  ~DirectClient() override;
  using ScsiClient::run;
  ScsiResult run(ByteView cdb, ByteView data_out, size_t data_in_bytes) override;
  const scsi::Nexus& nexus() const { return *nexus_; }
  std::shared_ptr<const scsi::Nexus> nexus_pointer() const { return nexus_; }

 private:
  scsi::LogicalUnit& unit_;
  std::shared_ptr<const scsi::Nexus> nexus_;
};

// libiscsi: an initiator no one here wrote.
class IscsiClient final : public ScsiClient {
 public:
  // `isid`: the same number makes the same initiator port again; none: a new one each time.
  static Result<std::unique_ptr<IscsiClient>> connect(const std::string& portal,
                                                      const std::string& target,
                                                      const std::string& initiator_name,
                                                      std::optional<uint32_t> isid = {});
  ~IscsiClient() override;
  using ScsiClient::run;
  ScsiResult run(ByteView cdb, ByteView data_out, size_t data_in_bytes) override;

 private:
  explicit IscsiClient(iscsi_context* context) : context_(context) {}
  iscsi_context* context_;
  // Of a connection that ended under them: the library knows them until the context goes.
  std::vector<scsi_task*> abandoned_;
};

}  // namespace coldshelf::test
