// Users of the management API, their access keys, and what they did.
#include "gateway/api/roles.h"
#include "gateway/api/service.h"

namespace coldshelf::api {

namespace {

constexpr int64_t kMaxGraceMs = 30LL * 24 * 3'600'000;
constexpr uint64_t kMaxAuditLimit = 10'000;

Json user_json(const ApiUser& user) {
  Json out = {{"Name", user.name},
              {"Role", to_string(user.role)},
              {"Created", format_utc(user.created_ms)},
              {"AccessKeys", Json::array()}};
  for (const AccessKey& key : user.keys) {
    Json one = {{"AccessKeyId", key.id}, {"Created", format_utc(key.created_ms)}};
    if (key.expires_ms != 0) one["Expires"] = format_utc(key.expires_ms);
    out["AccessKeys"].push_back(std::move(one));
  }
  return out;
}

// The one answer that holds a secret.
Json new_key_json(const AccessKeys::NewKey& made) {
  Json out = user_json(made.user);
  out["AccessKeyId"] = made.access_key_id;
  out["SecretAccessKey"] = made.secret.reveal();
  return out;
}

}  // namespace

void Service::add_user_operations() {
  // What there is, and for whom: the console shows what its user may do.
  own("ListOperations", [this](const Params&) -> Result<Json> {
    Json out = {{"Operations", Json::array()}};
    for (const std::string& name : operations()) {
      if (!name.starts_with(kOwnPrefix)) continue;
      const OperationRule rule = rule_of(name);
      out["Operations"].push_back({{"Name", name.substr(kOwnPrefix.size())},
                                   {"Role", to_string(rule.role)},
                                   {"Changes", rule.changes}});
    }
    return out;
  });
  if (env_.access_keys == nullptr || env_.audit == nullptr) return;
  AccessKeys& keys = *env_.access_keys;
  AuditLog& audit = *env_.audit;
  own("ListUsers", [&keys](const Params&) -> Result<Json> {
    Json out = {{"Users", Json::array()}};
    for (const ApiUser& user : keys.list()) out["Users"].push_back(user_json(user));
    return out;
  });
  own("CreateUser", [&keys](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string name, in.text("Name"));
    ASSIGN_OR_RETURN(const std::string given, in.text("Role"));
    const auto role = parse_role(given);
    if (!role) {
      return Error(ErrorCode::invalid_argument,
                   "Role is admin, operator or viewer, not '" + given + "'");
    }
    ASSIGN_OR_RETURN(const AccessKeys::NewKey made, keys.add(name, *role));
    return new_key_json(made);
  });
  own("DeleteUser", [&keys](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string name, in.text("Name"));
    TRY(keys.remove(name));
    return Json{{"Name", name}};
  });
  own("RotateAccessKey", [&keys](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string name, in.text("Name"));
    ASSIGN_OR_RETURN(const uint64_t grace, in.number_or("GraceMs", 0, 0, kMaxGraceMs));
    ASSIGN_OR_RETURN(const AccessKeys::NewKey made, keys.rotate(name, static_cast<int64_t>(grace)));
    return new_key_json(made);
  });
  own("ListAudit", [&audit](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const uint64_t limit, in.number_or("Limit", 100, 1, kMaxAuditLimit));
    ASSIGN_OR_RETURN(const uint64_t before, in.number_or("Before", 0, 0, INT64_MAX));
    ASSIGN_OR_RETURN(const auto records, audit.list(limit, before));
    Json out = {{"Records", Json::array()}};
    for (Json r : records) {  // a copy: a forged record may lack what it likes
      out["Records"].push_back({{"Sequence", r["seq"]},
                                {"Time", r["time"]},
                                {"Who", r["who"]},
                                {"Role", r["role"]},
                                {"AccessKeyId", r["key"]},
                                {"From", r["from"]},
                                {"Operation", r["operation"]},
                                {"Input", r["input"]},
                                {"Result", r["result"]}});
    }
    if (records.size() == limit) out["Before"] = records.back().at("seq");
    return out;
  });
  own("VerifyAudit", [&audit](const Params&) -> Result<Json> {
    ASSIGN_OR_RETURN(const AuditLog::Report report, audit.verify());
    return Json{{"Ok", report.ok()},
                {"Records", report.records},
                {"Last", report.last},
                {"Problems", report.problems}};
  });
}

}  // namespace coldshelf::api
