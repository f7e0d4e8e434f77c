coldshelf_test(unit_cartridge
  SOURCES
    ${CMAKE_CURRENT_LIST_DIR}/cartridge_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/cartridge_damage_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/cartridge_state_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/sim_file_system_test.cc
  DEPS coldshelf_cartridge coldshelf_test_sim
  LABELS unit)
