# COLDSHELF_SIM_SEEDS=N runs N seeds instead of the default.
coldshelf_test(sim_volume
  SOURCES
    ${CMAKE_CURRENT_LIST_DIR}/volume_crash_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/volume_sim.cc
  DEPS coldshelf_volume coldshelf_test_sim
  LABELS sim
  TIMEOUT 900)
coldshelf_long_test(sim_volume_long sim_volume COLDSHELF_SIM_SEEDS=2000)
