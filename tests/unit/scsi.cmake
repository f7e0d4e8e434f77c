coldshelf_test(scsi_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/scsi_sense_test.cc
          ${CMAKE_CURRENT_LIST_DIR}/scsi_frameworks_test.cc
  DEPS coldshelf_scsi
  LABELS unit TIMEOUT 60)
