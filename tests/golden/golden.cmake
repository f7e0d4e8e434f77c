coldshelf_test(golden_format_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/golden_format_test.cc
  DEPS coldshelf_format nlohmann_json::nlohmann_json LABELS golden)
target_compile_definitions(golden_format_test PRIVATE
  COLDSHELF_GOLDEN_DIR="${CMAKE_CURRENT_LIST_DIR}")

# Made on purpose only: make_golden tests/golden/v<N>.
add_executable(make_golden EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/make_golden.cc)
target_link_libraries(make_golden PRIVATE coldshelf_format nlohmann_json::nlohmann_json)

# The documents' own examples, and the golden files read by what the documents say.
add_test(NAME golden_format_docs
  COMMAND python3 ${CMAKE_CURRENT_LIST_DIR}/check_docs.py ${CMAKE_CURRENT_LIST_DIR}/../..)
set_tests_properties(golden_format_docs PROPERTIES LABELS golden)
