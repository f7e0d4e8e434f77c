coldshelf_test(unit_s3_imposter
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/s3_imposter_test.cc
  DEPS coldshelf_cloud coldshelf_test_imposter coldshelf_test_client coldshelf_test_sim
  LABELS unit)
