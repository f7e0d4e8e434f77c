// What a fuzz target consists of: these two functions. See driver.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/bytes.h"

// Feeds one input to the code under test. Any input is allowed; what must not happen is a crash, a
// hang, a sanitizer report, a failed CHECK, or memory beyond what the code promises.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

// Well-formed inputs that mutations start from, besides the files named on the command line.
std::vector<coldshelf::Buffer> fuzz_seeds();
