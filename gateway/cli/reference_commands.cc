#include "gateway/cli/command_line.h"
#include "gateway/cli/reference.h"
#include "gateway/version.h"

namespace coldshelf::cli {

void define_reference_commands(CommandLine& line) {
  CLI::App* completion = line.group("completion", "completion for shells");
  line.command(
      completion, "bash", "print the completion for bash",
      [&line]() -> Status {
        line.out() << bash_completion(*line.root(), "coldshelf");
        return {};
      },
      "  coldshelf completion bash >/etc/bash_completion.d/coldshelf\n"
      "  source <(coldshelf completion bash)");
  line.command(
      line.root(), "man", "print the manual page",
      [&line]() -> Status {
        line.out() << man_page(*line.root(), "coldshelf", 1, kVersion);
        return {};
      },
      "  coldshelf man | man -l -");
}

}  // namespace coldshelf::cli
