# Stores that fail, clocks that jump: for tests of whatever talks to an object store.
coldshelf_library(test_store
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/faulty_store.cc
  DEPS coldshelf_uploader coldshelf_base)
