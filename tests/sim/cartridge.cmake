# COLDSHELF_SIM_SEEDS=N runs N seeds instead of the default.
coldshelf_test(sim_cartridge
  SOURCES
    ${CMAKE_CURRENT_LIST_DIR}/cartridge_crash_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/cartridge_sim.cc
  DEPS coldshelf_cartridge coldshelf_test_sim
  LABELS sim
  TIMEOUT 900)
coldshelf_long_test(sim_cartridge_long sim_cartridge COLDSHELF_SIM_SEEDS=1500)
