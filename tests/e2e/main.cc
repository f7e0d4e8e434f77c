// The main of every end-to-end test.
#include <gtest/gtest.h>

#include "tests/e2e/gateway.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  coldshelf::test::set_program_directory(argv[0]);
  return RUN_ALL_TESTS();
}
