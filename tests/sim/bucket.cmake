coldshelf_test(sim_bucket
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/attach_sim_test.cc ${CMAKE_CURRENT_LIST_DIR}/bucket_sim_test.cc
  DEPS coldshelf_uploader coldshelf_volume coldshelf_cartridge coldshelf_test_sim coldshelf_test_store
  LABELS sim)
coldshelf_test(sim_recover
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/recover_image_sim_test.cc ${CMAKE_CURRENT_LIST_DIR}/recover_sim_test.cc
  DEPS coldshelf_gateway coldshelf_test_client coldshelf_test_sim coldshelf_test_store
  LABELS sim)
coldshelf_long_test(sim_bucket_long sim_bucket COLDSHELF_SIM_SEEDS=1000)
