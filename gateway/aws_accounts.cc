#include "gateway/aws_accounts.h"

#include <algorithm>

#include "base/environment.h"
#include "gateway/secrets.h"
#include "uploader/cloud/role_credentials.h"

namespace coldshelf {

namespace {

constexpr size_t kConnections = 512;  // kept open

// "eu-central-1", "us-gov-east-1". It becomes a part of a host's name that requests with our
// credentials go to: nothing else may get in there.
bool is_region(const std::string& text) {
  constexpr size_t kLongest = 32;
  const auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  };
  return text.size() <= kLongest && std::all_of(text.begin(), text.end(), good) &&
         text.find('-') != std::string::npos && text.front() != '-' && text.back() != '-';
}

// As AWS's own tools take it.
std::string endpoint_of(const std::string& configured, const char* variable) {
  if (!configured.empty()) return configured;
  const std::string own = environment(variable);
  return own.empty() ? environment("AWS_ENDPOINT_URL") : own;
}

}  // namespace

Result<std::unique_ptr<AwsAccounts>> AwsAccounts::create(const Config& config, const Env& env) {
  std::unique_ptr<AwsAccounts> out(new AwsAccounts(config, env));
  CurlOptions curl;
  curl.ca_file = config.aws.ca_file.empty() ? environment("AWS_CA_BUNDLE") : config.aws.ca_file;
  curl.idle_connections = kConnections;
  ASSIGN_OR_RETURN(out->transport_, make_curl_transport(curl));
  EbsQuotas quotas;
  quotas.get_per_account = quotas.get_per_snapshot =
      static_cast<double>(config.aws.reads_per_second);
  quotas.put_per_account = quotas.put_per_snapshot =
      static_cast<double>(config.aws.writes_per_second);
  out->pace_ = std::make_shared<EbsPace>(quotas);
  return out;
}

Result<const AccountConfig*> AwsAccounts::find(const std::string& name) const {
  if (name.empty()) return static_cast<const AccountConfig*>(nullptr);
  for (const AccountConfig& account : config_.accounts) {
    if (account.name == name || account.id == name) return &account;
  }
  return Error(ErrorCode::not_found, "there is no account '" + name + "' in the configuration");
}

std::vector<std::string> AwsAccounts::names() const {
  std::vector<std::string> out;
  for (const AccountConfig& account : config_.accounts) out.push_back(account.name);
  return out;
}

Result<std::vector<std::string>> AwsAccounts::regions(const std::string& name) const {
  ASSIGN_OR_RETURN(const AccountConfig* account, find(name));
  if (account != nullptr && !account->regions.empty()) return account->regions;
  std::vector<std::string> out;
  if (!config_.aws.region.empty()) out.push_back(config_.aws.region);
  return out;
}

Result<AwsPlace> AwsAccounts::resolve(const AwsPlace& place) {
  ASSIGN_OR_RETURN(const AccountConfig* account, find(place.account));
  AwsPlace out{account == nullptr ? "" : account->name, place.region};
  if (!out.region.empty() && !is_region(out.region)) {
    return Error(ErrorCode::invalid_argument, "'" + out.region + "' is no region: eu-central-1");
  }
  if (!out.region.empty()) return out;
  ASSIGN_OR_RETURN(const auto known, regions(out.account));
  if (!known.empty()) {
    out.region = known.front();
    return out;
  }
  const std::lock_guard lock(mutex_);
  if (own_region_.empty()) {
    CredentialOptions options;
    options.profile = config_.aws.profile;
    ASSIGN_OR_RETURN(own_region_,
                     find_aws_region(*env_.files, *env_.clock, *transport_, options, true));
  }
  if (own_region_.empty()) {
    return Error(ErrorCode::invalid_argument,
                 "no region is known: give one, or set aws.region in the configuration");
  }
  out.region = own_region_;
  return out;
}

