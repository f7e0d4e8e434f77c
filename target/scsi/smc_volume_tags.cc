// SEND VOLUME TAG and REQUEST VOLUME ELEMENT ADDRESS (SMC-3 6.13, 6.12): finding cartridges by
// barcode.
#include <algorithm>
#include <set>

#include "target/scsi/changer_unit.h"
#include "target/scsi/wire.h"

namespace coldshelf::scsi {

namespace {

constexpr size_t kParameterListBytes = 40;
constexpr size_t kTemplateBytes = 32;

// SEND ACTION CODE, SMC-3 table 46: 0h all, 1h primary, 2h alternate tags; 4h to 6h the same
// without looking at volume sequence numbers. 8h and up change volume tags; a barcode is printed on
// its cartridge and cannot be changed.
bool is_search(uint8_t action) { return action <= 2 || (action >= 4 && action <= 6); }
bool searches_primary(uint8_t action) { return action != 2 && action != 6; }
bool uses_sequence(uint8_t action) { return action < 4; }

std::string template_of(ByteView parameters) {
  std::string_view text = as_text(parameters.first(kTemplateBytes));
  text = text.substr(0, text.find('\0'));
  while (text.ends_with(' ')) text.remove_suffix(1);
  return std::string(text);
}

}  // namespace

bool matches_volume_template(std::string_view pattern, std::string_view barcode) {
  // Iterative matching with one point to come back to: linear in practice, bounded by the product
  // of the two lengths.
  size_t p = 0;
  size_t b = 0;
  std::optional<size_t> star;
  size_t resume = 0;
  while (b < barcode.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = b;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == barcode[b])) {
      ++p;
      ++b;
    } else if (star) {
      p = *star + 1;
      b = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

Reply ChangerUnit::send_volume_tag(const Command& command) {
  const ByteView cdb(command.cdb);
  const uint8_t type = get_byte(cdb, 1) & 0x0F;
  const uint8_t action = get_byte(cdb, 5) & 0x1F;
  const uint64_t length = get_number(cdb, 8, 2);
  if (type > 4) return check(invalid_cdb_field(1, 3));
  if (!is_search(action)) return check(invalid_cdb_field(5, 4));
  if (length == 0) return good();
  if (length < kParameterListBytes || command.data_out.size() < kParameterListBytes) {
    return check(illegal_request(asc::parameter_list_length_error));
  }
  ElementStatusRequest request;
  request.type = type;
  request.first_address = static_cast<uint16_t>(get_number(cdb, 2, 2));
  const std::string pattern = template_of(command.data_out);
  // Every volume sequence number here is 0.
  const bool in_sequence = !uses_sequence(action) || get_number(command.data_out, 34, 2) == 0;
  VolumeSearch search;
  search.action = action;
  for (const ElementStatus& status : select_elements(statuses(library_.elements()), request)) {
    const auto& cartridge = status.element.cartridge;
    if (!cartridge || !in_sequence || !searches_primary(action)) continue;
    if (matches_volume_template(pattern, cartridge->barcode)) {
      search.addresses.push_back(status.element.address);
    }
  }
  const std::lock_guard lock(searches_mutex_);
  searches_[command.nexus->id] = std::move(search);
  return good();
}

Reply ChangerUnit::request_volume_element_address(const Command& command) {
  const ByteView cdb(command.cdb);
  ElementStatusRequest request;
  request.type = get_byte(cdb, 1) & 0x0F;
  request.volume_tags = (get_byte(cdb, 1) & 0x10) != 0;
  request.first_address = static_cast<uint16_t>(get_number(cdb, 2, 2));
  request.max_elements = static_cast<uint16_t>(get_number(cdb, 4, 2));
  const uint64_t allocation_length = get_number(cdb, 7, 3);
  if (request.type > 4) return check(invalid_cdb_field(1, 3));
  VolumeSearch search;
  {
    const std::lock_guard lock(searches_mutex_);
    const auto found = searches_.find(command.nexus->id);
    // SMC-3 6.12: nothing to report without a SEND VOLUME TAG before.
    if (found == searches_.end()) return check(illegal_request(asc::command_sequence_error));
    search = found->second;
  }
  const std::set<uint16_t> wanted(search.addresses.begin(), search.addresses.end());
  std::vector<Element> matching;
  for (const Element& element : library_.elements()) {
    if (wanted.contains(element.address)) matching.push_back(element);
  }
  const auto selected = select_elements(statuses(matching), request);
  return data(encode_element_status(selected, request, static_cast<size_t>(allocation_length),
                                    search.action),
              allocation_length);
}

}  // namespace coldshelf::scsi
