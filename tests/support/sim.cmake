# The simulated disk and what goes with it, for tests that must survive a power loss.
coldshelf_library(test_sim
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/sim_file_system.cc
  DEPS coldshelf_base)
