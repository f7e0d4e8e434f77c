// What `coldshelf policy` prints.
#pragma once

#include <nlohmann/json.hpp>
#include <ostream>

namespace coldshelf::cli {

using Json = nlohmann::json;

void print_policies(std::ostream& out, const Json& answer);
void print_policy(std::ostream& out, const Json& answer);
void print_policy_run(std::ostream& out, const Json& run);
void print_policy_preview(std::ostream& out, const Json& answer);
void print_policy_report(std::ostream& out, const Json& answer);

}  // namespace coldshelf::cli
