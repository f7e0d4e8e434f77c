#include "gateway/chap_registry.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace coldshelf {

using Json = nlohmann::json;

namespace {

constexpr uint64_t kMaxFileBytes = 16 * MiB;

std::string owner_of(const std::string& iqn, const std::string& initiator, const char* which) {
  return iqn + "/" + initiator + "/" + which;
}

Status check_secret(const Secret& secret, const char* which) {
  const size_t size = secret.reveal().size();
  if (size >= ChapRegistry::kMinSecretBytes && size <= ChapRegistry::kMaxSecretBytes) return {};
  return Error(ErrorCode::invalid_argument, std::string(which) + " must have 12 to 16 bytes");
}

}  // namespace

Result<std::unique_ptr<ChapRegistry>> ChapRegistry::open(FileSystem& files, Random& random,
                                                         const SecretBox& box,
                                                         const std::string& path) {
  std::unique_ptr<ChapRegistry> out(new ChapRegistry(files, random, box, path));
  TRY(out->load());
  return out;
}

Status ChapRegistry::load() {
  ASSIGN_OR_RETURN(const bool there, files_.exists(path_));
  if (!there) return {};
  ASSIGN_OR_RETURN(const Buffer text, files_.read_file(path_, kMaxFileBytes));
  const Json file = Json::parse(as_text(text), nullptr, false);
  try {
    for (const auto& [iqn, entries] : file.at("targets").items()) {
      for (const Json& entry : entries) {
        iscsi::TargetChap chap;
        chap.initiator = entry.at("initiator").get<std::string>();
        ASSIGN_OR_RETURN(chap.initiator_secret,
                         box_.unseal(entry.at("secret").get<std::string>(),
                                     owner_of(iqn, chap.initiator, "initiator")));
        if (entry.contains("target_secret")) {
          ASSIGN_OR_RETURN(chap.target_secret,
                           box_.unseal(entry.at("target_secret").get<std::string>(),
                                       owner_of(iqn, chap.initiator, "target")));
        }
        targets_[iqn].push_back(std::move(chap));
      }
    }
  } catch (const Json::exception& e) {
    return Error(ErrorCode::corrupt, path_ + " is damaged: " + e.what());
  }
  return {};
}

Status ChapRegistry::replace(Targets targets, const std::string& iqn) {
  Json file = {{"version", 1}, {"targets", Json::object()}};
  for (const auto& [name, entries] : targets) {
    for (const iscsi::TargetChap& chap : entries) {
      Json entry = {{"initiator", chap.initiator},
                    {"secret", box_.seal(chap.initiator_secret,
                                         owner_of(name, chap.initiator, "initiator"), random_)}};
      if (!chap.target_secret.empty()) {
        entry["target_secret"] =
            box_.seal(chap.target_secret, owner_of(name, chap.initiator, "target"), random_);
      }
      file["targets"][name].push_back(std::move(entry));
    }
  }
  TRY(files_.replace_file(path_, as_view(file.dump(1) + "\n"), OpenMode::create_private));
  targets_ = std::move(targets);
  const auto at = targets_.find(iqn);
  if (apply_) apply_(iqn, at == targets_.end() ? std::vector<iscsi::TargetChap>() : at->second);
  return {};
}

void ChapRegistry::apply_to(Apply apply) {
  const std::lock_guard lock(mutex_);
  apply_ = std::move(apply);
}

std::map<std::string, std::vector<iscsi::TargetChap>> ChapRegistry::all() const {
  const std::lock_guard lock(mutex_);
  return targets_;
}

std::vector<iscsi::TargetChap> ChapRegistry::list(const std::string& iqn) const {
  const std::lock_guard lock(mutex_);
  const auto at = targets_.find(iqn);
  return at == targets_.end() ? std::vector<iscsi::TargetChap>() : at->second;
}

Status ChapRegistry::put(const std::string& iqn, const iscsi::TargetChap& chap) {
  TRY(check_secret(chap.initiator_secret, "SecretToAuthenticateInitiator"));
  if (!chap.target_secret.empty()) {
    TRY(check_secret(chap.target_secret, "SecretToAuthenticateTarget"));
    // RFC 7143 9.2.1: one secret for both directions invites reflection.
    if (chap.target_secret.reveal() == chap.initiator_secret.reveal()) {
      return Error(ErrorCode::invalid_argument,
                   "SecretToAuthenticateTarget must not be SecretToAuthenticateInitiator");
    }
  }
  const std::lock_guard lock(mutex_);
  Targets targets = targets_;
  auto& entries = targets[iqn];
  std::erase_if(entries, [&](const auto& old) { return old.initiator == chap.initiator; });
  if (entries.size() >= kMaxInitiators) {
    return Error(ErrorCode::out_of_range, "a target has at most 64 initiators with CHAP");
  }
  entries.push_back(chap);
  return replace(std::move(targets), iqn);
}

Status ChapRegistry::remove(const std::string& iqn, const std::string& initiator) {
  const std::lock_guard lock(mutex_);
  Targets targets = targets_;
  const auto at = targets.find(iqn);
  const size_t gone = at == targets.end() ? 0 : std::erase_if(at->second, [&](const auto& c) {
    return c.initiator == initiator;
  });
  if (gone == 0) {
    return Error(ErrorCode::not_found, "there are no CHAP credentials of " + initiator + " here");
  }
  if (at->second.empty()) targets.erase(at);
  return replace(std::move(targets), iqn);
}

Status ChapRegistry::forget(const std::string& iqn) {
  const std::lock_guard lock(mutex_);
  if (!targets_.contains(iqn)) return {};
  Targets targets = targets_;
  targets.erase(iqn);
  return replace(std::move(targets), iqn);
}

}  // namespace coldshelf
