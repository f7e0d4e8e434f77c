// The data-driven tables of drives and media: identities, densities, capacities, what writes and
// reads what. The rows are in media.cc, each with its source.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace coldshelf {

// A medium, by the name kept in the manifest ("LTO-8").
struct MediumProfile {
  std::string_view name;
  uint8_t density_code = 0;  // primary density code
  uint8_t medium_type = 0;   // mode parameter header byte, data cartridge (58h LTO-5 ... 98h LTO-9)
  uint8_t worm_medium_type = 0;  // the same with the WORM form (5Ch ...)
  uint64_t native_capacity_bytes = 0;
  std::string_view barcode_suffix;  // "L8"
  std::string_view organization;    // REPORT DENSITY SUPPORT: assigning organization "LTO-CVE"
  std::string_view density_name;    // "U-832"
  std::string_view description;     // "Ultrium 8/32T"
  uint32_t bits_per_mm = 0;
  uint16_t media_width_tenth_mm = 0;
  uint16_t tracks = 0;
  uint32_t media_length_m = 0;
  uint32_t max_partitions = 0;
};

// A drive model.
struct DriveProfile {
  std::string_view name;                // configuration: "IBM-ULT3580-TD8"
  std::string_view vendor;              // INQUIRY, 8 characters padded
  std::string_view product;             // INQUIRY, 16
  std::string_view revision;            // INQUIRY, 4; at or above the floor LTFS demands
  std::string_view medium;              // the generation it writes at best
  std::vector<std::string_view> reads;  // names of media, best first
  std::vector<std::string_view> writes;
};

std::span<const MediumProfile> all_media();
std::span<const DriveProfile> all_drives();
const MediumProfile* find_medium(std::string_view name);
const DriveProfile* find_drive(std::string_view name);
// "L8" of "ABC123L8" -> LTO-8; null when the barcode has no known suffix.
const MediumProfile* medium_of_barcode(std::string_view barcode);

}  // namespace coldshelf
