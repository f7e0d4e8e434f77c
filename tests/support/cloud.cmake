# Peers for tests of the cloud code.
coldshelf_library(test_cloud
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/raw_http_server.cc
  DEPS coldshelf_cloud coldshelf_base)
