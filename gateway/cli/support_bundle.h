// `coldshelf support-bundle`: what somebody who helps needs to see, in one tar.gz, and no secret.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/secret.h"
#include "gateway/cli/client.h"
#include "gateway/cli/commands.h"
#include "gateway/config.h"

namespace coldshelf::cli {

struct BundleRequest {
  std::string path;      // "coldshelf-support-....tar.gz"
  std::string log_file;  // instead of the journal's
  uint64_t cartridges = 200;
  bool overwrite = false;
};

// Takes out what could be a secret: of every line that sets one, of commands' arguments, of user
// names and passwords in URLs, and each of `secrets` wherever it stands. Thread-safe.
class Redactor {
 public:
  // Secrets shorter than 6 bytes are not looked for: they would be found everywhere.
  explicit Redactor(std::vector<Secret> secrets) : secrets_(std::move(secrets)) {}
  std::string clean(std::string_view text) const;
  std::string clean_config(std::string_view toml) const;

 private:
  std::vector<Secret> secrets_;
};

// Every secret that the configuration points to and that can be read here.
std::vector<Secret> known_secrets(FileSystem& files, const Config& config);

struct BundleReport {
  std::string path;
  std::vector<std::string> members;
  std::vector<std::string> missing;  // what could not be had, and why
};
// `call`: the daemon's operations, by ApiClient; an error there is told in the bundle.
Result<BundleReport> write_support_bundle(
    const CommandEnv& env, const Config& config,
    const std::function<Result<Json>(const std::string&, const Json&)>& call,
    const BundleRequest& request);

}  // namespace coldshelf::cli
