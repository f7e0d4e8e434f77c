coldshelf_test(gateway_console_test
  SOURCES
    ${CMAKE_CURRENT_LIST_DIR}/gateway/console_api_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/gateway/gateway_fixture.cc
  DEPS coldshelf_gateway coldshelf_test_store
  LABELS unit)
