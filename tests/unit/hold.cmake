# What must not go: legal holds, WORM, retention.
coldshelf_test(hold_test
  SOURCES
    ${CMAKE_CURRENT_LIST_DIR}/gateway/hold_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/gateway/gateway_fixture.cc
  DEPS coldshelf_gateway coldshelf_test_client coldshelf_test_store
  LABELS unit)
