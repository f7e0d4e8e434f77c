include(${CMAKE_CURRENT_LIST_DIR}/driver.cmake)
coldshelf_fuzz(iscsi_login_fuzz
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/iscsi_login_fuzz.cc DEPS coldshelf_iscsi RUNS 50000)
coldshelf_fuzz(iscsi_pdu_fuzz
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/iscsi_pdu_fuzz.cc
    ${CMAKE_CURRENT_LIST_DIR}/../support/memory_unit.cc
    ${CMAKE_CURRENT_LIST_DIR}/../support/iscsi_raw_client.cc
  DEPS coldshelf_iscsi RUNS 5000)
