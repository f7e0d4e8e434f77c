# The EBS stand-in against Debian's aws: an independent client says that it speaks AWS.
add_test(NAME conformance_aws_cli
  COMMAND ${CMAKE_CURRENT_LIST_DIR}/aws_cli.sh ${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/coldshelf_ebs_standin)
set_tests_properties(conformance_aws_cli PROPERTIES LABELS conformance TIMEOUT 900)
