#include "gateway/cli/command_line.h"
#include "gateway/cli/completion.h"
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
  for (const auto& [shell, examples] :
       {std::pair("bash",
                  "  coldshelf completion bash >/etc/bash_completion.d/coldshelf\n"
                  "  source <(coldshelf completion bash)\n"),
        std::pair("zsh",
                  "  coldshelf completion zsh >/usr/local/share/zsh/site-functions/_coldshelf\n"
                  "  source <(coldshelf completion zsh)\n"),
        std::pair("fish",
                  "  coldshelf completion fish >~/.config/fish/completions/coldshelf.fish\n"
                  "  coldshelf completion fish | source\n")}) {
    add_program(line.command(
        completion, shell, (std::string("print the completion for ") + shell).c_str(),
        [&line, program, shell = std::string(shell)]() -> Status {
          line.out() << told_of(line, *program,
                                [&](CLI::App& app) { return completion_of(app, *program, shell); });
          return {};
        },
        (std::string(examples) + "The package brings it along.").c_str()));
  }
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
