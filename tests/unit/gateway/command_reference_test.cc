// What the command line tells of itself: help, manual pages, completion.
#include "gateway/cli/reference.h"

#include <gtest/gtest.h>

#include <sstream>

#include "gateway/cli/command_line.h"
#include "gateway/cli/completion.h"
#include "gateway/cli/daemon_arguments.h"
#include "tests/support/process.h"

namespace coldshelf::test {
namespace {

class CommandReference : public ::testing::Test {
 protected:
  CommandReference() : line(env()) { cli::define_commands(line); }
  cli::CommandEnv env() { return {&files, &clock, &random, &out, &err}; }
  // Every command that does something, with the words before it.
  void each(CLI::App* app, const std::string& path,
            const std::function<void(CLI::App&, const std::string&)>& visit) {
    const auto subs = app->get_subcommands([](CLI::App*) { return true; });
    if (subs.empty()) visit(*app, path);
    for (CLI::App* sub : subs) each(sub, path + " " + sub->get_name(), visit);
  }
  PosixFileSystem files;
  SystemClock clock;
  SystemRandom random;
  std::ostringstream out, err;
  cli::CommandLine line;
};

TEST_F(CommandReference, EveryCommandHasHelpAndExamples) {
  size_t commands = 0;
  each(line.root(), "coldshelf", [&](CLI::App& app, const std::string& path) {
    ++commands;
    EXPECT_FALSE(app.get_description().empty()) << path;
    const std::string footer = app.get_footer();
    EXPECT_TRUE(footer.starts_with("Examples:\n")) << path;
    EXPECT_TRUE(footer.find(path) != std::string::npos ||
                footer.find(path.substr(path.find(' ') + 1)) != std::string::npos)
        << path << ": " << footer;
    for (const CLI::Option* option : app.get_options()) {
      EXPECT_FALSE(option->get_description().empty()) << path << " " << option->get_name();
    }
    // --json, and where the daemon is, may stand behind every command.
    EXPECT_TRUE(app.get_fallthrough()) << path;
  });
  EXPECT_GT(commands, 80U);
}

TEST_F(CommandReference, TheManualHasEveryCommandAndOption) {
  const std::string page = cli::man_page(*line.root(), "coldshelf", 1, "1");
  each(line.root(), "coldshelf", [&](CLI::App& app, const std::string& path) {
    std::string written;
    for (const char c : path) written += c == '-' ? std::string("\\-") : std::string(1, c);
    const size_t at = page.find(".SS \\fB" + written + "\\fR");
    ASSERT_NE(at, std::string::npos) << path;
    const std::string section = page.substr(at, page.find("\n.S", at) - at);
    for (const CLI::Option* option : app.get_options()) {
      for (const std::string& name : option->get_lnames()) {
        std::string text;
        for (const char c : "--" + name) text += c == '-' ? std::string("\\-") : std::string(1, c);
        EXPECT_NE(section.find(text), std::string::npos) << path << " " << name;
      }
    }
  });
}

TEST_F(CommandReference, CompletionKnowsEveryCommandAndOption) {
  const std::string bash = cli::completion_of(*line.root(), "coldshelf", "bash");
  const std::string zsh = cli::completion_of(*line.root(), "coldshelf", "zsh");
  const std::string fish = cli::completion_of(*line.root(), "coldshelf", "fish");
  EXPECT_TRUE(zsh.starts_with("#compdef coldshelf\n"));
  // What a script says of one place: from `begin` to `end`.
  const auto part = [](const std::string& script, const std::string& begin, const char* end) {
    const size_t at = script.find(begin);
    return at == std::string::npos ? std::string() : script.substr(at, script.find(end, at) - at);
  };
  each(line.root(), "", [&](CLI::App& app, const std::string& with_blank) {
    const std::string path = with_blank.substr(1);
    const std::string in_bash = part(bash, "    '" + path + "') words='", "\n");
    const std::string in_zsh = part(zsh, "    '" + path + "')\n", ";;\n");
    ASSERT_FALSE(in_bash.empty()) << path;
    ASSERT_FALSE(in_zsh.empty()) << path;
    EXPECT_NE(part(fish, "set -g ", "\n").find("'" + path + "'"), std::string::npos) << path;
    const std::string here = "'__coldshelf_at \\'" + path + "\\''";
    for (const CLI::Option* option : app.get_options()) {
      for (const std::string& name : option->get_lnames()) {
        EXPECT_NE(in_bash.find("--" + name + " "), std::string::npos) << path << " " << name;
        EXPECT_NE(in_zsh.find("'--" + name + ":"), std::string::npos) << path << " " << name;
        EXPECT_NE(fish.find(here + " -l " + name + " "), std::string::npos) << path << " " << name;
      }
    }
    // A word of its own where it begins.
    const size_t blank = path.rfind(' ');
    const std::string above = blank == std::string::npos ? "" : path.substr(0, blank);
    const std::string name = blank == std::string::npos ? path : path.substr(blank + 1);
    EXPECT_NE(part(zsh, "    '" + above + "')\n", ";;\n").find("'" + name + ":"), std::string::npos)
        << path;
    EXPECT_NE(fish.find("'__coldshelf_at \\'" + above + "\\'' -a " + name + " -d "),
              std::string::npos)
        << path;
  });
}

TEST_F(CommandReference, TheDaemonsPage) {
  CLI::App daemon;
  cli::DaemonArguments arguments;
  cli::define_daemon(daemon, arguments);
  const std::string page = cli::man_page(daemon, "coldshelfd", 8, "1");
  EXPECT_TRUE(page.starts_with(".TH coldshelfd 8 ")) << page;
  for (const char* text :
       {"\\-\\-config", "\\-\\-data", "\\-\\-check\\-config", "\\-\\-version", "SIGTERM",
        "NOTIFY_SOCKET", "/etc/coldshelf/coldshelf.toml", "Exit codes", "coldshelf(1)"}) {
    EXPECT_NE(page.find(text), std::string::npos) << text;
  }
  const std::string script = cli::completion_of(daemon, "coldshelfd", "bash");
  EXPECT_NE(script.find("--check-config"), std::string::npos);
  EXPECT_NE(script.find("complete -F _coldshelfd coldshelfd"), std::string::npos);
}

}  // namespace
}  // namespace coldshelf::test
