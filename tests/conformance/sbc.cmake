# Disks. iscsi-test-cu, qemu-img and qemu-io come from ./dev's test packages.
coldshelf_test(sbc_conformance_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/sbc_test.cc
          ${CMAKE_CURRENT_LIST_DIR}/sbc_overlap_test.cc
          ${CMAKE_CURRENT_LIST_DIR}/sbc_reservations_test.cc
          ${CMAKE_CURRENT_LIST_DIR}/../support/iscsi_raw_client.cc
  DEPS coldshelf_test_scsi LABELS conformance TIMEOUT 120)
# libiscsi's suite waits a lot by itself: an entry for each run of it.
coldshelf_test(sbc_suite_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/sbc_suite_test.cc
  DEPS coldshelf_test_scsi coldshelf_test_client LABELS conformance TIMEOUT 180
  ARGS --gtest_filter=*EverythingPasses/Of512)
foreach(run "4096:*EverythingPasses/Of4096" "waiting:SbcSuiteWaiting.*"
            "more:*Sanitize*:*Qemu*:SbcSuitePhysicalBlocks.*")
  string(REGEX REPLACE ":.*" "" name ${run})
  string(REGEX REPLACE "^[^:]*:" "" filter ${run})
  add_test(NAME sbc_suite_${name}_test COMMAND sbc_suite_test --gtest_filter=${filter})
  set_tests_properties(sbc_suite_${name}_test PROPERTIES LABELS conformance TIMEOUT 180)
endforeach()
