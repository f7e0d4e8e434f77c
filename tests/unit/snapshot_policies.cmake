coldshelf_test(unit_retention
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/snapshot_quiesce_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/snapshot_retention_test.cc
  DEPS coldshelf_snapshot coldshelf_test_client
  LABELS unit)
