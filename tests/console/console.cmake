# The web console in a real browser. Chromium and Node.js come with ./dev's test packages, Playwright and
# axe-core from the npm registry, as package-lock.json says.
set(console_modules ${CMAKE_BINARY_DIR}/console-modules)
add_test(NAME console_modules COMMAND node ${CMAKE_CURRENT_LIST_DIR}/install.mjs ${console_modules})
set_tests_properties(console_modules PROPERTIES LABELS console TIMEOUT 300 FIXTURES_SETUP console_modules)
add_test(NAME console_browser
  COMMAND node --test --test-concurrency=1 ${CMAKE_CURRENT_LIST_DIR}/console_test.mjs)
set_tests_properties(console_browser PROPERTIES
  LABELS console TIMEOUT 900 FIXTURES_REQUIRED console_modules RUN_SERIAL TRUE
  ENVIRONMENT "COLDSHELF_BIN=${CMAKE_RUNTIME_OUTPUT_DIRECTORY};COLDSHELF_CONSOLE_MODULES=${console_modules};COLDSHELF_CONSOLE_SHOTS=${CMAKE_BINARY_DIR}/console-shots")
add_test(NAME console_rules COMMAND node ${CMAKE_CURRENT_LIST_DIR}/rules.mjs ${CMAKE_SOURCE_DIR}/gateway/console)
set_tests_properties(console_rules PROPERTIES LABELS console)
