coldshelf_test(unit_cloud
  SOURCES
    ${CMAKE_CURRENT_LIST_DIR}/cloud_s3_client_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/cloud_transport_test.cc
  DEPS coldshelf_cloud coldshelf_test_cloud coldshelf_test_sim
  LABELS unit)
