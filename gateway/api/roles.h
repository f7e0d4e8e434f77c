// Which role an operation of the management API needs, whether it changes something and is
// therefore audited, and whom it may wait for. One table (roles.cc); what is not in it is for
// admins alone, and audited.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "gateway/api/access_keys.h"

namespace coldshelf::api {

// Operations of one lane do not wait behind those of another.
enum class Lane : size_t {
  look,    // at what is here: no store and no AWS is asked
  change,  // may wait for both, and for the commands of a [[quiesce]]
  ask,     // looks at what a store or AWS has
};
constexpr size_t kLanes = 3;

struct OperationRule {
  Role role = Role::admin;
  bool changes = true;
};

// `target` with or without its prefix ("Coldshelf_20261101.").
OperationRule rule_of(std::string_view target);
bool has_rule(std::string_view target);  // in the table
Lane lane_of(std::string_view target);

}  // namespace coldshelf::api
