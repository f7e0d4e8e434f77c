# COLDSHELF_SIM_SEEDS=N runs N seeds instead of the default.
coldshelf_test(sim_image
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/image_sim_test.cc
  DEPS coldshelf_uploader coldshelf_volume coldshelf_cartridge coldshelf_test_sim
    coldshelf_test_store
  LABELS sim
  TIMEOUT 900)
coldshelf_long_test(sim_image_long sim_image COLDSHELF_SIM_SEEDS=1500)
