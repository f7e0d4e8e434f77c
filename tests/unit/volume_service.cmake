coldshelf_test(unit_volume_service
  SOURCES
    ${CMAKE_CURRENT_LIST_DIR}/gateway/old_archives_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/gateway/volume_service_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/gateway/volume_transfers_test.cc
  DEPS coldshelf_gateway coldshelf_test_sim
  LABELS unit)
