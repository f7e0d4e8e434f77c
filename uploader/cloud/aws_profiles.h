// The files of AWS's tools: ~/.aws/config and ~/.aws/credentials (an INI of their own).
// https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "base/file_system.h"
#include "base/result.h"

namespace coldshelf {

using AwsSettings = std::map<std::string, std::string>;  // names in lower case

struct AwsProfiles {
  std::map<std::string, AwsSettings> profiles;  // the credentials file's values win
  std::map<std::string, AwsSettings> sso_sessions;
  std::string config_path;
  std::string credentials_path;
};

// $AWS_CONFIG_FILE and $AWS_SHARED_CREDENTIALS_FILE, else <home>/.aws/...; files that are not there
// are empty. invalid_argument: a line that cannot be read, named without its content.
Result<AwsProfiles> load_aws_profiles(FileSystem& files,
                                      const std::function<std::string(const char*)>& environment,
                                      const std::string& home);

enum class AwsFileKind { config, credentials };
// Adds what `text` says. `path` is for messages.
Status parse_aws_file(std::string_view text, const std::string& path, AwsFileKind kind,
                      AwsProfiles& out);

}  // namespace coldshelf
