// How people write elements on the command line.
#include <algorithm>
#include <cctype>
#include <charconv>

#include "tape/library/library_state.h"

namespace coldshelf {

namespace {

std::optional<unsigned> parse_number(std::string_view text, int base) {
  unsigned value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value, base);
  if (error != std::errc() || stop != end || text.empty()) return std::nullopt;
  return value;
}

struct Prefix {
  std::string_view word;
  ElementType type;
};
constexpr Prefix kPrefixes[] = {
    {"import/export", ElementType::import_export},
    {"slot", ElementType::storage},
    {"drive", ElementType::data_transfer},
    {"picker", ElementType::transport},
    {"ie", ElementType::import_export},
};

}  // namespace

std::string_view type_name(ElementType type) {
  switch (type) {
    case ElementType::transport:
      return "picker";
    case ElementType::storage:
      return "slot";
    case ElementType::import_export:
      return "import/export";
    case ElementType::data_transfer:
      return "drive";
  }
  return "element";
}

std::string name_of(const Element& element) {
  return std::string(type_name(element.type)) + " " + std::to_string(element.number);
}

Result<uint16_t> Library::parse_element(std::string_view text) const {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  std::string_view rest = lower;
  const Error malformed(ErrorCode::invalid_argument,
                        "'" + std::string(text) +
                            "' is not an element: write slot12, ie2, drive1 or an address @1001");
  std::optional<unsigned> address;
  if (rest.starts_with("@")) {
    address = parse_number(rest.substr(1), 10);
    if (!address) return malformed;
  } else if (rest.starts_with("0x")) {
    address = parse_number(rest.substr(2), 16);
    if (!address) return malformed;
  }
  if (address) {
    if (*address > 0xFFFF) return malformed;
    ASSIGN_OR_RETURN(const Element found, element(static_cast<uint16_t>(*address)));
    return found.address;
  }
  ElementType type = ElementType::storage;
  for (const Prefix& prefix : kPrefixes) {
    if (!rest.starts_with(prefix.word)) continue;
    type = prefix.type;
    rest.remove_prefix(prefix.word.size());
    while (rest.starts_with(" ")) rest.remove_prefix(1);
    break;
  }
  const auto number = parse_number(rest, 10);
  if (!number) return malformed;
  const std::vector<Element> there = elements(type);
  for (const Element& candidate : there) {
    if (candidate.number == *number) return candidate.address;
  }
  const std::string word(type_name(type));
  return Error(ErrorCode::not_found, "the library has no " + word + " " + std::to_string(*number) +
                                         (there.empty() ? ""
                                                        : "; the last one is " + word + " " +
                                                              std::to_string(there.back().number)));
}

std::string Library::element_name(uint16_t address) const {
  const auto found = element(address);
  return found.ok() ? name_of(*found) : "element " + std::to_string(address);
}

}  // namespace coldshelf
