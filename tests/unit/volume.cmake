coldshelf_test(unit_volume
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/volume_test.cc ${CMAKE_CURRENT_LIST_DIR}/volume_disk_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/volume_map_test.cc ${CMAKE_CURRENT_LIST_DIR}/volume_maintenance_test.cc
  DEPS coldshelf_volume coldshelf_test_sim
  LABELS unit)
