# COLDSHELF_SIM_SEEDS=N runs N seeds instead of the default.
coldshelf_test(sim_snapshot
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/snapshot_sim_test.cc
  DEPS coldshelf_snapshot coldshelf_test_ebs coldshelf_test_sim
  LABELS sim
  TIMEOUT 900)
coldshelf_long_test(sim_snapshot_long sim_snapshot COLDSHELF_SIM_SEEDS=200)
