// Completion for shells, made from the commands' own definitions: commands and options, in zsh and
// fish with what they are about; names of files and directories where one is taken.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>

namespace coldshelf::cli {

// `shell`: "bash", "zsh" or "fish".
std::string completion_of(CLI::App& app, const std::string& name, std::string_view shell);

}  // namespace coldshelf::cli
