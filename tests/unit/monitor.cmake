# Metrics, alarms and what they are made of.
coldshelf_test(monitor_test
  SOURCES
    ${CMAKE_CURRENT_LIST_DIR}/monitor/alarms_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/monitor/host_load_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/monitor/metered_store_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/monitor/metrics_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/monitor/monitor_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/monitor/service_manager_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/gateway/gateway_fixture.cc
  DEPS coldshelf_gateway coldshelf_test_client coldshelf_test_store
  LABELS unit)
