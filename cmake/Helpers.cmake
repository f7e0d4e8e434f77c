# coldshelf_library(NAME SOURCES... [DEPS ...]): a static library of one folder.
function(coldshelf_library name)
  cmake_parse_arguments(A "" "" "SOURCES;DEPS" ${ARGN})
  add_library(coldshelf_${name} STATIC ${A_SOURCES})
  target_include_directories(coldshelf_${name} PUBLIC ${CMAKE_SOURCE_DIR})
  target_link_libraries(coldshelf_${name} PUBLIC ${A_DEPS})
endfunction()

# coldshelf_test(NAME SOURCES... [DEPS ...] [LABELS ...] [TIMEOUT s] [ARGS ...]): a GoogleTest program, one ctest entry.
function(coldshelf_test name)
  cmake_parse_arguments(A "" "TIMEOUT" "SOURCES;DEPS;LABELS;ARGS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  target_link_libraries(${name} PRIVATE ${A_DEPS} GTest::gmock GTest::gtest GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name} ${A_ARGS})
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 300)
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${A_LABELS}" TIMEOUT ${A_TIMEOUT})
endfunction()

# coldshelf_long_test(NAME COMMAND_TARGET ENVIRONMENT): a second, longer run of a test program, for `./dev test --long`; simulations go
# through other seeds every day (tests/support/sim_seeds.h).
function(coldshelf_long_test name target environment)
  add_test(NAME ${name} COMMAND ${target})
  set_tests_properties(${name} PROPERTIES LABELS long TIMEOUT 3600
    ENVIRONMENT "${environment};COLDSHELF_SIM_FROM=today")
endfunction()
