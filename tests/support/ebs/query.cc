#include "tests/support/ebs/query.h"

#include <algorithm>
#include <charconv>
#include <set>

namespace coldshelf::test::ebs {

namespace {
constexpr size_t kMaxTags = 50;
constexpr size_t kMaxList = 1'000;
}  // namespace

std::string param(const Call& call, const std::string& name) {
  const auto it = call.params.find(name);
  return it == call.params.end() ? "" : it->second;
}

bool has_param(const Call& call, const std::string& name) { return call.params.count(name) != 0; }

std::vector<std::string> param_list(const Call& call, const std::string& name) {
  std::vector<std::string> out;
  for (size_t i = 1; i <= kMaxList && has_param(call, name + "." + std::to_string(i)); ++i) {
    out.push_back(param(call, name + "." + std::to_string(i)));
  }
  return out;
}

bool param_tags(const Call& call, const std::string& prefix, EbsTags& out) {
  for (size_t i = 1; has_param(call, prefix + "." + std::to_string(i) + ".Key"); ++i) {
    const std::string at = prefix + "." + std::to_string(i);
    const std::string key = param(call, at + ".Key");
    const std::string value = param(call, at + ".Value");
    if (key.empty() || key.size() > 127 || value.size() > 255 || key.rfind("aws:", 0) == 0) {
      return false;
    }
    if (!out.emplace(key, value).second || out.size() > kMaxTags) return false;
  }
  return true;
}

std::optional<Answer> bad_param(const Call& call, const std::string& name, const std::string& why) {
  return query_error(
      call, "InvalidParameterValue",
      "Value (" + param(call, name) + ") for parameter " + name + " is invalid. " + why);
}

std::optional<Answer> tag_specification(const Call& call, const std::string& type, EbsTags& out) {
  std::set<std::string> types;
  for (size_t i = 1; has_param(call, "TagSpecification." + std::to_string(i) + ".ResourceType");
       ++i) {
    const std::string at = "TagSpecification." + std::to_string(i);
    const std::string of = param(call, at + ".ResourceType");
    if (!types.insert(of).second) return bad_param(call, at + ".ResourceType", "Twice.");
    if (of != type) return bad_param(call, at + ".ResourceType", "This call makes none.");
    if (!param_tags(call, at + ".Tag", out)) return bad_param(call, at + ".Tag.1.Key", "Tags.");
  }
  return std::nullopt;
}

std::optional<Answer> check_params(const Call& call, const std::vector<std::string>& known) {
  for (const auto& [name, value] : call.params) {
    if (name == "Action" || name == "DryRun") continue;
    if (name == "Version") {
      if (value != "2016-11-15") {
        return query_error(call, "NoSuchVersion",
                           "The requested version (" + value + ") is not known");
      }
      continue;
    }
    const bool found =
        std::any_of(known.begin(), known.end(), [&name = name](const std::string& k) {
          return k.back() == '.' ? name.rfind(k, 0) == 0 : name == k;
        });
    if (!found) {
      return query_error(call, "UnknownParameter", "The parameter " + name + " is not recognized");
    }
  }
  if (!has_param(call, "Version")) {
    return query_error(call, "MissingParameter", "The request must contain the parameter Version");
  }
  if (param(call, "DryRun") == "true") {
    return query_error(call, "DryRunOperation",
                       "Request would have succeeded, but DryRun flag is set.");
  }
  return std::nullopt;
}

bool wildcard_match(std::string_view pattern, std::string_view text) {
  size_t p = 0;
  size_t t = 0;
  size_t star = std::string_view::npos;
  size_t mark = 0;
  while (t < text.size()) {
    if (p < pattern.size() && (pattern[p] == '?' || (pattern[p] == text[t] && pattern[p] != '*'))) {
      ++p;
      ++t;
    } else if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      mark = t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++mark;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

std::optional<std::vector<std::string>> tag_values(const EbsTags& tags, const std::string& name) {
  std::vector<std::string> out;
  if (name == "tag-key") {
    for (const auto& [key, value] : tags) out.push_back(key);
    return out;
  }
  if (name.rfind("tag:", 0) != 0) return std::nullopt;
  const auto it = tags.find(name.substr(4));
  if (it != tags.end()) out.push_back(it->second);
  return out;
}

Describe::Describe(const Call& call, const std::string& id_list, size_t page_items)
    : call_(call), ids_(param_list(call, id_list)), most_(page_items) {
  for (size_t i = 1; has_param(call, "Filter." + std::to_string(i) + ".Name"); ++i) {
    const std::string at = "Filter." + std::to_string(i);
    Filter filter{param(call, at + ".Name"), param_list(call, at + ".Value")};
    if (filter.values.empty()) {
      problem_ = query_error(call, "InvalidParameterValue", "The filter has no values");
      return;
    }
    filters_.push_back(std::move(filter));
  }
  if (has_param(call, "MaxResults")) {
    const std::string text = param(call, "MaxResults");
    size_t asked = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), asked);
    if (error != std::errc() || end != text.data() + text.size() || asked < 5 || asked > 1000) {
      problem_ = bad_param(call, "MaxResults", "Expecting a value between 5 and 1000.");
      return;
    }
    if (!ids_.empty()) {
      problem_ = query_error(call, "InvalidParameterCombination",
                             "The parameter " + id_list + " cannot be used with MaxResults");
      return;
    }
    most_ = std::min(most_, asked);
  }
  if (has_param(call, "NextToken")) {
    Buffer raw;
    const std::string prefix = call.action + " ";
    if (!from_base64(param(call, "NextToken"), raw) ||
        as_text(raw).substr(0, prefix.size()) != prefix) {
      problem_ = query_error(call, "InvalidNextToken", "The specified token is not valid");
      return;
    }
    after_ = as_text(raw).substr(prefix.size());
  }
  if (!ids_.empty()) return;  // answered whole
  if (call.fault == EbsFault::empty_page) most_ = 0;
  if (call.fault == EbsFault::short_page) most_ = 1;
}

bool Describe::add(const std::string& id, const FilterValues& values,
                   const std::function<std::string()>& xml) {
  if (problem_) return false;
  if (!ids_.empty()) {
    if (std::count(ids_.begin(), ids_.end(), id) == 0) return true;
    seen_.push_back(id);
  }
  for (const Filter& filter : filters_) {
    const auto has = values(filter.name);
    if (!has) {
      problem_ = query_error(call_, "InvalidParameterValue",
                             "The filter '" + filter.name + "' is invalid");
      return false;
    }
    const bool match = std::any_of(has->begin(), has->end(), [&filter](const std::string& value) {
      return std::any_of(filter.values.begin(), filter.values.end(),
                         [&value](const std::string& p) { return wildcard_match(p, value); });
    });
    if (!match) return true;
  }
  if (!after_.empty() && id <= after_) return true;
  if (ids_.empty() && count_ >= most_) {
    more_ = true;
    return false;
  }
  ++count_;
  last_ = id;
  items_ += "<item>" + xml() + "</item>";
  return true;
}

Answer Describe::finish(const std::string& set, const std::string& missing_code) {
  if (problem_) return *problem_;
  for (const std::string& id : ids_) {
    if (std::count(seen_.begin(), seen_.end(), id) == 0) {
      return query_error(call_, missing_code, "The ID '" + id + "' does not exist");
    }
  }
  std::string content = "<" + set + ">" + items_ + "</" + set + ">";
  if (more_) {
    const std::string from = count_ > 0 ? last_ : after_;
    content += imposter::element("nextToken", to_base64(as_view(call_.action + " " + from)));
  }
  return ec2_answer(call_, content);
}

Answer ec2_answer(const Call& call, const std::string& content) {
  Answer answer;
  answer.set("Content-Type", "text/xml;charset=UTF-8");
  const std::string root = call.action + "Response";
  answer.text =
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<" + root +
      " xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>standin</requestId>" +
      content + "</" + root + ">";
  return answer;
}

std::string iso_time(int64_t unix_ms) { return format_utc(unix_ms); }

}  // namespace coldshelf::test::ebs
