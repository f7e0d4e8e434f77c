// Calls a daemon's management API: over its Unix socket, or over HTTPS with an access key (SigV4).
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "base/clock.h"
#include "base/file_system.h"
#include "base/result.h"
#include "uploader/cloud/credentials.h"
#include "uploader/cloud/http.h"

namespace coldshelf::cli {

using Json = nlohmann::json;

// Where a daemon elsewhere is, and who asks.
struct Remote {
  std::string endpoint;  // "https://gateway:8443"
  std::string ca_file;   // empty: the system's certificates
  Credentials credentials;
};

// What was said on the command line, filled up by a profile of ~/.aws/config and ~/.aws/credentials
// (endpoint_url, ca_bundle, the access key) and by $COLDSHELF_ENDPOINT, $COLDSHELF_CA_FILE,
// $AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY.
struct RemoteChoice {
  std::string endpoint, profile, ca_file;
  bool given() const { return !endpoint.empty() || !profile.empty(); }
};
Result<Remote> find_remote(FileSystem& files, const RemoteChoice& choice);

class ApiClient {
 public:
  explicit ApiClient(std::string socket_path) : socket_path_(std::move(socket_path)) {}
  static Result<ApiClient> remote(Remote remote, Clock& clock);

  // `operation` without a prefix: one of Coldshelf_20261101. An error is the daemon's own with its
  // code; `unreachable` says whether nobody was there to ask.
  Result<Json> call(const std::string& operation, const Json& input, bool& unreachable) const;
  const std::string& socket_path() const { return socket_path_; }

 private:
  ApiClient() = default;
  Result<Json> call_local(const std::string& target, const std::string& body,
                          bool& unreachable) const;
  Result<Json> call_remote(const std::string& target, const std::string& body,
                           bool& unreachable) const;

  std::string socket_path_;
  Remote remote_;
  Clock* clock_ = nullptr;
  std::shared_ptr<HttpTransport> transport_;  // null: the socket
};

}  // namespace coldshelf::cli
