// Which role an operation of the management API needs, and whether it changes something and is
// therefore audited. One table (roles.cc); what is not in it is read-only for List..., Describe...
// and Estimate..., and for admins alone, and audited, otherwise.
#pragma once

#include <string_view>
#include <vector>

#include "gateway/api/access_keys.h"

namespace coldshelf::api {

struct OperationRule {
  Role role = Role::admin;
  bool changes = true;
};

// `target` with or without its prefix ("Coldshelf_20261101.").
OperationRule rule_of(std::string_view target);
bool has_rule(std::string_view target);  // in the table

}  // namespace coldshelf::api
