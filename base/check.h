// CHECK(condition): an assertion that stays on in release builds.
#pragma once

namespace coldshelf {
[[noreturn]] void check_failed(const char* condition, const char* file, int line);
}

#define CHECK(condition)                                         \
  do {                                                           \
    if (!(condition)) [[unlikely]]                               \
      ::coldshelf::check_failed(#condition, __FILE__, __LINE__); \
  } while (false)
