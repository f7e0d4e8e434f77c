#pragma once

namespace coldshelf {
inline constexpr const char* kVersion = COLDSHELF_VERSION;  // from CMake's project()
}  // namespace coldshelf
