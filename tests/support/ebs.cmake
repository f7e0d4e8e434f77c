# A strict stand-in for AWS's EBS, EC2, STS and SNS.
coldshelf_library(test_ebs
  SOURCES
    ${CMAKE_CURRENT_LIST_DIR}/ebs/blocks.cc
    ${CMAKE_CURRENT_LIST_DIR}/ebs/direct.cc
    ${CMAKE_CURRENT_LIST_DIR}/ebs/direct_write.cc
    ${CMAKE_CURRENT_LIST_DIR}/ebs/ec2.cc
    ${CMAKE_CURRENT_LIST_DIR}/ebs/ec2_change.cc
    ${CMAKE_CURRENT_LIST_DIR}/ebs/faults.cc
    ${CMAKE_CURRENT_LIST_DIR}/ebs/query.cc
    ${CMAKE_CURRENT_LIST_DIR}/ebs/service.cc
    ${CMAKE_CURRENT_LIST_DIR}/ebs/session.cc
    ${CMAKE_CURRENT_LIST_DIR}/ebs/sts_sns.cc
    ${CMAKE_CURRENT_LIST_DIR}/ebs/tokens.cc
    ${CMAKE_CURRENT_LIST_DIR}/ebs/world.cc
    ${CMAKE_CURRENT_LIST_DIR}/ebs_standin.cc
  DEPS coldshelf_test_http coldshelf_base Boost::headers nlohmann_json::nlohmann_json Threads::Threads)

add_executable(coldshelf_ebs_standin ${CMAKE_CURRENT_LIST_DIR}/ebs_standin_main.cc)
target_link_libraries(coldshelf_ebs_standin PRIVATE coldshelf_test_ebs CLI11::CLI11)
