# The S3 client against the imposter.
coldshelf_test(conformance_object_store_imposter
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/object_store_imposter_test.cc
  DEPS coldshelf_uploader coldshelf_test_imposter
  LABELS conformance)

# One program, two ctest entries: most of its time is waiting for what hangs.
coldshelf_test(conformance_s3_faults
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/s3_fault_test.cc
  DEPS coldshelf_cloud coldshelf_test_imposter
  ARGS --gtest_filter=-*Lasting*
  LABELS conformance)
add_test(NAME conformance_s3_lasting_faults
  COMMAND conformance_s3_faults --gtest_filter=*Lasting*)
set_tests_properties(conformance_s3_lasting_faults PROPERTIES LABELS conformance TIMEOUT 300)
