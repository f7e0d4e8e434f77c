coldshelf_test(unit_cloud
  SOURCES
    ${CMAKE_CURRENT_LIST_DIR}/cloud_transport_test.cc
  DEPS coldshelf_cloud coldshelf_test_cloud
  LABELS unit)
