// What AWS checks of an operation's input before it looks at anything else: which members there
// must be, of which type, how long, how large. One table (aws_inputs.cc), after AWS's API
// reference.
#pragma once

#include <string_view>

#include "gateway/api/params.h"

namespace coldshelf::api {

// `operation` without its prefix; one that the table does not know has nothing to check.
Status check_aws_input(std::string_view operation, const Json& input);
// Whether the operation must name this gateway (GatewayARN).
bool names_gateway(std::string_view operation);

// error.errorCode of InvalidGatewayRequestException and its kin.
std::string_view aws_error_code(std::string_view operation, const Error& error);

}  // namespace coldshelf::api
