coldshelf_test(gateway_test
  SOURCES
    ${CMAKE_CURRENT_LIST_DIR}/gateway/api_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/gateway/audit_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/gateway/command_line_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/gateway/command_reference_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/gateway/config_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/gateway/front_door_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/gateway/gateway_fixture.cc
    ${CMAKE_CURRENT_LIST_DIR}/gateway/identity_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/gateway/key_rotation_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/gateway/secrets_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/gateway/shelf_api_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/gateway/store_factory_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/gateway/tape_service_test.cc
  DEPS coldshelf_cli coldshelf_test_client coldshelf_test_sim coldshelf_test_store
  LABELS unit)
target_compile_definitions(gateway_test PRIVATE
  COLDSHELF_EXAMPLE_CONFIG="${CMAKE_SOURCE_DIR}/deploy/coldshelf.toml.example")
