coldshelf_test(sim_policies
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/../support/policy_sim.cc ${CMAKE_CURRENT_LIST_DIR}/policy_sim_test.cc
  DEPS coldshelf_snapshot coldshelf_test_sim
  LABELS sim)
coldshelf_long_test(sim_policies_long sim_policies COLDSHELF_SIM_SEEDS=50)
coldshelf_test(unit_policy
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/../support/policy_sim.cc
    ${CMAKE_CURRENT_LIST_DIR}/../unit/snapshot_policy_test.cc
  DEPS coldshelf_snapshot coldshelf_test_sim
  LABELS unit)
coldshelf_test(sim_policies_aws
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/policy_aws_test.cc
  DEPS coldshelf_snapshot coldshelf_test_sim coldshelf_test_ebs
  LABELS sim)