Result<std::shared_ptr<CredentialsProvider>> AwsAccounts::own_credentials(
    const std::string& region) {
  const Config::Aws& aws = config_.aws;
  if (!aws.access_key_id.empty()) {
    Credentials key;
    key.access_key_id = aws.access_key_id;
    ASSIGN_OR_RETURN(key.secret_access_key,
                     load_secret(*env_.files, aws.secret_key_file, aws.secret_key_env));
    return std::shared_ptr<CredentialsProvider>(make_static_credentials(std::move(key)));
  }
  CredentialOptions options;
  options.profile = aws.profile;
  options.region = region;
  options.sts_endpoint = endpoint_of(aws.sts_endpoint, "AWS_ENDPOINT_URL_STS");
  return std::shared_ptr<CredentialsProvider>(
      make_credential_chain(*env_.files, *env_.clock, *transport_, options));
}

Result<std::shared_ptr<CredentialsProvider>> AwsAccounts::credentials(const AwsPlace& wanted) {
  ASSIGN_OR_RETURN(const AwsPlace place, resolve(wanted));
  ASSIGN_OR_RETURN(const AccountConfig* account, find(place.account));
  const std::lock_guard lock(mutex_);
  std::shared_ptr<CredentialsProvider>& held = credentials_[place.account + " " + place.region];
  if (held != nullptr) return held;
  if (account == nullptr) {
    ASSIGN_OR_RETURN(held, own_credentials(place.region));
    return held;
  }
  std::shared_ptr<CredentialsProvider> as;
  if (account->profile.empty()) {
    ASSIGN_OR_RETURN(as, own_credentials(place.region));
  } else {
    CredentialOptions options;
    options.profile = account->profile;
    options.region = place.region;
    options.sts_endpoint = endpoint_of(config_.aws.sts_endpoint, "AWS_ENDPOINT_URL_STS");
    as = make_credential_chain(*env_.files, *env_.clock, *transport_, options);
  }
  if (account->role_arn.empty()) {
    held = as;
    return held;
  }
  AssumeRole role;
  role.role_arn = account->role_arn;
  role.external_id = account->external_id;
  role.session_name = "coldshelf";
  held = make_role_credentials(as, role, place.region,
                               endpoint_of(config_.aws.sts_endpoint, "AWS_ENDPOINT_URL_STS"),
                               env_.clock, transport_);
  return held;
}

Result<std::unique_ptr<EbsClient>> AwsAccounts::ebs(const AwsPlace& wanted, Stop stop) {
  ASSIGN_OR_RETURN(const AwsPlace place, resolve(wanted));
  ASSIGN_OR_RETURN(auto provider, credentials(place));
  ASSIGN_OR_RETURN(const AccountConfig* account, find(place.account));
  EbsClient::Options options;
  options.region = place.region;
  options.endpoint = endpoint_of(config_.aws.ebs_endpoint, "AWS_ENDPOINT_URL_EBS");
  // Two names of one account share its quota.
  const bool known = account != nullptr && !account->id.empty();
  options.account = (known ? account->id : place.account) + "/" + place.region;
  options.timeout_ms = config_.aws.timeout_ms;
  options.window.most = static_cast<size_t>(config_.aws.requests);
  options.window.first = std::min(options.window.first, options.window.most);
  options.window.least = std::min<size_t>(4, options.window.most);
  return std::make_unique<EbsClient>(options, env_.clock, transport_, std::move(provider), pace_,
                                     std::move(stop));
}

Result<std::unique_ptr<Ec2Client>> AwsAccounts::ec2(const AwsPlace& wanted, Stop stop,
                                                    int64_t patience_ms) {
  ASSIGN_OR_RETURN(const AwsPlace place, resolve(wanted));
  ASSIGN_OR_RETURN(auto provider, credentials(place));
  Ec2Client::Options options;
  options.region = place.region;
  options.endpoint = endpoint_of(config_.aws.ec2_endpoint, "AWS_ENDPOINT_URL_EC2");
  options.timeout_ms = config_.aws.timeout_ms;
  if (patience_ms > 0) options.patience_ms = patience_ms;
  return std::make_unique<Ec2Client>(options, env_.clock, transport_, std::move(provider),
                                     std::move(stop));
}

void AwsAccounts::give_up() { transport_->give_up(); }

}  // namespace coldshelf
