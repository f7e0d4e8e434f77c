coldshelf_test(iscsi_unit_test
  SOURCES
    ${CMAKE_CURRENT_LIST_DIR}/iscsi_lu_queue_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/iscsi_session_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/iscsi_test.cc
  DEPS coldshelf_iscsi LABELS unit TIMEOUT 60)
