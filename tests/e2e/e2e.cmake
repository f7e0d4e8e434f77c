# End-to-end: the real daemon and command line, with user-space clients.
add_executable(coldshelf_tapecopy ${CMAKE_CURRENT_LIST_DIR}/tapecopy.cc)
target_link_libraries(coldshelf_tapecopy PRIVATE coldshelf_test_client CLI11::CLI11)

add_test(NAME e2e_demo
  COMMAND ${CMAKE_SOURCE_DIR}/deploy/demo.sh ${CMAKE_RUNTIME_OUTPUT_DIRECTORY} --source ${CMAKE_SOURCE_DIR}/tape)
set_tests_properties(e2e_demo PROPERTIES LABELS e2e TIMEOUT 120)

add_library(coldshelf_test_gateway STATIC
  ${CMAKE_CURRENT_LIST_DIR}/crash_rounds.cc ${CMAKE_CURRENT_LIST_DIR}/gateway.cc
  ${CMAKE_CURRENT_LIST_DIR}/main.cc)
target_link_libraries(coldshelf_test_gateway PUBLIC
  coldshelf_test_client nlohmann_json::nlohmann_json GTest::gtest)

# coldshelf_e2e_test(NAME): a program that starts coldshelfd, so both must be built first.
function(coldshelf_e2e_test name)
  add_executable(e2e_${name} ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/${name}_test.cc)
  target_link_libraries(e2e_${name} PRIVATE coldshelf_test_gateway)
  add_test(NAME e2e_${name} COMMAND e2e_${name})
  set_tests_properties(e2e_${name} PROPERTIES LABELS e2e TIMEOUT 300)
endfunction()
coldshelf_e2e_test(crash)
coldshelf_e2e_test(bad_input)
coldshelf_e2e_test(keys)
coldshelf_e2e_test(start)
coldshelf_e2e_test(buffer)
coldshelf_e2e_test(lifecycle)
coldshelf_e2e_test(shelf)
coldshelf_e2e_test(s3)
target_link_libraries(e2e_s3 PRIVATE coldshelf_test_s3_server)
coldshelf_e2e_test(sharing)
coldshelf_long_test(e2e_crash_long e2e_crash COLDSHELF_CRASH_ROUNDS=100)
coldshelf_e2e_test(s3_storm)
target_link_libraries(e2e_s3_storm PRIVATE coldshelf_test_imposter)
coldshelf_long_test(e2e_s3_storm_long e2e_s3_storm COLDSHELF_STORM_MIB=10240)
coldshelf_e2e_test(silent_store)
target_link_libraries(e2e_silent_store PRIVATE coldshelf_test_imposter)

# Disks. iscsi-test-cu, qemu-img and qemu-io come from ./dev's test packages.
foreach(name volume volume_crash volume_sharing volume_suite)
  coldshelf_e2e_test(${name})
  target_link_libraries(e2e_${name} PRIVATE coldshelf_test_scsi)
endforeach()
coldshelf_long_test(e2e_volume_crash_long e2e_volume_crash COLDSHELF_CRASH_ROUNDS=100)
coldshelf_e2e_test(api)
target_link_libraries(e2e_api PRIVATE coldshelf_test_scsi)
target_compile_definitions(e2e_api PRIVATE COLDSHELF_SOURCE="${CMAKE_SOURCE_DIR}")

# EBS snapshots, against AWS's stand-in.
foreach(name snapshot snapshot_archive)
  coldshelf_e2e_test(${name})
  target_link_libraries(e2e_${name} PRIVATE coldshelf_test_ebs coldshelf_test_scsi)
endforeach()
set_tests_properties(e2e_snapshot_archive PROPERTIES TIMEOUT 600)
