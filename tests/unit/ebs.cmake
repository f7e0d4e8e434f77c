coldshelf_test(unit_ebs
  SOURCES
    ${CMAKE_CURRENT_LIST_DIR}/ebs_client_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/ec2_client_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/ebs_parts_test.cc
  DEPS coldshelf_snapshot coldshelf_test_sim
  LABELS unit)
