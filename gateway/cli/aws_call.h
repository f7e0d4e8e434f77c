// The operations that only AWS's half of the API has, and the ARNs they want.
#pragma once

#include <string>

#include "gateway/cli/command_line.h"

namespace coldshelf::cli {

// Of StorageGateway_20130630, with GatewayARN filled in.
Result<Json> call_aws(CommandLine& line, const std::string& operation, Json input);

Result<std::string> gateway_arn(CommandLine& line);
// "tapedrive-01", "mediachanger", a volume's name, an iSCSI name, or an ARN as it is.
Result<std::string> target_arn(CommandLine& line, const std::string& target);
// "gateway", "tape/BARCODE", "pool/NAME", "device/NAME", "volume/NAME", or an ARN as it is.
Result<std::string> resource_arn(CommandLine& line, const std::string& resource);

}  // namespace coldshelf::cli
