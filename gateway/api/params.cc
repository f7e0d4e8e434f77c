#include "gateway/api/params.h"

namespace coldshelf::api {

namespace {
Error wrong(const char* name, const std::string& what) {
  return {ErrorCode::invalid_argument, std::string(name) + " " + what};
}
}  // namespace

Result<Json> parse_body(std::string_view body) {
  if (body.empty()) return Json::object();
  size_t depth = 0;
  bool in_text = false;
  for (size_t i = 0; i < body.size(); ++i) {
    const char c = body[i];
    if (in_text) {
      if (c == '\\') ++i;
      if (c == '"') in_text = false;
      continue;
    }
    if (c == '"') in_text = true;
    if ((c == '[' || c == '{') && ++depth > kMaxJsonDepth) {
      return Error(ErrorCode::invalid_argument, "the body is nested too deeply");
    }
    if ((c == ']' || c == '}') && depth > 0) --depth;
  }
  Json out = Json::parse(body, nullptr, false);
  if (out.is_discarded()) return Error(ErrorCode::invalid_argument, "the body is not JSON");
  return out;
}

std::string barcode_of(const std::string& arn_or_barcode) {
  if (!arn_or_barcode.starts_with("arn:")) return arn_or_barcode;
  return arn_or_barcode.substr(arn_or_barcode.rfind('/') + 1);
}

Result<std::string> Params::text(const char* name) const {
  if (!has(name)) return wrong(name, "is missing");
  if (!input_[name].is_string()) return wrong(name, "must be a string");
  return input_[name].get<std::string>();
}

Result<std::string> Params::text_or(const char* name, std::string otherwise) const {
  if (!has(name)) return otherwise;
  return text(name);
}

Result<uint64_t> Params::number(const char* name, uint64_t lowest, uint64_t highest) const {
  if (!has(name)) return wrong(name, "is missing");
  const Json& given = input_[name];
  if (!given.is_number_integer() || (!given.is_number_unsigned() && given.get<int64_t>() < 0)) {
    return wrong(name, "must be a whole number, not below 0");
  }
  const auto value = given.get<uint64_t>();
  if (value >= lowest && value <= highest) return value;
  return Error(ErrorCode::out_of_range, std::string(name) + " is " + std::to_string(value) +
                                            "; it must be between " + std::to_string(lowest) +
                                            " and " + std::to_string(highest));
}

Result<uint64_t> Params::number_or(const char* name, uint64_t otherwise, uint64_t lowest,
                                   uint64_t highest) const {
  if (!has(name)) return otherwise;
  return number(name, lowest, highest);
}

Result<bool> Params::flag_or(const char* name, bool otherwise) const {
  if (!has(name)) return otherwise;
  if (!input_[name].is_boolean()) return wrong(name, "must be true or false");
  return input_[name].get<bool>();
}

Result<std::vector<std::string>> Params::texts(const char* name) const {
  std::vector<std::string> out;
  if (!has(name)) return out;
  if (!input_[name].is_array()) return wrong(name, "must be a list of strings");
  for (const Json& item : input_[name]) {
    if (!item.is_string()) return wrong(name, "must be a list of strings");
    out.push_back(item.get<std::string>());
  }
  return out;
}

Result<Json> Params::object(const char* name) const {
  if (!has(name)) return Json::object();
  if (!input_[name].is_object()) return wrong(name, "must be an object");
  return input_[name];
}

Result<std::map<std::string, std::string>> Params::text_map(const char* name) const {
  ASSIGN_OR_RETURN(const Json given, object(name));
  std::map<std::string, std::string> out;
  for (const auto& [key, value] : given.items()) {
    if (!value.is_string()) return wrong(name, "must hold strings only");
    out[key] = value.get<std::string>();
  }
  return out;
}

Result<std::string> Params::barcode(const char* name) const {
  ASSIGN_OR_RETURN(const std::string given, text(name));
  return barcode_of(given);
}

}  // namespace coldshelf::api
