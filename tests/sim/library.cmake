coldshelf_test(library_sim_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/library_sim_test.cc
  DEPS coldshelf_library coldshelf_test_sim
  LABELS sim TIMEOUT 300)
coldshelf_long_test(library_sim_test_long library_sim_test COLDSHELF_SIM_SEEDS=1500)
