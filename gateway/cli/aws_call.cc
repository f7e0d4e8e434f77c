#include "gateway/cli/aws_call.h"

#include "gateway/api/service.h"

namespace coldshelf::cli {

Result<std::string> gateway_arn(CommandLine& line) {
  ASSIGN_OR_RETURN(const Json answer,
                   line.call("StorageGateway_20130630.ListGateways", Json::object()));
  if (!answer.contains("Gateways") || answer["Gateways"].empty()) {
    return Error(ErrorCode::internal, "the gateway does not name itself");
  }
  return answer["Gateways"][0].value("GatewayARN", "");
}

Result<Json> call_aws(CommandLine& line, const std::string& operation, Json input) {
  ASSIGN_OR_RETURN(input["GatewayARN"], gateway_arn(line));
  return line.call((std::string(api::kAwsPrefix) + operation).c_str(), input);
}

Result<std::string> target_arn(CommandLine& line, const std::string& target) {
  if (target.starts_with("arn:")) return target;
  if (target.starts_with("iqn.")) {
    ASSIGN_OR_RETURN(const std::string arn, gateway_arn(line));
    return arn + "/target/" + target;
  }
  ASSIGN_OR_RETURN(const Json devices, call_aws(line, "DescribeVTLDevices", Json::object()));
  for (const Json& device : devices["VTLDevices"]) {
    if (device.value("VTLDeviceARN", "").ends_with("/device/" + target)) {
      return device["DeviceiSCSIAttributes"].value("TargetARN", "");
    }
  }
  ASSIGN_OR_RETURN(const Json volume, line.call("DescribeVolume", {{"Volume", target}}));
  const std::string iqn = volume.value("Target", "");
  if (iqn.empty()) return Error(ErrorCode::not_ready, "volume " + target + " has no target now");
  return target_arn(line, iqn);
}

Result<std::string> resource_arn(CommandLine& line, const std::string& resource) {
  if (resource.starts_with("arn:")) return resource;
  ASSIGN_OR_RETURN(const std::string gateway, gateway_arn(line));
  const std::string account = gateway.substr(0, gateway.find("gateway/"));
  const size_t slash = resource.find('/');
  const std::string kind = resource.substr(0, slash);
  const std::string name = slash == std::string::npos ? "" : resource.substr(slash + 1);
  if (kind == "gateway" && name.empty()) return gateway;
  if (kind == "tape" && !name.empty()) return account + "tape/" + name;
  if (kind == "pool" && !name.empty()) return account + "tapepool/" + name;
  if (kind == "device" && !name.empty()) return gateway + "/device/" + name;
  if (kind == "volume" && !name.empty()) {
    ASSIGN_OR_RETURN(const Json volume, line.call("DescribeVolume", {{"Volume", name}}));
    return gateway + "/volume/" + volume.value("VolumeId", "");
  }
  return Error(
      ErrorCode::invalid_argument,
      "'" + resource + "' is none of gateway, tape/BARCODE, pool/NAME, device/NAME, volume/NAME");
}

}  // namespace coldshelf::cli
