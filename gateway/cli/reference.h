// Man pages and shell completion, made from the commands' own definitions.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace coldshelf::cli {

// In man(7)'s language: every command, its options and examples, on one page.
std::string man_page(CLI::App& app, const std::string& name, unsigned section,
                     const std::string& version);
// For bash: commands, subcommands and options; file names where an option takes one.
std::string bash_completion(CLI::App& app, const std::string& name);

}  // namespace coldshelf::cli
