// Which request to the S3 imposter fails in which way.
#pragma once

#include "tests/support/imposter/fault_script.h"
#include "tests/support/imposter/message.h"

namespace coldshelf::test::imposter {

class FaultPlan : public FaultScript<S3Operation, S3Fault, ImposterStorm, kS3Faults> {
 public:
  // Of this request; counted as done.
  S3Fault choose(const Request& request);
};

}  // namespace coldshelf::test::imposter
