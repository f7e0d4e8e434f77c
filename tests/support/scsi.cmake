# Initiators and devices for the SCSI conformance suites, direct and over iSCSI.
add_library(coldshelf_test_scsi STATIC
  ${CMAKE_CURRENT_LIST_DIR}/scsi_client.cc ${CMAKE_CURRENT_LIST_DIR}/iscsi_client.cc
  ${CMAKE_CURRENT_LIST_DIR}/tape_rig.cc ${CMAKE_CURRENT_LIST_DIR}/memory_cartridge.cc
  ${CMAKE_CURRENT_LIST_DIR}/file_block_device.cc)
target_include_directories(coldshelf_test_scsi PUBLIC ${CMAKE_SOURCE_DIR})
target_link_libraries(coldshelf_test_scsi PUBLIC coldshelf_iscsi coldshelf_scsi coldshelf_drive
                      coldshelf_base PkgConfig::ISCSI)
