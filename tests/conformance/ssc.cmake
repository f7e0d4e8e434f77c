coldshelf_test(ssc_conformance_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/ssc_read_write_test.cc
          ${CMAKE_CURRENT_LIST_DIR}/ssc_position_test.cc
          ${CMAKE_CURRENT_LIST_DIR}/ssc_mode_test.cc
          ${CMAKE_CURRENT_LIST_DIR}/ssc_log_test.cc
          ${CMAKE_CURRENT_LIST_DIR}/ssc_medium_test.cc
          ${CMAKE_CURRENT_LIST_DIR}/spc_test.cc
          ${CMAKE_CURRENT_LIST_DIR}/spc_reservations_test.cc
  DEPS coldshelf_test_scsi
  LABELS conformance TIMEOUT 300)
