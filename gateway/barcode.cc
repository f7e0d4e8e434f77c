#include "gateway/barcode.h"

#include <algorithm>
#include <charconv>

#include "tape/drive/media.h"

namespace coldshelf {

Status check_barcode(std::string_view barcode) {
  if (barcode.size() < kMinBarcodeLength || barcode.size() > kMaxBarcodeLength) {
    return Error(ErrorCode::invalid_argument, "barcode '" + std::string(barcode) + "' has " +
                                                  std::to_string(barcode.size()) +
                                                  " characters; it must have 5 to 16");
  }
  const auto odd = std::find_if(barcode.begin(), barcode.end(), [](char c) {
    return !((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'));
  });
  if (odd == barcode.end()) return {};
  return Error(ErrorCode::invalid_argument, "barcode '" + std::string(barcode) + "' holds '" +
                                                std::string(1, *odd) +
                                                "'; only A-Z and 0-9 are allowed");
}

Result<std::vector<std::string>> count_barcodes(std::string_view first, unsigned count) {
  TRY(check_barcode(first));
  if (count <= 1) return std::vector<std::string>{std::string(first)};
  const MediumProfile* medium = medium_of_barcode(first);
  const size_t suffix = medium != nullptr ? medium->barcode_suffix.size() : 0;
  size_t end = first.size() - suffix;
  while (end > 0 && (first[end - 1] < '0' || first[end - 1] > '9')) --end;
  size_t begin = end;
  while (begin > 0 && first[begin - 1] >= '0' && first[begin - 1] <= '9') --begin;
  if (begin == end) {
    return Error(ErrorCode::invalid_argument, "barcode '" + std::string(first) +
                                                  "' has no number to count up; write it like " +
                                                  "ABC001L8");
  }
  uint64_t number = 0;
  std::from_chars(first.data() + begin, first.data() + end, number);
  std::vector<std::string> out;
  for (unsigned i = 0; i < count; ++i) {
    const std::string digits = std::to_string(number + i);
    const size_t width = end - begin;
    if (digits.size() > width) {
      return Error(ErrorCode::out_of_range, "counting " + std::to_string(count) + " up from '" +
                                                std::string(first) + "' runs out of digits");
    }
    out.push_back(std::string(first.substr(0, begin)) + std::string(width - digits.size(), '0') +
                  digits + std::string(first.substr(end)));
  }
  return out;
}

Status check_barcode_prefix(std::string_view prefix) {
  if (!prefix.empty() && prefix.size() <= 4 &&
      prefix.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ") == std::string_view::npos) {
    return {};
  }
  return Error(ErrorCode::invalid_argument, "TapeBarcodePrefix must be 1 to 4 of A-Z");
}

std::string random_barcode(std::string_view prefix, Random& random) {
  Buffer raw(4);
  random.fill(raw);
  std::string digits = to_hex(raw);
  for (char& c : digits) c = static_cast<char>(c >= 'a' ? c - 'a' + 'A' : c);
  return std::string(prefix) + digits;
}

}  // namespace coldshelf
