coldshelf_test(unit_ebs_standin
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/ebs_standin_test.cc
  DEPS coldshelf_cloud coldshelf_test_ebs
  LABELS unit)
