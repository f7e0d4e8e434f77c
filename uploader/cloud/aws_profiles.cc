#include "uploader/cloud/aws_profiles.h"

#include <algorithm>
#include <cstdint>

namespace coldshelf {

namespace {

constexpr uint64_t kMaxFileBytes = 4 * MiB;

std::string_view trim(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::string unquote(std::string_view text) {
  if (text.size() >= 2 && (text.front() == '"' || text.front() == '\'') &&
      text.back() == text.front()) {
    text = text.substr(1, text.size() - 2);
  }
  return std::string(text);
}

size_t indentation(std::string_view line) {
  const size_t at = line.find_first_not_of(" \t");
  return at == std::string_view::npos ? line.size() : at;
}

// " # ..." and " ; ..." end a value.
std::string_view without_comment(std::string_view value) {
  for (size_t i = 1; i < value.size(); ++i) {
    const bool blank_before = value[i - 1] == ' ' || value[i - 1] == '\t';
    if (blank_before && (value[i] == '#' || value[i] == ';')) return value.substr(0, i);
  }
  return value;
}

class Parser {
 public:
  Parser(AwsFileKind kind, AwsProfiles& out) : kind_(kind), out_(out) {}

  // False: the line makes no sense.
  bool take(std::string_view line) {
    const std::string_view text = trim(line);
    if (text.empty() || text.front() == '#' || text.front() == ';') return true;
    if (text.front() == '[') return section(text);
    // Deeper than the setting above it: a continuation or a nested setting, and none of those that
    // matter here.
    const size_t indent = indentation(line);
    if (indent > setting_indent_) return true;
    return setting(text, indent);
  }

 private:
  bool section(std::string_view text) {
    const size_t end = text.find(']');
    if (end == std::string_view::npos) return false;
    setting_indent_ = SIZE_MAX;
    settings_ = nullptr;
    const std::string_view name = trim(text.substr(1, end - 1));
    if (name.empty()) return false;
    if (kind_ == AwsFileKind::credentials) {
      settings_ = &out_.profiles[unquote(name)];
      return true;
    }
    const size_t gap = name.find_first_of(" \t");
    const std::string_view type = name.substr(0, gap);
    if (gap == std::string_view::npos) {
      // [default] is the only profile that needs no "profile"; [profile default] wins over it.
      if (name == "default" && !named_default_) settings_ = &out_.profiles["default"];
      return true;
    }
    const std::string rest = unquote(trim(name.substr(gap)));
    if (rest.empty()) return false;
    if (type == "profile") {
      if (rest == "default" && !named_default_) {
        named_default_ = true;
        out_.profiles.erase("default");
      }
      settings_ = &out_.profiles[rest];
    } else if (type == "sso-session") {
      settings_ = &out_.sso_sessions[rest];
    }
    return true;  // [services ...], [plugins] and what is yet to come
  }

  bool setting(std::string_view text, size_t indent) {
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos) return false;
    setting_indent_ = indent;
    const std::string name = lower(trim(text.substr(0, equals)));
    if (name.empty()) return false;
    std::string_view value = trim(text.substr(equals + 1));
    if (name != "credential_process") value = trim(without_comment(value));
    if (settings_ != nullptr) (*settings_)[name] = std::string(value);
    return true;
  }

  const AwsFileKind kind_;
  AwsProfiles& out_;
  AwsSettings* settings_ = nullptr;   // null: a section that does not matter
  size_t setting_indent_ = SIZE_MAX;  // of the setting above; SIZE_MAX: none in this section
  bool named_default_ = false;
};

std::string path_from(const std::string& given, const std::string& home, const char* standard) {
  if (given.empty()) return join_path(join_path(home, ".aws"), standard);
  if (given.starts_with("~/")) return join_path(home, given.substr(2));
  return given;
}

Status load(FileSystem& files, const std::string& path, AwsFileKind kind, AwsProfiles& out) {
  const auto content = files.read_file(path, kMaxFileBytes);
  if (!content.ok()) {
    if (content.error().code == ErrorCode::not_found) return {};
    return content.error();
  }
  return parse_aws_file(as_text(*content), path, kind, out);
}

}  // namespace

Status parse_aws_file(std::string_view text, const std::string& path, AwsFileKind kind,
                      AwsProfiles& out) {
  Parser parser(kind, out);
  size_t number = 0;
  while (!text.empty()) {
    ++number;
    const size_t end = std::min(text.find('\n'), text.size());
    if (!parser.take(text.substr(0, end))) {
      return Error(ErrorCode::invalid_argument,
                   path + ":" + std::to_string(number) + ": neither [section] nor name = value");
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return {};
}

Result<AwsProfiles> load_aws_profiles(FileSystem& files,
                                      const std::function<std::string(const char*)>& environment,
                                      const std::string& home) {
  AwsProfiles out;
  out.config_path = path_from(environment("AWS_CONFIG_FILE"), home, "config");
  out.credentials_path = path_from(environment("AWS_SHARED_CREDENTIALS_FILE"), home, "credentials");
  TRY(load(files, out.config_path, AwsFileKind::config, out));
  TRY(load(files, out.credentials_path, AwsFileKind::credentials, out));
  return out;
}

}  // namespace coldshelf
