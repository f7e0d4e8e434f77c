// LOG SENSE and LOG SELECT (SPC-5 6.6, 6.7): a table of pages made when asked for.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "target/scsi/sense.h"

namespace coldshelf::scsi {

struct LogParameter {
  uint16_t code = 0;
  uint8_t control = 0x03;  // FORMAT AND LINKING: binary list parameter (SPC-5 table 329)
  Buffer value;
};
// Bounded data counter / binary number of `bytes` bytes, big-endian; saturates.
LogParameter log_number(uint16_t code, uint64_t value, size_t bytes, uint8_t control = 0x03);
LogParameter log_bytes(uint16_t code, ByteView value, uint8_t control = 0x03);

struct LogPage {
  uint8_t page = 0;
  uint8_t subpage = 0;
  std::function<std::vector<LogParameter>()> parameters;  // ascending codes
  std::function<void()> reset;  // LOG SELECT with PCR; empty: nothing to reset
};

class LogPages {
 public:
  void add(LogPage page);  // pages 00h (and 00h/FFh) are made here
  struct Outcome {
    std::optional<Sense> sense;
    Buffer data;
  };
  Outcome log_sense(ByteView cdb);
  std::optional<Sense> log_select(ByteView cdb, ByteView parameters);
  void reset_all();

 private:
  std::map<std::pair<uint8_t, uint8_t>, LogPage> pages_;
};

}  // namespace coldshelf::scsi
