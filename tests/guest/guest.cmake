# A real Linux initiator: `./dev test --guest`.
if(TARGET coldshelfd)
  add_test(NAME guest_tape
    COMMAND ${CMAKE_CURRENT_LIST_DIR}/run.sh $<TARGET_FILE_DIR:coldshelfd>)
  add_test(NAME guest_disk
    COMMAND ${CMAKE_CURRENT_LIST_DIR}/run.sh $<TARGET_FILE_DIR:coldshelfd> ${CMAKE_CURRENT_LIST_DIR}/disk.sh)
  add_test(NAME guest_backup
    COMMAND ${CMAKE_CURRENT_LIST_DIR}/run.sh $<TARGET_FILE_DIR:coldshelfd> ${CMAKE_CURRENT_LIST_DIR}/backup.sh)
  set_tests_properties(guest_tape guest_disk guest_backup PROPERTIES LABELS guest TIMEOUT 1500 RUN_SERIAL TRUE)
  set_tests_properties(guest_backup PROPERTIES TIMEOUT 2400)
endif()
