set(ISCSI_SUPPORT
  ${CMAKE_CURRENT_LIST_DIR}/../support/memory_unit.cc
  ${CMAKE_CURRENT_LIST_DIR}/../support/iscsi_raw_client.cc)
coldshelf_test(iscsi_client_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/iscsi_client_test.cc ${ISCSI_SUPPORT}
  DEPS coldshelf_iscsi PkgConfig::ISCSI LABELS conformance TIMEOUT 120)
foreach(name login data life threads)
  coldshelf_test(iscsi_${name}_test
    SOURCES ${CMAKE_CURRENT_LIST_DIR}/iscsi_${name}_test.cc ${ISCSI_SUPPORT}
    DEPS coldshelf_iscsi LABELS conformance TIMEOUT 120)
endforeach()
