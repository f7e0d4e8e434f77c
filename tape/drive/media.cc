#include "tape/drive/media.h"

#include <algorithm>
#include <array>

namespace coldshelf {

namespace {

constexpr uint64_t GB = 1'000'000'000;

// Density and medium type codes, tracks, bits per mm: the generation's row of REPORT DENSITY
// SUPPORT and of the mode parameter header in the drive makers' SCSI references (Quantum
// LTO-4 3.23.2.4, HP Ultrium 3, IBM LTO GA32-0928); capacities and lengths: the LTO programme's
// data sheets. LTO-3 and LTO-4 know one partition, LTO-5 two, later ones four.
constexpr std::array<MediumProfile, 7> kMedia = {{
    {"LTO-3", 0x44, 0x38, 0x3C, 400 * GB, "L3", "LTO-CVE", "U-316", "Ultrium 3/16T", 9638, 127, 704,
     680, 1},
    {"LTO-4", 0x46, 0x48, 0x4C, 800 * GB, "L4", "LTO-CVE", "U-416", "Ultrium 4/16T", 12725, 127,
     896, 820, 1},
    {"LTO-5", 0x58, 0x58, 0x5C, 1500 * GB, "L5", "LTO-CVE", "U-516", "Ultrium 5/16T", 15142, 127,
     1280, 846, 2},
    {"LTO-6", 0x5A, 0x68, 0x6C, 2500 * GB, "L6", "LTO-CVE", "U-616", "Ultrium 6/16T", 15142, 127,
     2176, 846, 4},
    {"LTO-7", 0x5C, 0x78, 0x7C, 6000 * GB, "L7", "LTO-CVE", "U-732", "Ultrium 7/32T", 19107, 127,
     3584, 960, 4},
    {"LTO-8", 0x5E, 0x88, 0x8C, 12000 * GB, "L8", "LTO-CVE", "U-832", "Ultrium 8/32T", 20669, 127,
     6656, 960, 4},
    {"LTO-9", 0x60, 0x98, 0x9C, 18000 * GB, "L9", "LTO-CVE", "U-932", "Ultrium 9/32T", 21456, 127,
     8960, 1035, 4},
}};

// WORM cartridges carry their own barcode suffix (IBM LTO barcode label specification).
struct WormSuffix {
  std::string_view suffix;
  std::string_view medium;
};
constexpr std::array<WormSuffix, 7> kWormSuffixes = {{{"LT", "LTO-3"},
                                                      {"LU", "LTO-4"},
                                                      {"LV", "LTO-5"},
                                                      {"LW", "LTO-6"},
                                                      {"LX", "LTO-7"},
                                                      {"LY", "LTO-8"},
                                                      {"LZ", "LTO-9"}}};

// What reads and writes what is the LTO rule: up to LTO-7 two generations back are read and one
// written; LTO-8 and LTO-9 read and write one back. Revisions are above what LTFS asks for (LTO-5:
// "B170", LTO-8: "HB81", compared as ASCII).
const std::array<DriveProfile, 7>& drive_table() {
  static const std::array<DriveProfile, 7> drives = {{
      {"IBM-ULT3580-TD5",
       "IBM",
       "ULT3580-TD5",
       "D8D4",
       "LTO-5",
       {"LTO-5", "LTO-4", "LTO-3"},
       {"LTO-5", "LTO-4"}},
      {"IBM-ULT3580-TD6",
       "IBM",
       "ULT3580-TD6",
       "G9P1",
       "LTO-6",
       {"LTO-6", "LTO-5", "LTO-4"},
       {"LTO-6", "LTO-5"}},
      {"IBM-ULT3580-TD7",
       "IBM",
       "ULT3580-TD7",
       "G9Q1",
       "LTO-7",
       {"LTO-7", "LTO-6", "LTO-5"},
       {"LTO-7", "LTO-6"}},
      {"IBM-ULT3580-TD8",
       "IBM",
       "ULT3580-TD8",
       "L4F2",
       "LTO-8",
       {"LTO-8", "LTO-7"},
       {"LTO-8", "LTO-7"}},
      {"IBM-ULT3580-TD9",
       "IBM",
       "ULT3580-TD9",
       "N9P1",
       "LTO-9",
       {"LTO-9", "LTO-8"},
       {"LTO-9", "LTO-8"}},
      {"HPE-Ultrium-8",
       "HPE",
       "Ultrium 8-SCSI",
       "J4DB",
       "LTO-8",
       {"LTO-8", "LTO-7"},
       {"LTO-8", "LTO-7"}},
      {"HPE-Ultrium-9",
       "HPE",
       "Ultrium 9-SCSI",
       "N9PB",
       "LTO-9",
       {"LTO-9", "LTO-8"},
       {"LTO-9", "LTO-8"}},
  }};
  return drives;
}

}  // namespace

std::span<const MediumProfile> all_media() { return kMedia; }

std::span<const DriveProfile> all_drives() { return drive_table(); }

const MediumProfile* find_medium(std::string_view name) {
  const auto found = std::ranges::find(kMedia, name, &MediumProfile::name);
  return found == kMedia.end() ? nullptr : &*found;
}

const DriveProfile* find_drive(std::string_view name) {
  const auto& drives = drive_table();
  const auto found = std::ranges::find(drives, name, &DriveProfile::name);
  return found == drives.end() ? nullptr : &*found;
}

const MediumProfile* medium_of_barcode(std::string_view barcode) {
  if (barcode.size() < 3) return nullptr;
  const std::string_view suffix = barcode.substr(barcode.size() - 2);
  for (const MediumProfile& medium : kMedia) {
    if (medium.barcode_suffix == suffix) return &medium;
  }
  for (const WormSuffix& worm : kWormSuffixes) {
    if (worm.suffix == suffix) return find_medium(worm.medium);
  }
  return nullptr;
}

}  // namespace coldshelf
