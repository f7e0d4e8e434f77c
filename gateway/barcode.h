// Barcodes: the rule, and counting them up.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/result.h"

namespace coldshelf {

constexpr size_t kMinBarcodeLength = 5;
constexpr size_t kMaxBarcodeLength = 16;

// 5 to 16 of A-Z and 0-9, as AWS has it (and what a label printer makes).
Status check_barcode(std::string_view barcode);
// `count` barcodes from `first` on: its last run of digits, before a medium suffix such as "L8",
// is counted up and keeps its width. out_of_range when the digits do not suffice.
Result<std::vector<std::string>> count_barcodes(std::string_view first, unsigned count);

// AWS's way of new barcodes: a prefix of 1 to 4 of A-Z, and 8 random hexadecimal digits.
Status check_barcode_prefix(std::string_view prefix);
std::string random_barcode(std::string_view prefix, Random& random);

}  // namespace coldshelf
