coldshelf_test(unit_notify
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/cloud_notify_test.cc
  DEPS coldshelf_cloud coldshelf_test_cloud coldshelf_test_client nlohmann_json::nlohmann_json
  LABELS unit)
target_compile_definitions(unit_notify PRIVATE
  COLDSHELF_SMTP_SERVER="${CMAKE_SOURCE_DIR}/tests/support/smtp_server.py")
