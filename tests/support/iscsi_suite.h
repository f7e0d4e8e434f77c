// libiscsi's own test suite (iscsi-test-cu), all of it, against a disk at a URL.
#pragma once

#include <gtest/gtest.h>

#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "tests/support/process.h"

namespace coldshelf::test {

struct SuiteRun {
  int tests = -1, passed = -1, failed = -1;
  std::map<std::string, int> skips;  // why, and how often
  std::string output;
};

inline SuiteRun run_suite(const std::vector<std::string>& options, const std::string& url) {
  std::vector<std::string> arguments = {"iscsi-test-cu", "-n", "-d"};
  arguments.insert(arguments.end(), options.begin(), options.end());
  // Twice: the second path is another session with the same disk.
  arguments.push_back(url);
  arguments.push_back(url);
  SuiteRun run;
  const auto ended = run_to_end(arguments);
  EXPECT_TRUE(ended.ok()) << "iscsi-test-cu (package libiscsi-bin) is needed";
  if (!ended.ok()) return run;
  run.output = ended->output;
  std::istringstream lines(run.output);
  for (std::string line; std::getline(lines, line);) {
    const size_t skipped = line.find("[SKIPPED] ");
    if (skipped != std::string::npos) ++run.skips[line.substr(skipped + 10)];
    std::istringstream words(line);
    std::string word;
    int total = 0, ran = 0;
    if (words >> word && word == "tests" && words >> total >> ran >> run.passed >> run.failed)
      run.tests = ran;
  }
  return run;
}

inline void expect_skips(const SuiteRun& run, const std::vector<std::string>& allowed) {
  for (const auto& [why, count] : run.skips) {
    std::cout << "skipped " << count << " times: " << why << "\n";
    bool known = false;
    for (const std::string& reason : allowed) known = known || why.find(reason) == 0;
    EXPECT_TRUE(known) << "a new reason to skip: " << why;
  }
}

// A disk is not removable; it was not made read-only; WSNZ and a physical block that is a logical
// block are choices the standard leaves; SANITIZE has a run of its own.
inline const std::vector<std::string>& allowed_skips() {
  static const std::vector<std::string> list = {"Logical unit is not removable",
                                                "Media is not removable",
                                                "Logical unit is not write-protected",
                                                "--allow-sanitize flag is not set",
                                                "WRITESAME10 does not support 0-blocks",
                                                "WRITESAME16 does not support 0-blocks",
                                                "LBPPB < 2"};
  return list;
}

}  // namespace coldshelf::test
