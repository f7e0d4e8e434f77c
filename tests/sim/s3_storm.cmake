coldshelf_test(sim_s3_storm
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/s3_storm_test.cc
  DEPS coldshelf_uploader coldshelf_cartridge coldshelf_test_imposter coldshelf_test_client
  LABELS sim)
