include(${CMAKE_CURRENT_LIST_DIR}/driver.cmake)
coldshelf_fuzz(fuzz_sbc_cdb
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/sbc_cdb_fuzz.cc DEPS coldshelf_scsi RUNS 3000)
