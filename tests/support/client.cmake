# What end-to-end tests and benchmarks share: the libiscsi tape client and child processes.
add_library(coldshelf_test_client STATIC
  ${CMAKE_CURRENT_LIST_DIR}/tape_client.cc ${CMAKE_CURRENT_LIST_DIR}/process.cc)
target_include_directories(coldshelf_test_client PUBLIC ${CMAKE_SOURCE_DIR})
target_link_libraries(coldshelf_test_client PUBLIC coldshelf_base PkgConfig::ISCSI)
