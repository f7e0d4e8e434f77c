#include "gateway/config_aws.h"

#include <algorithm>

namespace coldshelf {

namespace {

Status check_endpoint(const std::string& text) {
  if (text.empty() || text.starts_with("https://") || text.starts_with("http://")) return {};
  return Error(ErrorCode::invalid_argument, "must be https://HOST[:PORT]");
}

bool is_account_id(const std::string& text) {
  return text.size() == 12 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

Status read_account(const TableReader& in, Config& config) {
  AccountConfig account;
  TRY(in.text("name", account.name));
  TRY(in.text("id", account.id));
  TRY(in.text("role_arn", account.role_arn));
  TRY(in.text("external_id", account.external_id));
  TRY(in.text("profile", account.profile));
  TRY(in.texts("regions", account.regions));
  if (account.name.empty() || account.name.size() > 100) {
    return in.wrong("an account needs a name of 1 to 100 characters");
  }
  if (std::any_of(config.accounts.begin(), config.accounts.end(),
                  [&](const AccountConfig& other) { return other.name == account.name; })) {
    return in.wrong("account '" + account.name + "' is there twice");
  }
  if (!account.id.empty() && !is_account_id(account.id)) {
    return in.wrong("id", "'" + account.id + "' is no account number of 12 digits");
  }
  if (!account.role_arn.empty() && !account.role_arn.starts_with("arn:")) {
    return in.wrong("role_arn", "must be an ARN, arn:aws:iam::ACCOUNT:role/NAME");
  }
  if (!account.external_id.empty() && account.role_arn.empty()) {
    return in.wrong("external_id", "needs role_arn");
  }
  if (account.role_arn.empty() && account.profile.empty()) {
    return in.wrong("account '" + account.name + "' needs role_arn or profile");
  }
  config.accounts.push_back(std::move(account));
  return {};
}

std::string show_accounts(const Config& config) {
  std::string out;
  for (const AccountConfig& account : config.accounts) {
    out += "\n[[account]]\nname = " + quoted(account.name) + "\nid = " + quoted(account.id) +
           "\nrole_arn = " + quoted(account.role_arn) +
           "\nexternal_id = " + quoted(account.external_id) +
           "\nprofile = " + quoted(account.profile) + "\nregions = [";
    for (size_t i = 0; i < account.regions.size(); ++i) {
      out += (i > 0 ? ", " : "") + quoted(account.regions[i]);
    }
    out += "]\n";
  }
  return out;
}

}  // namespace

std::vector<KeySpec> aws_keys() {
  using std::string;
  return {
      text_key("aws.region", CONFIG_FIELD(string, aws.region)),
      text_key("aws.profile", CONFIG_FIELD(string, aws.profile)),
      text_key("aws.access_key_id", CONFIG_FIELD(string, aws.access_key_id)),
      text_key("aws.secret_key_file", CONFIG_FIELD(string, aws.secret_key_file)),
      text_key("aws.secret_key_env", CONFIG_FIELD(string, aws.secret_key_env)),
      text_key("aws.ca_file", CONFIG_FIELD(string, aws.ca_file)),
      text_key("aws.ebs_endpoint", CONFIG_FIELD(string, aws.ebs_endpoint), check_endpoint),
      text_key("aws.ec2_endpoint", CONFIG_FIELD(string, aws.ec2_endpoint), check_endpoint),
      text_key("aws.sts_endpoint", CONFIG_FIELD(string, aws.sts_endpoint), check_endpoint),
      text_key("aws.sns_endpoint", CONFIG_FIELD(string, aws.sns_endpoint), check_endpoint),
      count_key("aws.reads_per_second", CONFIG_FIELD(uint64_t, aws.reads_per_second), 1, 1'000'000),
      count_key("aws.writes_per_second", CONFIG_FIELD(uint64_t, aws.writes_per_second), 1,
                1'000'000),
      count_key("aws.requests", CONFIG_FIELD(uint64_t, aws.requests), 1, 1'024),
      count_key("aws.jobs", CONFIG_FIELD(uint64_t, aws.jobs), 1, 64),
      duration_key("aws.timeout", CONFIG_FIELD(int64_t, aws.timeout_ms), 100, kHourMs),
  };
}

TableSpec account_table() {
  return {"account",
          "accounts",
          1'000,
          {"name", "id", "role_arn", "external_id", "profile", "regions"},
          [](Config& c) { c.accounts.clear(); },
          read_account,
          show_accounts};
}

std::optional<std::pair<std::string, std::string>> aws_complaint(const Config& config) {
  using Complaint = std::pair<std::string, std::string>;
  const Config::Aws& aws = config.aws;
  if (!aws.secret_key_file.empty() && !aws.secret_key_env.empty()) {
    return Complaint("aws.secret_key_env", "give a secret file or a variable, not both");
  }
  const bool secret = !aws.secret_key_file.empty() || !aws.secret_key_env.empty();
  if (!aws.access_key_id.empty() && !secret) {
    return Complaint("aws.access_key_id", "needs aws.secret_key_file or aws.secret_key_env");
  }
  if (aws.access_key_id.empty() && secret) {
    return Complaint(aws.secret_key_file.empty() ? "aws.secret_key_env" : "aws.secret_key_file",
                     "needs aws.access_key_id");
  }
  if (!aws.access_key_id.empty() && !aws.profile.empty()) {
    return Complaint("aws.profile", "give a profile or an access key, not both");
  }
  return std::nullopt;
}

}  // namespace coldshelf
