// Reading an operation's JSON input, with messages that name the field.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "base/result.h"

namespace coldshelf::api {

using Json = nlohmann::json;

class Params {
 public:
  explicit Params(const Json& input) : input_(input) {}

  bool has(const char* name) const { return input_.contains(name) && !input_[name].is_null(); }
  const Json& raw(const char* name) const { return input_.at(name); }  // has(name)
  Result<std::string> text(const char* name) const;
  Result<std::string> text_or(const char* name, std::string otherwise) const;
  Result<uint64_t> number(const char* name, uint64_t lowest, uint64_t highest) const;
  Result<uint64_t> number_or(const char* name, uint64_t otherwise, uint64_t lowest,
                             uint64_t highest) const;
  Result<bool> flag_or(const char* name, bool otherwise) const;
  Result<std::vector<std::string>> texts(const char* name) const;               // missing: empty
  Result<Json> object(const char* name) const;                                  // missing: empty
  Result<std::map<std::string, std::string>> text_map(const char* name) const;  // missing: empty
  // A barcode as itself or as "arn:...:tape/BARCODE".
  Result<std::string> barcode(const char* name) const;

 private:
  const Json& input_;
};

// A request's body; an empty one is {}. invalid_argument: it is no JSON, or nested deeper than
// kMaxJsonDepth: whatever copies or writes a value recurses, and a stack has an end.
constexpr size_t kMaxJsonDepth = 64;
Result<Json> parse_body(std::string_view body);

// The last part of an ARN, or the text itself.
std::string barcode_of(const std::string& arn_or_barcode);

}  // namespace coldshelf::api
