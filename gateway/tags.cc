#include "gateway/tags.h"

#include <nlohmann/json.hpp>

namespace coldshelf {

using Json = nlohmann::json;

namespace {

constexpr std::string_view kTape = "tape/";
constexpr size_t kMaxKey = 128, kMaxValue = 256;

size_t characters(const std::string& text) {
  size_t count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80 ? 1 : 0;
  return count;
}

Result<TagMap> decode(const std::string& text) {
  TagMap out;
  if (text.empty()) return out;
  const Json all = Json::parse(text, nullptr, false);
  if (!all.is_object()) return Error(ErrorCode::corrupt, "the tags are not JSON");
  for (const auto& [key, value] : all.items()) {
    if (!value.is_string()) return Error(ErrorCode::corrupt, "the tag " + key + " is no text");
    out[key] = value.get<std::string>();
  }
  return out;
}

std::string setting_of(const std::string& resource) { return "tags:" + resource; }

}  // namespace

Status Tags::check(const TagMap& tags) {
  if (tags.size() > kMaxTags) {
    return Error(ErrorCode::out_of_range, "a resource has at most 50 tags");
  }
  for (const auto& [key, value] : tags) {
    const size_t size = characters(key);
    if (size < 1 || size > kMaxKey) {
      return Error(ErrorCode::invalid_argument, "a tag's Key must have 1 to 128 characters");
    }
    if (key.starts_with("aws:")) {
      return Error(ErrorCode::invalid_argument, "tags that begin with aws: are AWS's own");
    }
    if (characters(value) > kMaxValue) {
      return Error(ErrorCode::invalid_argument, "a tag's Value may have 256 characters");
    }
  }
  return {};
}

std::string Tags::encode(const TagMap& tags) {
  if (tags.empty()) return {};
  return Json(tags).dump(-1, ' ', false, Json::error_handler_t::replace);
}

// A catalog that was rebuilt knows of no tags; the manifests do.
Result<TagMap> Tags::get(const std::string& resource) {
  ASSIGN_OR_RETURN(const auto kept, catalog_.setting(setting_of(resource)));
  if (kept) return decode(*kept);
  if (!resource.starts_with(kTape)) return TagMap{};
  ASSIGN_OR_RETURN(const std::string text,
                   tapes_.property(resource.substr(kTape.size()), kProperty));
  return decode(text);
}

Status Tags::put(const std::string& resource, const TagMap& tags) {
  TRY(check(tags));
  const std::string text = encode(tags);
  if (resource.starts_with(kTape)) {
    TRY(tapes_.set_property(resource.substr(kTape.size()), kProperty, text));
  }
  return catalog_.set_setting(setting_of(resource), text);
}

Status Tags::add(const std::string& resource, const TagMap& tags) {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(TagMap all, get(resource));
  for (const auto& [key, value] : tags) all[key] = value;
  return put(resource, all);
}

Status Tags::remove(const std::string& resource, const std::vector<std::string>& keys) {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(TagMap all, get(resource));
  for (const std::string& key : keys) all.erase(key);
  return put(resource, all);
}

}  // namespace coldshelf
