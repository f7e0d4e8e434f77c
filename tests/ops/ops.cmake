# What operators rely on beside the programs themselves: metrics, rules, dashboard, package, unit.
find_program(PROMTOOL_PROGRAM promtool)
if(PROMTOOL_PROGRAM)
  add_test(NAME ops_metrics COMMAND python3 ${CMAKE_CURRENT_LIST_DIR}/metrics_test.py
           ${CMAKE_RUNTIME_OUTPUT_DIRECTORY} ${CMAKE_SOURCE_DIR})
  set_tests_properties(ops_metrics PROPERTIES LABELS e2e TIMEOUT 180)
endif()
add_test(NAME ops_package COMMAND python3 ${CMAKE_CURRENT_LIST_DIR}/package_test.py
         ${CMAKE_BINARY_DIR} ${CMAKE_SOURCE_DIR})
set_tests_properties(ops_package PROPERTIES LABELS e2e TIMEOUT 600)
find_program(ZSH_PROGRAM zsh)
find_program(FISH_PROGRAM fish)
if(ZSH_PROGRAM AND FISH_PROGRAM)
  add_test(NAME ops_completion COMMAND python3 ${CMAKE_CURRENT_LIST_DIR}/completion_test.py
           ${CMAKE_RUNTIME_OUTPUT_DIRECTORY})
  set_tests_properties(ops_completion PROPERTIES LABELS e2e TIMEOUT 300)
endif()
add_test(NAME ops_setup COMMAND python3 ${CMAKE_CURRENT_LIST_DIR}/setup_test.py
         ${CMAKE_RUNTIME_OUTPUT_DIRECTORY})
set_tests_properties(ops_setup PROPERTIES LABELS e2e TIMEOUT 180)
add_test(NAME ops_upgrade COMMAND python3 ${CMAKE_CURRENT_LIST_DIR}/upgrade_test.py
         ${CMAKE_RUNTIME_OUTPUT_DIRECTORY} ${CMAKE_SOURCE_DIR})
set_tests_properties(ops_upgrade PROPERTIES LABELS "e2e;golden" TIMEOUT 180)
add_test(NAME ops_alarms COMMAND python3 ${CMAKE_CURRENT_LIST_DIR}/alarm_test.py
         ${CMAKE_RUNTIME_OUTPUT_DIRECTORY})
set_tests_properties(ops_alarms PROPERTIES LABELS e2e TIMEOUT 240)
add_test(NAME ops_settings COMMAND python3 ${CMAKE_CURRENT_LIST_DIR}/settings_test.py
         ${CMAKE_RUNTIME_OUTPUT_DIRECTORY})
set_tests_properties(ops_settings PROPERTIES LABELS e2e TIMEOUT 180)
