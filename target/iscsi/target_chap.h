// CHAP of one target: which initiator proves which secret, and what the target proves to it. The
// names of the exchange (CHAP_N) are the initiator's and the target's own iSCSI names.
#pragma once

#include <string>

#include "base/secret.h"

namespace coldshelf::iscsi {

struct TargetChap {
  std::string initiator;    // its iSCSI name
  Secret initiator_secret;  // what it proves
  Secret target_secret;     // what the target proves when it is asked; empty: nothing
};

}  // namespace coldshelf::iscsi
