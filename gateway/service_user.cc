#include "gateway/service_user.h"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

namespace coldshelf {

namespace {

// Null: nothing is to be given to anybody.
const passwd* receiver() { return ::geteuid() == 0 ? ::getpwnam(kServiceUser) : nullptr; }

Error not_given(int number, const std::string& path) {
  return error_from_errno(number, "giving " + path + " to the user " + kServiceUser);
}

Status give_if_root_has_it(const std::string& path, const passwd& user) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return not_given(errno, path);
  if (info.st_uid != 0) return {};
  if (::lchown(path.c_str(), user.pw_uid, user.pw_gid) == 0) return {};
  return not_given(errno, path);
}

}  // namespace

Status give_to_service(const std::string& path, bool group_only) {
  const passwd* const user = receiver();
  if (user == nullptr) return {};
  if (::chown(path.c_str(), group_only ? 0 : user->pw_uid, user->pw_gid) == 0) return {};
  return not_given(errno, path);
}

Status give_tree_to_service(const std::string& path) {
  namespace fs = std::filesystem;
  const passwd* const user = receiver();
  if (user == nullptr) return {};
  TRY(give_if_root_has_it(path, *user));
  std::error_code failed;
  for (fs::recursive_directory_iterator at(path, failed), end; !failed && at != end;
       at.increment(failed)) {
    TRY(give_if_root_has_it(at->path().string(), *user));
  }
  if (failed && failed != std::errc::not_a_directory) return not_given(failed.value(), path);
  return {};
}

bool is_of_service(const std::string& directory) {
  const passwd* const user = receiver();
  struct stat info {};
  return user != nullptr && ::stat(directory.c_str(), &info) == 0 && info.st_gid == user->pw_gid;
}

Result<std::optional<std::string>> first_missing(FileSystem& files, const std::string& path) {
  std::optional<std::string> missing;
  for (std::string at = path; at != "/" && at != "."; at = parent_directory(at)) {
    ASSIGN_OR_RETURN(const bool there, files.exists(at));
    if (there) break;
    missing = at;
  }
  return missing;
}

}  // namespace coldshelf
