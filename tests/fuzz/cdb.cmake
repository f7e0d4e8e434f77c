include(${CMAKE_CURRENT_LIST_DIR}/driver.cmake)
coldshelf_fuzz(fuzz_cdb
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/cdb_fuzz.cc
          ${CMAKE_CURRENT_LIST_DIR}/../support/memory_cartridge.cc
  DEPS coldshelf_scsi coldshelf_drive
  RUNS 20000)
