// Calls the daemon's management API over its Unix socket.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "base/result.h"

namespace coldshelf::cli {

using Json = nlohmann::json;

class ApiClient {
 public:
  explicit ApiClient(std::string socket_path) : socket_path_(std::move(socket_path)) {}

  // `operation` without prefix: one of Coldshelf_20261101. unavailable: nobody listens; else the
  // daemon's own error with its code.
  Result<Json> call(const std::string& operation, const Json& input) const;
  const std::string& socket_path() const { return socket_path_; }

 private:
  const std::string socket_path_;
};

}  // namespace coldshelf::cli
