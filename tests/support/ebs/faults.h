// Which request to the EBS stand-in fails in which way.
#pragma once

#include "tests/support/ebs_standin.h"
#include "tests/support/imposter/fault_script.h"

namespace coldshelf::test::ebs {

using FaultPlan = imposter::FaultScript<EbsOperation, EbsFault, EbsStorm, kEbsFaults>;

}  // namespace coldshelf::test::ebs
