coldshelf_test(unit_uploader
  SOURCES
    ${CMAKE_CURRENT_LIST_DIR}/uploader_cost_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/uploader_retrieve_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/uploader_ownership_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/uploader_set_back_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/uploader_shelf_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/uploader_buffer_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/uploader_store_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/uploader_throttle_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/uploader_transfer_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/uploader_governor_test.cc
  DEPS coldshelf_uploader coldshelf_cartridge coldshelf_test_sim coldshelf_test_store
    coldshelf_test_client
  LABELS unit)
coldshelf_test(unit_image
  SOURCES
    ${CMAKE_CURRENT_LIST_DIR}/uploader_image_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/uploader_attach_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/uploader_fence_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/uploader_range_test.cc
  DEPS coldshelf_uploader coldshelf_volume coldshelf_cartridge coldshelf_test_sim
    coldshelf_test_store
  LABELS unit)
