#include "gateway/cli/command_line.h"
#include "gateway/cli/daemon_arguments.h"
#include "gateway/cli/reference.h"
#include "gateway/version.h"

namespace coldshelf::cli {

namespace {

constexpr const char* kDaemon = "coldshelfd";

// Of the daemon's own command line, or of this one.
template <typename Tell>
std::string told_of(CommandLine& line, const std::string& program, const Tell& tell) {
  if (program != kDaemon) return tell(*line.root());
  CLI::App daemon;
  DaemonArguments arguments;
  define_daemon(daemon, arguments);
  return tell(daemon);
}

}  // namespace

void define_reference_commands(CommandLine& line) {
  const auto program = std::make_shared<std::string>("coldshelf");
  const auto add_program = [&](CLI::App* sub) {
    sub->add_option("program", *program, "coldshelf or coldshelfd; default: coldshelf")
        ->check(CLI::IsMember({"coldshelf", kDaemon}));
  };
  CLI::App* completion = line.group("completion", "completion for shells");
  add_program(line.command(
      completion, "bash", "print the completion for bash",
      [&line, program]() -> Status {
        line.out() << told_of(line, *program,
                              [&](CLI::App& app) { return bash_completion(app, *program); });
        return {};
      },
      "  coldshelf completion bash >/etc/bash_completion.d/coldshelf\n"
      "  source <(coldshelf completion bash)\n"
      "The package brings it along."));
  add_program(line.command(
      line.root(), "man", "print the manual page",
      [&line, program]() -> Status {
        const unsigned section = *program == kDaemon ? 8 : 1;
        line.out() << told_of(line, *program, [&](CLI::App& app) {
          return man_page(app, *program, section, kVersion);
        });
        return {};
      },
      "  coldshelf man | man -l -\n"
      "  coldshelf man coldshelfd | man -l -"));
}

}  // namespace coldshelf::cli
