coldshelf_test(unit_catalog
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/catalog_test.cc
  DEPS coldshelf_catalog SQLite::SQLite3
  LABELS unit)
