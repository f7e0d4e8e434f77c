// What a cartridge remembers of its life in drives: the device attributes of its MAM that must
// outlive a load (SPC-5 7.4.2.2). Kept as one property of the cartridge, so that it costs one
// manifest commit.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace coldshelf {

struct DriveHistory {
  static constexpr std::string_view kProperty = "drive.history";

  uint64_t loads = 0;
  uint64_t initializations = 1;  // made once, then each FORMAT MEDIUM
  // VOLUME CHANGE REFERENCE: committed before the first change of content that follows its being
  // read, so that a value seen by an application never stands for two contents, after a crash
  // neither.
  uint64_t volume_change = 1;
  uint64_t written_bytes = 0, read_bytes = 0;            // plain, before the current load
  uint64_t last_written_bytes = 0, last_read_bytes = 0;  // in the load before
  std::array<std::string, 4> devices;  // "vendor|serial" at the last load, the one before, ...

  std::string encode() const;
  // Unknown or damaged fields are left at their defaults: a history is no reason to refuse a tape.
  static DriveHistory decode(std::string_view text);
};

}  // namespace coldshelf
