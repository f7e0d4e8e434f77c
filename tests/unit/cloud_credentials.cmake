coldshelf_test(unit_cloud_sigv4
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/cloud_sigv4_test.cc
  DEPS coldshelf_cloud
  LABELS unit)
coldshelf_test(unit_cloud_credentials
  SOURCES
    ${CMAKE_CURRENT_LIST_DIR}/cloud_credentials_http_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/cloud_credentials_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/cloud_url_test.cc
  DEPS coldshelf_cloud coldshelf_test_cloud coldshelf_test_sim coldshelf_test_client
  LABELS unit)
coldshelf_test(unit_kms
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/cloud_kms_test.cc
  DEPS coldshelf_uploader coldshelf_test_sim coldshelf_test_client
  LABELS unit)
