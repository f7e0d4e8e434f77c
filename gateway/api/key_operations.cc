// Keys: which tape is under which, and rotation.
#include "gateway/api/service.h"

namespace coldshelf::api {

Result<Json> Service::describe_keys() const {
  ASSIGN_OR_RETURN(const KeyReport report, env_.keys->report());
  const RotationProgress rotation = env_.keys->progress();
  Json out = {{"Keys", Json::array()},
              {"NotEncrypted", report.not_encrypted},
              {"Unreadable", report.unreadable},
              {"NotUploaded", report.not_uploaded},
              {"Rotation",
               {{"State", to_string(rotation.state)},
                {"Done", rotation.done},
                {"Total", rotation.total},
                {"Waiting", rotation.waiting},
                {"Failed", rotation.failed},
                {"Failures", Json::array()}}}};
  for (const KeyReport::Key& key : report.keys) {
    out["Keys"].push_back(
        {{"KeyId", key.id}, {"State", to_string(key.state)}, {"Tapes", key.tapes}});
  }
  for (const RotationProgress::Failure& failure : rotation.failures) {
    out["Rotation"]["Failures"].push_back({{"Barcode", failure.barcode}, {"Error", failure.error}});
  }
  return out;
}

void Service::add_key_operations() {
  if (env_.keys == nullptr) return;
  own("DescribeKeys", [this](const Params&) { return describe_keys(); });
  own("RotateKeys", [this](const Params&) -> Result<Json> {
    TRY(env_.keys->start());
    return describe_keys();
  });
}

// A tape whose key is not configured lists and shows; it does not load.
void Service::add_key(Json& out, const TapeRow& row) const {
  if (env_.keys == nullptr) return;
  const auto key = env_.keys->key_of(row);
  if (!key.ok() || key->state == KeyState::none) return;
  out["KeyId"] = key->id;
  out["KeyState"] = to_string(key->state);
}

}  // namespace coldshelf::api
