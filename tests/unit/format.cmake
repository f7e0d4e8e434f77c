foreach(part frame segment manifest image_manifest keys)
  coldshelf_test(format_${part}_test
    SOURCES ${CMAKE_CURRENT_LIST_DIR}/format_${part}_test.cc
    DEPS coldshelf_format LABELS unit)
endforeach()
