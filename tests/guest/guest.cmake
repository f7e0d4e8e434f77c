# A real Linux initiator: `./dev test --guest`.
if(TARGET coldshelfd)
  add_test(NAME guest_tape
    COMMAND ${CMAKE_CURRENT_LIST_DIR}/run.sh $<TARGET_FILE_DIR:coldshelfd>)
  set_tests_properties(guest_tape PROPERTIES LABELS guest TIMEOUT 1500 RUN_SERIAL TRUE)
endif()
