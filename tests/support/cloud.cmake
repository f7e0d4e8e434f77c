# Peers for tests of the cloud code.
coldshelf_library(test_cloud
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/raw_http_server.cc
  DEPS coldshelf_cloud coldshelf_base)

# Real S3 servers: Swift, and moto where it is installed.
coldshelf_library(test_s3_server
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/s3_server.cc
  DEPS coldshelf_cloud coldshelf_test_client coldshelf_base)
target_compile_definitions(coldshelf_test_s3_server PRIVATE COLDSHELF_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
