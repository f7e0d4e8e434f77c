coldshelf_test(unit_base
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/base_calendar_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/base_command_test.cc ${CMAKE_CURRENT_LIST_DIR}/base_test.cc
  DEPS coldshelf_base coldshelf_test_client
  LABELS unit)
