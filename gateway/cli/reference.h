// Manual pages, made from the commands' own definitions. Completion for shells: completion.h.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace coldshelf::cli {

// In man(7)'s language: every command, its options and examples, on one page.
std::string man_page(CLI::App& app, const std::string& name, unsigned section,
                     const std::string& version);

}  // namespace coldshelf::cli
