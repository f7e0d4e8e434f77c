// The AWS accounts EBS snapshots are pulled from and restored to: credentials, clients, and the
// pace all jobs share. Thread-safe.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "gateway/config.h"
#include "uploader/cloud/credentials.h"
#include "uploader/cloud/ebs_client.h"
#include "uploader/cloud/ec2_client.h"

namespace coldshelf {

// Where something is. Empty account: the gateway's own; empty region: the account's first.
struct AwsPlace {
  std::string account;  // a name of [[account]]
  std::string region;
};

class AwsAccounts {
 public:
  struct Env {
    FileSystem* files = nullptr;
    std::shared_ptr<Clock> clock;
  };
  using Stop = std::shared_ptr<const std::atomic<bool>>;
  // Asks nobody anything.
  static Result<std::unique_ptr<AwsAccounts>> create(const Config& config, const Env& env);

  // With region and account as they will be used. not_found: no such [[account]];
  // invalid_argument: nobody says which region.
  Result<AwsPlace> resolve(const AwsPlace& place);
  // `place` resolved or not. `window`: of a job; 0: as configured.
  Result<std::unique_ptr<EbsClient>> ebs(const AwsPlace& place, Stop stop = nullptr);
  // `patience_ms`: how long a request is tried again; 0: as Ec2Client has it.
  Result<std::unique_ptr<Ec2Client>> ec2(const AwsPlace& place, Stop stop = nullptr,
                                         int64_t patience_ms = 0);
  Result<std::shared_ptr<CredentialsProvider>> credentials(const AwsPlace& place);
  std::shared_ptr<HttpTransport> transport() const { return transport_; }
  // The account's regions; empty: its only one is found as AWS's own tools find it.
  Result<std::vector<std::string>> regions(const std::string& account) const;
  std::vector<std::string> names() const;  // of [[account]]
  const Config::Aws& settings() const { return config_.aws; }

  void give_up();  // requests under way end soon

 private:
  AwsAccounts(const Config& config, const Env& env) : config_(config), env_(env) {}
  Result<const AccountConfig*> find(const std::string& name) const;
  Result<std::shared_ptr<CredentialsProvider>> own_credentials(const std::string& region);

  const Config config_;
  const Env env_;
  std::shared_ptr<HttpTransport> transport_;
  std::shared_ptr<EbsPace> pace_;
  std::mutex mutex_;
  std::string own_region_;                                                   // as found
  std::map<std::string, std::shared_ptr<CredentialsProvider>> credentials_;  // "account region"
};

}  // namespace coldshelf
