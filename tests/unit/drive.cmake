coldshelf_test(drive_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/drive_test.cc
          ${CMAKE_CURRENT_LIST_DIR}/drive_io_test.cc
          ${CMAKE_CURRENT_LIST_DIR}/drive_mam_test.cc
          ${CMAKE_CURRENT_LIST_DIR}/../support/memory_cartridge.cc
  DEPS coldshelf_drive
  LABELS unit)
