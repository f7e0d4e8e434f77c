// EC2's XML answers and query parameters.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "uploader/cloud/ec2_client.h"

namespace coldshelf {

using Ec2Parameters = std::vector<std::pair<std::string, std::string>>;

void add_ec2_list(Ec2Parameters& to, const std::string& name,
                  const std::vector<std::string>& values);  // "SnapshotId.1", ...
void add_ec2_filters(Ec2Parameters& to, const std::vector<Ec2Filter>& filters);
void add_ec2_tags(Ec2Parameters& to, const std::string& resource_type, const Ec2Tags& tags);

// Appends; the token of the next page, "" when there is none. unavailable: not what was expected.
Result<std::string> parse_ec2_snapshots(const std::string& xml, std::vector<Ec2Snapshot>& out);
Result<std::string> parse_ec2_volumes(const std::string& xml, std::vector<Ec2Volume>& out);
Result<Ec2Snapshot> parse_ec2_snapshot(const std::string& xml);
Result<Ec2Volume> parse_ec2_volume(const std::string& xml);
// The volume at the root device of `instance`; "" when there is none. not_found: no such instance.
Result<std::string> parse_ec2_root_volume(const std::string& xml, const std::string& instance);
Result<std::vector<std::string>> parse_ec2_regions(const std::string& xml);
Result<std::string> parse_ec2_value(const std::string& xml, const char* name);
// The image that stands on `snapshot`; "" when none does.
Result<std::string> parse_ec2_image_on(const std::string& xml, const std::string& snapshot);

struct Ec2Fault {
  std::string code;
  std::string message;
};
Ec2Fault parse_ec2_fault(const std::string& xml);
ErrorCode ec2_error_code(int status, const std::string& code);
bool ec2_is_throttled(const std::string& code);  // refused, so that it may be repeated

}  // namespace coldshelf
