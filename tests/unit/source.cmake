# Checks of the source tree itself.
add_test(NAME source_format COMMAND ${CMAKE_SOURCE_DIR}/cmake/check_format.sh ${CMAKE_SOURCE_DIR})
add_test(NAME source_layers COMMAND python3 ${CMAKE_SOURCE_DIR}/cmake/check_layers.py ${CMAKE_SOURCE_DIR})
add_test(NAME source_operations COMMAND python3 ${CMAKE_SOURCE_DIR}/cmake/check_operations.py ${CMAKE_SOURCE_DIR})
set_tests_properties(source_format source_layers source_operations PROPERTIES LABELS unit)
# The other compiler, whose warnings are errors as well; every file is read once more.
add_test(NAME source_clang_long
  COMMAND ${CMAKE_SOURCE_DIR}/cmake/check_clang.py ${CMAKE_BINARY_DIR} clang++-14)
set_tests_properties(source_clang_long PROPERTIES LABELS long TIMEOUT 3600)
