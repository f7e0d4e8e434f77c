// READ ELEMENT STATUS parameter data (SMC-3 6.11): header, one page for each element type, one
// descriptor for each element.
#pragma once

#include <vector>

#include "base/bytes.h"
#include "tape/library/library.h"
#include "target/scsi/sense.h"

namespace coldshelf::scsi {

struct ElementStatus {
  Element element;
  std::optional<AdditionalSense> exception;  // EXCEPT bit and why
};

struct ElementStatusRequest {
  uint8_t type = 0;            // ELEMENT TYPE CODE; 0: all
  uint16_t first_address = 0;  // STARTING ELEMENT ADDRESS
  uint16_t max_elements = 0xFFFF;
  bool volume_tags = false;         // VOLTAG
  bool device_identifiers = false;  // DVCID
};

// The elements a request is about, ascending by type page and address.
std::vector<ElementStatus> select_elements(const std::vector<ElementStatus>& all,
                                           const ElementStatusRequest& request);

// The parameter data for `selected`. Counts in headers are those of the whole report; only complete
// headers and descriptors are in the data, up to `allocation_length` bytes. `header_byte_4` is the
// SEND ACTION CODE of REQUEST VOLUME ELEMENT ADDRESS, else 0.
Buffer encode_element_status(const std::vector<ElementStatus>& selected,
                             const ElementStatusRequest& request, size_t allocation_length,
                             uint8_t header_byte_4 = 0);

// SEND VOLUME TAG template (SMC-3 6.13): `?` stands for one character, `*` for any.
bool matches_volume_template(std::string_view pattern, std::string_view barcode);

}  // namespace coldshelf::scsi
