#include "gateway/cli/completion.h"

#include <map>
#include <set>
#include <sstream>
#include <vector>

#include "base/check.h"

namespace coldshelf::cli {

namespace {

enum class Takes { nothing, text, file, directory };

struct Word {
  std::string name;
  std::string about;
  Takes takes = Takes::nothing;
};

// A command, by the words that lead to it: "", "tape", "tape create".
struct Place {
  std::string path;
  std::vector<Word> commands;
  std::vector<Word> options;  // with their "--"
  bool file = false;          // it takes the name of a file
};

// Of an option, by its name: what it is called is what it takes.
Takes takes(const CLI::Option& option, const std::string& name) {
  if (option.get_items_expected_max() == 0) return Takes::nothing;
  if (name == "data" || name == "data-dir" || name == "store") return Takes::directory;
  const bool file = name == "to" || name == "config" || name == "socket" || name.ends_with("-file");
  return file ? Takes::file : Takes::text;
}

void add_places(std::vector<Place>& out, CLI::App& app, const std::string& path) {
  Place here;
  here.path = path;
  const auto subs = app.get_subcommands([](CLI::App* sub) { return !sub->get_name().empty(); });
  for (CLI::App* sub : subs) here.commands.push_back({sub->get_name(), sub->get_description()});
  const auto shown = [](CLI::Option* option) { return !option->get_group().empty(); };
  for (const CLI::Option* option : app.get_options(shown)) {
    for (const std::string& name : option->get_lnames()) {
      here.options.push_back({"--" + name, option->get_description(), takes(*option, name)});
    }
    if (option->get_positional() && option->get_name(true) == "file") here.file = true;
  }
  out.push_back(std::move(here));
  for (CLI::App* sub : subs) {
    add_places(out, *sub, path.empty() ? sub->get_name() : path + " " + sub->get_name());
  }
}

// Options that take this wherever they stand.
std::vector<std::string> options_that_take(const std::vector<Place>& places, Takes what) {
  std::set<std::string> these, others;
  for (const Place& place : places) {
    for (const Word& option : place.options) {
      (option.takes == what ? these : others).insert(option.name);
    }
  }
  std::vector<std::string> out;
  for (const std::string& name : these) {
    if (!others.contains(name)) out.push_back(name);
  }
  return out;
}

std::string joined(const std::vector<std::string>& words, const char* between) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : between) + word;
  return out;
}

// The branches of a `case` on the word before: bash and zsh write them alike.
std::string value_branches(const std::vector<Place>& places, const char* files,
                           const char* directories) {
  std::string out;
  for (const auto& [what, answer] :
       {std::pair(Takes::file, files), std::pair(Takes::directory, directories),
        std::pair(Takes::text, "return")}) {
    const auto names = options_that_take(places, what);
    if (!names.empty()) out += "    " + joined(names, " | ") + ") " + answer + " ;;\n";
  }
  return out;
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

// In single quotes, as sh and zsh read it; fish knows \' within them.
std::string quoted(const std::string& text, bool fish = false) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += fish ? "\\'" : "'\\''";
    } else {
      if (c == '\\' && fish) out += '\\';
      out += c;
    }
  }
  return out + "'";
}

std::string heading(const std::string& name, std::string_view shell) {
  return "# " + std::string(shell) + " completion of " + name + ", made by `coldshelf completion " +
         std::string(shell) + (name == "coldshelf" ? "" : " " + name) + "`.\n";
}

// -- bash

std::string bash(const std::vector<Place>& places, const std::string& name) {
  const std::string words = "_" + name + "_words";
  std::ostringstream out;
  out << heading(name, "bash") << "_" << name << R"sh(() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} path='' word words files i
  case $prev in
)sh"
      << value_branches(places, R"sh(mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return)sh",
                        R"sh(mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return)sh")
      << R"sh(  esac
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    case $word in
      -*) ;;
      *) )sh"
      << words << R"sh( "${path:+$path }$word" && path="${path:+$path }$word" ;;
    esac
  done
  )sh" << words
      << R"sh( "$path"
  mapfile -t COMPREPLY < <(compgen -W "$words )sh";
  for (const Word& option : places.front().options) out << option.name << " ";
  out << R"sh(" -- "$cur"; [[ -z $files ]] || compgen -f -- "$cur")
}
)sh" << words
      << R"sh(() {
  case $1 in
)sh";
  for (const Place& place : places) {
    out << "    '" << place.path << "') words='";
    for (const Word& word : place.commands) out << word.name << " ";
    for (const Word& word : place.options) out << word.name << " ";
    out << "' files=" << (place.file ? "1" : "") << " ;;\n";
  }
  out << "    *) return 1 ;;\n  esac\n}\ncomplete -F _" << name << " " << name << "\n";
  return out.str();
}

