// CHAP credentials of single targets.
#include "gateway/api/service.h"
#include "gateway/volume_service.h"

namespace coldshelf::api {

namespace {

bool valid_initiator(const std::string& name) {
  return name.find_first_not_of("0123456789abcdefghijklmnopqrstuvwxyz:.-") == std::string::npos;
}

}  // namespace

std::string Service::target_arn(const std::string& iqn) const {
  return gateway_arn() + "/target/" + iqn;
}

// The target's name, when this gateway has such a target.
Result<std::string> Service::target_of(const std::string& arn) const {
  const std::string prefix = gateway_arn() + "/target/";
  const auto none = [&] { return Error(ErrorCode::not_found, "there is no target " + arn); };
  if (!arn.starts_with(prefix)) return none();
  std::string iqn = arn.substr(prefix.size());
  if (iqn == target_iqn(std::string(kChangerDeviceName))) return iqn;
  for (const Element& e : library().elements(ElementType::data_transfer)) {
    if (iqn == target_iqn(drive_device_name(e.number))) return iqn;
  }
  const std::string volume = volume_iqn(env_.config.gateway.name, "");
  if (env_.volumes != nullptr && iqn.starts_with(volume)) {
    const auto v = env_.volumes->show(iqn.substr(volume.size()));
    if (v.ok() && !v->archive && volume_iqn(env_.config.gateway.name, v->name) == iqn) return iqn;
  }
  return none();
}

bool Service::chap_enabled(const std::string& iqn) const {
  if (!env_.config.iscsi.chap.user.empty()) return true;
  return env_.chap != nullptr && !env_.chap->list(iqn).empty();
}

void Service::add_chap_operations() {
  if (env_.chap == nullptr) return;
  ChapRegistry& chap = *env_.chap;
  aws("DescribeChapCredentials", [this, &chap](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string arn, in.text("TargetARN"));
    ASSIGN_OR_RETURN(const std::string iqn, target_of(arn));
    Json out = {{"ChapCredentials", Json::array()}};
    for (const iscsi::TargetChap& entry : chap.list(iqn)) {
      Json one = {{"TargetARN", arn},
                  {"InitiatorName", entry.initiator},
                  {"SecretToAuthenticateInitiator", entry.initiator_secret.reveal()}};
      if (!entry.target_secret.empty()) {
        one["SecretToAuthenticateTarget"] = entry.target_secret.reveal();
      }
      out["ChapCredentials"].push_back(std::move(one));
    }
    return out;
  });
  aws("UpdateChapCredentials", [this, &chap](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string arn, in.text("TargetARN"));
    iscsi::TargetChap entry;
    ASSIGN_OR_RETURN(entry.initiator, in.text("InitiatorName"));
    if (!valid_initiator(entry.initiator)) {
      return Error(ErrorCode::invalid_argument, "InitiatorName must be an iSCSI name");
    }
    ASSIGN_OR_RETURN(const std::string secret, in.text("SecretToAuthenticateInitiator"));
    ASSIGN_OR_RETURN(const std::string target, in.text_or("SecretToAuthenticateTarget", ""));
    entry.initiator_secret = Secret(std::string_view(secret));
    entry.target_secret = Secret(std::string_view(target));
    ASSIGN_OR_RETURN(const std::string iqn, target_of(arn));
    TRY(chap.put(iqn, entry));
    return Json{{"TargetARN", arn}, {"InitiatorName", entry.initiator}};
  });
  aws("DeleteChapCredentials", [this, &chap](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string arn, in.text("TargetARN"));
    ASSIGN_OR_RETURN(const std::string initiator, in.text("InitiatorName"));
    ASSIGN_OR_RETURN(const std::string iqn, target_of(arn));
    TRY(chap.remove(iqn, initiator));
    return Json{{"TargetARN", arn}, {"InitiatorName", initiator}};
  });
}

}  // namespace coldshelf::api
