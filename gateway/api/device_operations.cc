// The virtual tape devices: DescribeVTLDevices, UpdateVTLDeviceType.
#include <algorithm>

#include "base/log.h"
#include "gateway/api/service.h"

namespace coldshelf::api {

namespace {

struct Device {
  std::string name;
  const char* type;
  std::string_view vendor, product;
};

}  // namespace

// The device's name of an ARN ("mediachanger", "tapedrive-01").
Result<std::string> Service::device_of(const std::string& arn) const {
  const std::string prefix = gateway_arn() + "/device/";
  const std::string name = arn.starts_with(prefix) ? arn.substr(prefix.size()) : "";
  if (name == kChangerDeviceName) return name;
  for (const Element& e : library().elements(ElementType::data_transfer)) {
    if (name == drive_device_name(e.number)) return name;
  }
  return Error(ErrorCode::not_found, "there is no device " + arn);
}

Result<Json> Service::list_devices(const Params& in) const {
  ASSIGN_OR_RETURN(const auto arns, in.texts("VTLDeviceARNs"));
  ASSIGN_OR_RETURN(const std::string marker, in.text_or("Marker", ""));
  ASSIGN_OR_RETURN(const uint64_t limit, in.number_or("Limit", 1'000, 1, INT32_MAX));
  for (const std::string& arn : arns) TRY(device_of(arn));
  HostPort where{"127.0.0.1", 3260};
  const auto endpoints = env_.endpoints ? env_.endpoints() : std::vector<std::string>();
  if (!endpoints.empty()) {
    ASSIGN_OR_RETURN(where, parse_listen_address(endpoints.front(), 3260));
  }
  std::vector<Device> devices;
  const ChangerProfile& changer = *library().options().profile;
  devices.push_back(
      {std::string(kChangerDeviceName), "Medium Changer", changer.vendor, changer.product});
  for (const Element& e : library().elements(ElementType::data_transfer)) {
    const DriveProfile& profile = *e.drive->options().profile;
    devices.push_back({drive_device_name(e.number), "Tape Drive", profile.vendor, profile.product});
  }
  Json out = {{"GatewayARN", gateway_arn()}, {"VTLDevices", Json::array()}};
  std::string last;
  for (const Device& device : devices) {
    const std::string arn = device_arn(device.name);
    if (!arns.empty() && std::find(arns.begin(), arns.end(), arn) == arns.end()) continue;
    if (!marker.empty() && device.name <= marker) continue;
    if (out["VTLDevices"].size() == limit) {
      out["Marker"] = last;
      break;
    }
    last = device.name;
    const std::string iqn = target_iqn(device.name);
    out["VTLDevices"].push_back({{"VTLDeviceARN", arn},
                                 {"VTLDeviceType", device.type},
                                 {"VTLDeviceVendor", device.vendor},
                                 {"VTLDeviceProductIdentifier", device.product},
                                 {"DeviceiSCSIAttributes",
                                  {{"TargetARN", target_arn(iqn)},
                                   {"NetworkInterfaceId", where.host},
                                   {"NetworkInterfacePort", where.port},
                                   {"ChapEnabled", chap_enabled(iqn)}}}});
  }
  return out;
}

// Element addresses change with the model, and hosts keep them: it takes effect at the next start.
Result<Json> Service::update_device_type(const Params& in) {
  ASSIGN_OR_RETURN(const std::string arn, in.text("VTLDeviceARN"));
  ASSIGN_OR_RETURN(const std::string type, in.text("DeviceType"));
  ASSIGN_OR_RETURN(const std::string device, device_of(arn));
  if (device != kChangerDeviceName) {
    return Error(ErrorCode::not_supported, "only the medium changer's type can be changed");
  }
  const ChangerProfile* profile = find_changer(type);
  if (profile == nullptr) {
    std::string known;
    for (const std::string_view name : changer_names()) {
      known += (known.empty() ? "" : ", ") + std::string(name);
    }
    return Error(ErrorCode::invalid_argument, "DeviceType is one of " + known);
  }
  TRY(catalog().set_setting(kChangerSetting, type));
  if (profile != library().options().profile) {
    log_info("library", "another medium changer from the next start on", {{"type", type}});
  }
  return Json{{"VTLDeviceARN", arn}};
}

void Service::add_device_operations() {
  aws("DescribeVTLDevices", [this](const Params& in) { return list_devices(in); });
  aws("UpdateVTLDeviceType", [this](const Params& in) { return update_device_type(in); });
}

}  // namespace coldshelf::api
