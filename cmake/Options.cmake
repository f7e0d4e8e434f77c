# Compiler settings shared by every target, and the switches the presets set.
option(COLDSHELF_ASAN "AddressSanitizer and UndefinedBehaviorSanitizer" OFF)
option(COLDSHELF_TSAN "ThreadSanitizer" OFF)

add_compile_options(-Wall -Wextra -Wconversion -Werror -fno-omit-frame-pointer)

if(COLDSHELF_ASAN)
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=undefined)
  add_link_options(-fsanitize=address,undefined)
endif()
if(COLDSHELF_TSAN)
  # GCC's own atomics and condition variables are known to the runtime; fences are not.
  add_compile_options(-fsanitize=thread)
  add_link_options(-fsanitize=thread)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-Wno-tsan)
  endif()
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND (COLDSHELF_ASAN OR COLDSHELF_TSAN))
  # GCC 12 reports false positives of this kind under instrumentation.
  add_compile_options(-Wno-maybe-uninitialized)
endif()

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()
