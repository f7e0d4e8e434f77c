coldshelf_test(smc_conformance_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/smc_movement_test.cc
          ${CMAKE_CURRENT_LIST_DIR}/smc_status_test.cc
          ${CMAKE_CURRENT_LIST_DIR}/smc_device_test.cc
          ${CMAKE_CURRENT_LIST_DIR}/smc_volume_tag_test.cc
  DEPS coldshelf_test_scsi coldshelf_library
  LABELS conformance TIMEOUT 120)
