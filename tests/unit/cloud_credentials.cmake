coldshelf_test(unit_cloud_sigv4
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/cloud_sigv4_test.cc
  DEPS coldshelf_cloud
  LABELS unit)
