coldshelf_test(conformance_object_store
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/object_store_test.cc
  DEPS coldshelf_uploader coldshelf_test_sim coldshelf_test_store
  LABELS conformance)

# One program, a ctest entry for each server: they take seconds to start.
add_executable(conformance_object_store_s3 ${CMAKE_CURRENT_LIST_DIR}/object_store_s3_test.cc)
target_link_libraries(conformance_object_store_s3 PRIVATE
  coldshelf_cloud coldshelf_test_s3_server GTest::gtest GTest::gtest_main)
foreach(server Swift SwiftUnsignedPayload SwiftInParts SwiftTls Moto)
  string(REPLACE "Swift" "swift_" name ${server})
  string(TOLOWER ${name} name)
  set(filter "--gtest_filter=${server}/*")
  if(server STREQUAL Moto)
    set(filter "--gtest_filter=Moto*")
  endif()
  add_test(NAME conformance_object_store_${name} COMMAND conformance_object_store_s3 ${filter})
  set_tests_properties(conformance_object_store_${name} PROPERTIES LABELS conformance TIMEOUT 300)
endforeach()
