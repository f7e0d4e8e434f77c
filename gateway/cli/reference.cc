#include "gateway/cli/reference.h"

#include <sstream>

namespace coldshelf::cli {

namespace {

// '-' is a minus sign, and a '.' or "'" at a line's begin is text.
std::string escape(const std::string& text) {
  std::string out;
  bool begin = true;
  for (const char c : text) {
    if (begin && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
    begin = c == '\n';
  }
  return out;
}

std::vector<CLI::App*> children(CLI::App& app) {
  return app.get_subcommands([](CLI::App* sub) { return !sub->get_name().empty(); });
}

std::vector<CLI::Option*> options(CLI::App& app) {
  return app.get_options([](CLI::Option* option) { return !option->get_group().empty(); });
}

bool takes_value(const CLI::Option& option) { return option.get_items_expected_max() > 0; }

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

void add_options(std::ostringstream& out, CLI::App& app) {
  for (const CLI::Option* option : options(app)) {
    if (option->get_positional() && option->get_lnames().empty()) {
      out << ".TP\n\\fI" << escape(option->get_name(true)) << "\\fR\n";
    } else {
      out << ".TP\n\\fB" << escape(option->get_name(false, true)) << "\\fR";
      if (takes_value(*option)) out << " \\fI" << option->get_type_name() << "\\fR";
      out << "\n";
    }
    out << escape(option->get_description()) << "\n";
  }
}

void add_footer(std::ostringstream& out, CLI::App& app) {
  const std::string footer = app.get_footer();
  if (footer.empty()) return;
  out << ".PP\n.nf\n" << escape(footer) << "\n.fi\n";
}

std::string synopsis(CLI::App& app, const std::string& path) {
  std::string out = "\\fB" + escape(path) + "\\fR";
  bool optional = false;
  std::string positionals;
  for (const CLI::Option* option : options(app)) {
    if (option->get_positional() && option->get_lnames().empty()) {
      const std::string name = "\\fI" + escape(option->get_name(true)) + "\\fR";
      positionals += option->get_required() ? " " + name : " [" + name + "]";
    } else if (option->get_required()) {
      positionals += " \\fB" + escape(option->get_name(false)) + "\\fR \\fI" +
                     option->get_type_name() + "\\fR";
    } else {
      optional = true;
    }
  }
  return out + positionals + (optional ? " [\\fIoptions\\fR]" : "");
}

void add_commands(std::ostringstream& out, CLI::App& app, const std::string& path) {
  for (CLI::App* sub : children(app)) {
    const std::string name = path + " " + sub->get_name();
    if (children(*sub).empty()) {
      out << ".SS " << synopsis(*sub, name) << "\n" << escape(sub->get_description()) << ".\n";
      add_options(out, *sub);
      add_footer(out, *sub);
    } else {
      add_commands(out, *sub, name);
    }
  }
}

}  // namespace

std::string man_page(CLI::App& app, const std::string& name, unsigned section,
                     const std::string& version) {
  std::ostringstream out;
  out << ".TH " << name << " " << section << " \"\" \"coldshelf " << version << "\"\n.SH NAME\n"
      << name << " \\- " << escape(first_line(app.get_description())) << "\n.SH SYNOPSIS\n"
      << "\\fB" << name << "\\fR [\\fIoptions\\fR]"
      << (children(app).empty() ? "" : " \\fIcommand\\fR ...") << "\n.SH OPTIONS\n";
  add_options(out, app);
  if (!children(app).empty()) {
    out << ".SH COMMANDS\n";
    add_commands(out, app, name);
  }
  out << ".SH NOTES\n";
  add_footer(out, app);
  return out.str();
}

}  // namespace coldshelf::cli
