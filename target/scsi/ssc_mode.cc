// Mode pages of a tape drive, the header and the block descriptor (SSC-5 8.3, 8.5).
#include <algorithm>

#include "target/scsi/tape_unit.h"
#include "target/scsi/tape_unit_state.h"

namespace coldshelf::scsi {

namespace {

constexpr uint64_t kMegabyte = 1'000'000;
constexpr uint64_t kGigabyte = 1'000'000'000;
// Page 11h: MODE SELECT only plans, FORMAT MEDIUM partitions. Linux st sends that where this is set
// (mt mkpartition).
constexpr uint8_t kPofm = 0x04;
// Page 10h, byte 15: the medium that is in is protected until it is out. PERSWP and PRMWP, which
// would go with the volume, are not offered.
constexpr uint8_t kAsocwp = 0x04;

uint8_t byte_of(ByteView page, size_t at) { return get_byte(page, at); }

ModePage data_compression_page() {
  // DCE, DCC | DDE | compression and decompression algorithm 01h, the drives' own.
  return ModePage(0x0F, 0, {0xC0, 0x80, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0}, {0x80});
}

ModePage device_configuration_page() {
  return ModePage(
      0x10, 0,
      {0x00, 0x00, 0x00, 0x00, 0x00, 0x00,  // CAP | active partition | ratios | delay
       0x40, 0x00, 0x18,                    // LOIS | gap size | EEG SEW
       0x00, 0x00, 0x00, 0x01, 0x00},       // buffer at EW | compression | WTRE .. SWP
      {0x00, 0x00, 0xFF, 0xFF, 0xFF, 0xFF, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0xFF, kAsocwp});
}

}  // namespace

void TapeUnit::add_mode_pages() {
  ModePages& pages = mode_pages();
  State& s = *state_;
  pages.add(ModePage(0x01, 0, {0x20, 1, 0, 0, 0, 0, 1, 0, 0, 0},  // TB; one retry
                     {0x3F, 0xFF, 0, 0, 0, 0, 0xFF}));
  pages.add(ModePage(0x02, 0, std::vector<uint8_t>(14, 0), {0xFF, 0xFF}));
  pages.add(ModePage(0x0A, 0, {0x00, 0x10, 0, 0x40, 0, 0, 0, 0, 0, 0},  // TAS
                     {0x04}));                                          // D_SENSE
  // Control data protection: logical block protection is off and stays off (SSC-5 8.5.9).
  pages.add(ModePage(0x0A, 0xF0, std::vector<uint8_t>(28, 0)));
  ModePage& compression = pages.add(data_compression_page());
  compression.apply = [this](ModePage&, ByteView page) -> std::optional<Sense> {
    const bool on = (byte_of(page, 2) & 0x80) != 0;
    if (ModePage* configuration = mode_pages().find(0x10)) configuration->set(14, on ? 1 : 0);
    state_->drive->set_compression(on);
    return std::nullopt;
  };
  ModePage& configuration = pages.add(device_configuration_page());
  configuration.refresh = [this](ModePage& page) {
    const auto position = state_->drive->position();
    page.set(3, position.ok() ? static_cast<uint8_t>(position->at.partition) : uint8_t{0});
  };
  configuration.apply = [this](ModePage&, ByteView page) -> std::optional<Sense> {
    take_over_configuration(page);
    if (ModePage* data_compression = mode_pages().find(0x0F)) {
      const bool on = byte_of(page, 14) != 0;
      data_compression->set(
          2, static_cast<uint8_t>((data_compression->at(2) & 0x7FU) | (on ? 0x80U : 0U)));
    }
    return std::nullopt;
  };
  // Device configuration extension: WRITE MODE (append-only), PEWS in megabytes.
  std::vector<uint8_t> extension_mask(28, 0);
  extension_mask[1] = 0xF0;
  extension_mask[2] = extension_mask[3] = 0xFF;
  ModePage& extension =
      pages.add(ModePage(0x10, 0x01, std::vector<uint8_t>(28, 0), std::move(extension_mask)));
  extension.apply = [&s](ModePage&, ByteView page) -> std::optional<Sense> {
    const auto write_mode = static_cast<uint8_t>(byte_of(page, 5) >> 4);
    if (write_mode > 1) return invalid_parameter_field(5, 7);
    s.append_only = write_mode == 1;
    s.drive->set_programmable_early_warning(get_number(page, 6, 2) * kMegabyte);
    return std::nullopt;
  };
  ModePage partitions(0x11, 0, {1, 0, 0x18 | kPofm, 0x03, 0x09, 0, 0, 0, 0, 0},
                      {0, 0xFF, 0xFC, 0, 0x0F, 0, 0xFF, 0xFF, 0xFF, 0xFF});
  partitions.variable_length = true;
  ModePage& medium_partition = pages.add(std::move(partitions));
  medium_partition.refresh = [this](ModePage& page) { refresh_partition_page(page); };
  medium_partition.apply = [this](ModePage&, ByteView page) { return select_partitions(page); };
  pages.add(ModePage(0x1C, 0, {0x08, 0x03, 0, 0, 0, 0, 0, 0, 0, 0},  // DEXCPT, MRIE 3
                     {0x08, 0x0F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}));
  ModePage& medium = pages.add(ModePage(0x1D, 0, std::vector<uint8_t>(30, 0)));
  medium.refresh = [&s](ModePage& page) {  // WORMM and how filemarks and labels may be overwritten
    const bool worm = s.drive->loaded() && s.drive->worm();
    page.set(2, worm ? 0x01 : 0x00);
    page.set(5, worm ? 0x02 : 0x00);  // the strictest there is; labels (byte 4): none
  };
}

// What page 10h says, of the two ways to protect and of compression.
void TapeUnit::take_over_configuration(ByteView page) {
  const bool protect = (byte_of(page, 10) & 0x04) != 0 || (byte_of(page, 15) & kAsocwp) != 0;
  state_->drive->set_software_write_protect(protect);
  state_->drive->set_compression(byte_of(page, 14) != 0);
}

void TapeUnit::end_associated_write_protect() {
  ModePage& configuration = *mode_pages().find(0x10);
  configuration.set(15, static_cast<uint8_t>(configuration.at(15) & ~unsigned{kAsocwp}));
  take_over_configuration(configuration.current);
}

// -- medium partition page (SSC-5 8.5.5)

void TapeUnit::refresh_partition_page(ModePage& page) {
  const uint32_t partitions = state_->drive->partition_count();
  const MediumProfile* medium = state_->drive->medium();
  const bool divisible = medium != nullptr && medium->max_partitions > 1;
  page.set(2, divisible ? 1 : 0);
  if (state_->plan) {  // what MODE SELECT set, until FORMAT MEDIUM
    const State::PartitionPlan& plan = *state_->plan;
    page.set(3, plan.additional);
    page.set(4, static_cast<uint8_t>((plan.fixed ? 0x40U : 0x20U) | (plan.psum * 8U) | kPofm));
    page.set(6, plan.units);
    for (size_t i = 0; i < 2; ++i)
      put_number(page.current, 8 + 2 * i, i < plan.sizes.size() ? plan.sizes[i] : 0, 2);
    return;
  }
  page.set(3, static_cast<uint8_t>(partitions > 0 ? partitions - 1 : 0));
  page.set(4, 0x18 | kPofm);  // sizes in units of 10^9
  page.set(6, 0x09);
  for (uint32_t i = 0; i < 2; ++i) {
    uint64_t size = 0;
    if (i < partitions)
      if (const auto capacity = state_->drive->capacity(i); capacity.ok())
        size = std::min<uint64_t>(capacity->maximum_bytes / kGigabyte, 0xFFFF);
    put_number(page.current, 8 + 2 * i, size, 2);
  }
}

std::optional<Sense> TapeUnit::select_partitions(ByteView page) {
  if (page.size() < 8) return illegal_request(asc::parameter_list_length_error);
  const MediumProfile* medium = state_->drive->medium();
  const uint8_t additional = byte_of(page, 3);
  const uint8_t flags = byte_of(page, 4);
  const uint8_t modes = flags & 0xE0;  // FDP SDP IDP: one of them, or none for one partition
  if (additional > 1 || (additional == 1 && medium != nullptr && medium->max_partitions < 2))
    return invalid_parameter_field(3, 7);
  if (modes != 0 && modes != 0x80 && modes != 0x40 && modes != 0x20)
    return invalid_parameter_field(4, 7);
  State::PartitionPlan plan;
  plan.fixed = modes == 0x80 || modes == 0x40;
  plan.additional = plan.fixed && modes == 0x80 ? uint8_t{1} : additional;
  plan.psum = static_cast<uint8_t>((flags >> 3) & 3U);
  plan.units = static_cast<uint8_t>(byte_of(page, 6) & 0x0FU);
  for (size_t at = 8; at + 2 <= page.size() && plan.sizes.size() <= plan.additional; at += 2)
    plan.sizes.push_back(static_cast<uint16_t>(get_number(page, at, 2)));
  if (modes == 0x20 && plan.sizes.size() < plan.additional + 1U)
    return illegal_request(asc::parameter_list_length_error);
  state_->plan = std::move(plan);
  return std::nullopt;
}

// -- header and block descriptor

ModeHeader TapeUnit::mode_header() {
  ModeHeader header;
  const TapeDrive& drive = *state_->drive;
  header.device_specific = state_->buffered ? 0x10 : 0x00;
  const MediumProfile* medium = drive.medium();
  if (medium == nullptr) return header;
  if (drive.write_protected()) header.device_specific |= 0x80;
  // IBM's medium type tells the generation, HPE's only WORM (01h).
  if (state_->hpe())
    header.medium_type = drive.worm() ? 0x01 : 0x00;
  else
    header.medium_type = drive.worm() ? medium->worm_medium_type : medium->medium_type;
  return header;
}

Buffer TapeUnit::mode_block_descriptor(PageControl control) {
  Buffer out;
  WireWriter w(out);
  const MediumProfile* medium = state_->drive->medium();
  const uint8_t density = medium != nullptr ? medium->density_code : uint8_t{0};
  const uint32_t length = control == PageControl::changeable ? 0xFFFFFF
                          : control == PageControl::defaults ? 0
                                                             : state_->block_length.load();
  w.u8(control == PageControl::changeable ? uint8_t{0} : density).u24(0).u8(0).u24(length);
  return out;
}

std::optional<Sense> TapeUnit::mode_select_header(const ModeHeader& header, ByteView descriptor,
                                                  bool check_only, size_t header_size) {
  const auto buffered = static_cast<uint8_t>((header.device_specific >> 4) & 0x07U);
  if (buffered > 1) return invalid_parameter_field(header_size == 8 ? uint16_t{3} : uint16_t{2}, 6);
  uint64_t length = state_->block_length;
  if (!descriptor.empty()) {
    const auto at = static_cast<uint16_t>(header_size);
    const uint8_t density = get_byte(descriptor, 0);
    const MediumProfile* medium = state_->drive->medium();
    const bool known = density == 0x00 || density == 0x7F ||
                       (medium != nullptr && density == medium->density_code);
    if (!known) return invalid_parameter_field(at, 7);
    length = get_number(descriptor, 5, 3);
    if (length > kMaxBlockBytes) return invalid_parameter_field(static_cast<uint16_t>(at + 5), 7);
  }
  if (check_only) return std::nullopt;
  state_->block_length = static_cast<uint32_t>(length);
  state_->buffered = buffered == 1;
  return std::nullopt;
}

}  // namespace coldshelf::scsi
