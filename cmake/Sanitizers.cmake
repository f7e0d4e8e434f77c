# Tests under a sanitizer: its options, more time, and reports that nobody overlooks. A report of any program that a test
# starts, a daemon that is killed afterwards included, is a file of build/<preset>/sanitizer-reports named after the test,
# and the test `sanitizer_reports`, which runs after all others, fails when there is one.

# coldshelf_sanitize_tests(): for every test of this directory.
function(coldshelf_sanitize_tests)
  set(reports ${CMAKE_BINARY_DIR}/sanitizer-reports)
  get_property(names DIRECTORY PROPERTY TESTS)
  foreach(name IN LISTS names)
    # GCC's UBSan takes no log_path: it ends the program with a message on standard error. Both abort, so that the fuzz driver
    # says which input it was.
    set(log "log_path=${reports}/${name}")
    set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT
      "ASAN_OPTIONS=${log}:abort_on_error=1:detect_stack_use_after_return=1:strict_string_checks=1:check_initialization_order=1"
      "UBSAN_OPTIONS=print_stacktrace=1:abort_on_error=1"
      "TSAN_OPTIONS=${log}:second_deadlock_stack=1:history_size=4")
    set_property(TEST ${name} APPEND PROPERTY FIXTURES_REQUIRED sanitizer_reports)
    # Instrumented programs are several times slower.
    get_property(timeout_seconds TEST ${name} PROPERTY TIMEOUT)
    if(timeout_seconds)
      math(EXPR timeout_seconds "${timeout_seconds} * 4")
      set_property(TEST ${name} PROPERTY TIMEOUT ${timeout_seconds})
    endif()
  endforeach()
  foreach(step begin reports)
    add_test(NAME sanitizer_${step} COMMAND
      ${CMAKE_COMMAND} -DSTEP=${step} -DREPORTS=${reports} -P ${CMAKE_SOURCE_DIR}/cmake/sanitizer_reports.cmake)
  endforeach()
  set_tests_properties(sanitizer_begin PROPERTIES FIXTURES_SETUP sanitizer_reports)
  set_tests_properties(sanitizer_reports PROPERTIES FIXTURES_CLEANUP sanitizer_reports)
endfunction()
