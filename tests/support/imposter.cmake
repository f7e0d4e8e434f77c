# What servers of tests share: requests, signatures.
coldshelf_library(test_http
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/imposter/http_message.cc ${CMAKE_CURRENT_LIST_DIR}/imposter/sigv4.cc
  DEPS coldshelf_base Boost::headers OpenSSL::Crypto)

# An S3 server of ours for tests.
coldshelf_library(test_imposter
  SOURCES
    ${CMAKE_CURRENT_LIST_DIR}/imposter/archive.cc
    ${CMAKE_CURRENT_LIST_DIR}/imposter/checks.cc
    ${CMAKE_CURRENT_LIST_DIR}/imposter/faults.cc
    ${CMAKE_CURRENT_LIST_DIR}/imposter/listing.cc
    ${CMAKE_CURRENT_LIST_DIR}/imposter/message.cc
    ${CMAKE_CURRENT_LIST_DIR}/imposter/multipart.cc
    ${CMAKE_CURRENT_LIST_DIR}/imposter/objects.cc
    ${CMAKE_CURRENT_LIST_DIR}/imposter/service.cc
    ${CMAKE_CURRENT_LIST_DIR}/imposter/wire.cc
    ${CMAKE_CURRENT_LIST_DIR}/s3_imposter.cc
  DEPS coldshelf_test_http coldshelf_base Boost::headers OpenSSL::Crypto pugixml::pugixml Threads::Threads)

add_executable(coldshelf_s3_imposter ${CMAKE_CURRENT_LIST_DIR}/imposter_main.cc)
target_link_libraries(coldshelf_s3_imposter PRIVATE coldshelf_test_imposter CLI11::CLI11)
