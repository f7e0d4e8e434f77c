coldshelf_test(conformance_object_store
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/object_store_test.cc
  DEPS coldshelf_uploader coldshelf_test_sim coldshelf_test_store
  LABELS conformance)
