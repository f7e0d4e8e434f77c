coldshelf_test(drive_sim
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/drive_sim.cc
          ${CMAKE_CURRENT_LIST_DIR}/../support/memory_cartridge.cc
          ${CMAKE_CURRENT_LIST_DIR}/../support/tape_model.cc
  DEPS coldshelf_drive
  LABELS sim)
coldshelf_long_test(drive_sim_long drive_sim COLDSHELF_SIM_SEEDS=1000)
