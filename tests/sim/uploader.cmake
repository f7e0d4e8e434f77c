# COLDSHELF_SIM_SEEDS=N runs N seeds instead of the default.
coldshelf_test(sim_uploader
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/uploader_sim_test.cc
  DEPS coldshelf_uploader coldshelf_cartridge coldshelf_test_sim coldshelf_test_store
  LABELS sim
  TIMEOUT 900)
coldshelf_long_test(sim_uploader_long sim_uploader COLDSHELF_SIM_SEEDS=2000)
