// The user that the packaged unit runs the daemon as. What root makes for it (setup, recover, a new
// key) must become its own: the daemon can neither read nor replace what is root's. Nothing is done
// for anybody but root, and where there is no such user.
#pragma once

#include <optional>
#include <string>

#include "base/file_system.h"
#include "base/result.h"

namespace coldshelf {

constexpr const char* kServiceUser = "coldshelf";

// `group_only`: its group may read it, and it stays root's.
Status give_to_service(const std::string& path, bool group_only);
// `path` and what is below it, as far as it is root's. Links are not followed.
Status give_tree_to_service(const std::string& path);
// A directory of the service's group, as /etc/coldshelf is: what is put there is meant for it.
bool is_of_service(const std::string& directory);

// The topmost directory that making `path` would make; none when it is there.
Result<std::optional<std::string>> first_missing(FileSystem& files, const std::string& path);

}  // namespace coldshelf
