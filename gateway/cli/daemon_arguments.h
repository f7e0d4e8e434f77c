// The command line of coldshelfd, for its main and its manual page.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace coldshelf::cli {

struct DaemonArguments {
  std::string config;
  std::string data;
  bool check_config = false;
  bool adopt_store = false;
};

// `arguments` outlives `app`.
void define_daemon(CLI::App& app, DaemonArguments& arguments);

}  // namespace coldshelf::cli
