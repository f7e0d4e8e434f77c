// Parameters of the Query protocol: lists, filters, pages, and which names an action knows.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/ebs/service.h"

namespace coldshelf::test::ebs {

struct Filter {
  std::string name;
  std::vector<std::string> values;  // '*' and '?' are wildcards
};

std::string param(const Call& call, const std::string& name);  // "" when absent
bool has_param(const Call& call, const std::string& name);
// "VolumeId" -> VolumeId.1, VolumeId.2, ...
std::vector<std::string> param_list(const Call& call, const std::string& name);
// PREFIX.N.Key and PREFIX.N.Value. False: a key twice, empty, or too many.
bool param_tags(const Call& call, const std::string& prefix, EbsTags& out);
// TagSpecification.N of `type`; another type is an error.
std::optional<Answer> tag_specification(const Call& call, const std::string& type, EbsTags& out);
std::optional<Answer> bad_param(const Call& call, const std::string& name, const std::string& why);
// Answers UnknownParameter for what no `known` name or "Prefix." begins, DryRunOperation for
// DryRun.
std::optional<Answer> check_params(const Call& call, const std::vector<std::string>& known);

bool wildcard_match(std::string_view pattern, std::string_view text);
// What a resource has under a filter's name; nothing: there is no such filter.
using FilterValues = std::function<std::optional<std::vector<std::string>>(const std::string&)>;
std::optional<std::vector<std::string>> tag_values(const EbsTags& tags, const std::string& name);

// One Describe answer: filters, ids and pages over `items`, which are in the order of their ids.
class Describe {
 public:
  // `id_list`: "VolumeId". `most`: of MaxResults.
  Describe(const Call& call, const std::string& id_list, size_t page_items);
  std::optional<Answer> problem() const { return problem_; }
  // Adds the item when it is asked for; false: the page is full, stop.
  bool add(const std::string& id, const FilterValues& values,
           const std::function<std::string()>& xml);
  // <set>...</set><nextToken>; or the problem: an id that is not there, a filter that is none.
  Answer finish(const std::string& set, const std::string& missing_code);

 private:
  const Call& call_;
  std::vector<Filter> filters_;
  std::vector<std::string> ids_;
  std::vector<std::string> seen_;
  std::string after_;
  size_t most_;
  size_t count_ = 0;
  std::string last_;
  std::string items_;
  bool more_ = false;
  std::optional<Answer> problem_;
};

Answer ec2_answer(const Call& call, const std::string& content);
std::string iso_time(int64_t unix_ms);
std::string volume_xml(const Volume& volume);  // what is inside its <item>

}  // namespace coldshelf::test::ebs
