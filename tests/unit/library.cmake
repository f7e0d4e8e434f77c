coldshelf_test(library_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/library_test.cc ${CMAKE_CURRENT_LIST_DIR}/library_inventory_test.cc
  DEPS coldshelf_library
  LABELS unit TIMEOUT 60)
