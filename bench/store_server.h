// S3 servers for `./dev bench store`, each a process of its own on loopback, and what other
// programs need to be told to find them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "bench/processes.h"
#include "tests/support/s3_imposter.h"
#include "uploader/cloud/s3_store.h"

namespace coldshelf::bench {

constexpr std::string_view kGatewayPrefix = "gateway";  // of what the daemon stores

class StoreServer {
 public:
  struct ImposterSettings {
    std::string name = "imposter";
    std::string programs;  // where coldshelf_s3_imposter is
    std::string log_path;
    unsigned latency_ms = 0;
    unsigned in_mib_s = 0;
    unsigned out_mib_s = 0;
  };
  static Result<std::unique_ptr<StoreServer>> imposter(const ImposterSettings& settings);
  static Result<std::unique_ptr<StoreServer>> swift();  // an error says what is not installed

  // One that runs in this program, with the imposter's own keys.
  static std::unique_ptr<StoreServer> at(const test::S3Imposter& imposter);

  const std::string& name() const { return name_; }
  const std::string& endpoint() const { return endpoint_; }
  const std::string& bucket() const { return bucket_; }
  // AWS_ACCESS_KEY_ID=... and so on, for `env`.
  std::vector<std::string> environment() const;
  // [store] of a configuration file, and a pool in the class that every server has; the secret is
  // in a file that is made at `secret_path`.
  std::string configuration(const std::string& secret_path) const;
  Result<std::unique_ptr<S3Store>> open(const std::string& prefix);
  Status remove_everything(const std::string& prefix);
  double cpu_seconds() const { return process_ ? process_->cpu_seconds() : 0; }

 private:
  std::string name_;
  std::string endpoint_;
  std::string access_key_;
  std::string secret_;
  std::string bucket_ = "bench";
  std::unique_ptr<Process> process_;
  SystemClock clock_;
  SystemRandom random_;
};

}  // namespace coldshelf::bench