// -- zsh

std::string zsh(const std::vector<Place>& places, const std::string& name) {
  const std::string words = "_" + name + "_words";
  const auto described = [](const std::vector<Word>& all) {
    std::string out;
    for (const Word& word : all) {
      out += (out.empty() ? "" : " ") + quoted(word.name + ":" + first_line(word.about));
    }
    return out;
  };
  std::ostringstream out;
  out << "#compdef " << name << "\n"
      << heading(name, "zsh") << "_" << name << R"sh(() {
  local at='' word files=''
  local -a commands options globals
  integer i
  case $words[CURRENT-1] in
)sh" << value_branches(places, "_files; return", "_files -/; return")
      << R"sh(  esac
  for (( i = 2; i < CURRENT; i++ )); do
    word=$words[i]
    [[ $word == -* ]] && continue
    )sh"
      << words << R"sh( "${at:+$at }$word" && at="${at:+$at }$word"
  done
  )sh" << words
      << R"sh( ''
  globals=("${options[@]}")
  )sh" << words
      << R"sh( "$at"
  [[ -z $at ]] && globals=()
  (( $#commands )) && _describe -t commands command commands
  [[ -n $files ]] && _files
  _describe -o option options -- globals
}
)sh" << words
      << R"sh(() {
  case $1 in
)sh";
  for (const Place& place : places) {
    out << "    '" << place.path << "')\n      commands=(" << described(place.commands)
        << ")\n      options=(" << described(place.options) << ")\n      files='"
        << (place.file ? "1" : "") << "' ;;\n";
  }
  out << "    *) return 1 ;;\n  esac\n}\nif [[ $funcstack[1] == _" << name << " ]]; then\n  _"
      << name << " \"$@\"\nelse\n  compdef _" << name << " " << name << "\nfi\n";
  return out.str();
}

// -- fish

std::string fish(const std::vector<Place>& places, const std::string& name) {
  const std::string at = "__" + name + "_at", paths = "__" + name + "_paths";
  std::ostringstream out;
  out << heading(name, "fish") << "set -g " << paths;
  for (const Place& place : places) {
    if (!place.path.empty()) out << " " << quoted(place.path, true);
  }
  out << "\nfunction " << at << R"sh(
    set -l path
    set -l words (commandline -opc)
    for word in $words[2..-1]
        string match -q -- '-*' $word
        and continue
        set -l next (string trim -- "$path $word")
        contains -- $next $)sh"
      << paths << R"sh(
        and set path $next
    end
    test "$path" = "$argv[1]"
end
complete -c )sh"
      << name << " -f\n";
  for (const Place& place : places) {
    // Those of the program itself stand behind every command.
    const std::string when =
        place.path.empty() ? "" : " -n " + quoted(at + " " + quoted(place.path, true), true);
    const std::string commands_when = " -n " + quoted(at + " " + quoted(place.path, true), true);
    for (const Word& word : place.commands) {
      out << "complete -c " << name << commands_when << " -a " << word.name << " -d "
          << quoted(first_line(word.about), true) << "\n";
    }
    if (place.file) out << "complete -c " << name << commands_when << " -F\n";
    for (const Word& word : place.options) {
      const char* takes = word.takes == Takes::nothing ? ""
                          : word.takes == Takes::file  ? " -r -F"
                          : word.takes == Takes::directory
                              ? " -x -a '(__fish_complete_directories)'"
                              : " -x";
      out << "complete -c " << name << when << " -l " << word.name.substr(2) << takes << " -d "
          << quoted(first_line(word.about), true) << "\n";
    }
  }
  return out.str();
}

}  // namespace

std::string completion_of(CLI::App& app, const std::string& name, std::string_view shell) {
  std::vector<Place> places;
  add_places(places, app, "");
  if (shell == "zsh") return zsh(places, name);
  if (shell == "fish") return fish(places, name);
  CHECK(shell == "bash");
  return bash(places, name);
}

}  // namespace coldshelf::cli
