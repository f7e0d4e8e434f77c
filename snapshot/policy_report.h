// What a policy has made: lineage, sizes, changed blocks, costs.
#pragma once

#include <string>
#include <vector>

#include "snapshot/policy_engine.h"

namespace coldshelf {

// The public prices of US East (N. Virginia), in USD; one API unit is a block.
struct EbsPrices {
  double list_per_1000_requests = 0.0006;
  double get_per_1000_blocks = 0.003;
  double snapshot_gb_month = 0.05;
};

struct PolicyReport {
  struct Point {
    PolicyPlace place;
    std::string snapshot;
    std::string run;
    int64_t started_ms = 0;
    bool in_aws = false;
    PointState state_in_aws = PointState::good;
    std::string state;  // of the run that made it: "done", "skipped-archived"; empty: forgotten
    std::string point;  // in our archive; empty: not there
    std::string base;   // it was pulled against; empty: in full
    uint64_t gib = 0;
    uint64_t changed_blocks = 0;  // as AWS listed them
    uint64_t stored_blocks = 0;   // that were new to us
    double pull_cost = 0;         // requests that the pull took
    std::string kept;             // why, in our archive or else in AWS
  };
  struct Volume {
    std::string volume;
    std::string archive;
    std::string archive_status;  // "AVAILABLE", "ARCHIVED", ...
    std::vector<Point> points;   // by time
    size_t in_aws = 0;
    size_t in_archive = 0;
    uint64_t changed_bytes = 0;
    uint64_t stored_bytes = 0;
    double pull_cost = 0;
    // EBS bills the blocks a snapshot changed: what our listings say of those still there. The
    // oldest one counts in full.
    double aws_cost_month = 0;
  };
  std::vector<Volume> volumes;  // by id
  double pull_cost = 0;
  double aws_cost_month = 0;
  std::vector<std::string> failed;  // places that did not answer
};

Result<PolicyReport> make_policy_report(PolicyEngine& engine, const std::string& policy,
                                        const EbsPrices& prices);

}  // namespace coldshelf
