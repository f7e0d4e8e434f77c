// The data directory: one daemon at a time, and a version so that an older program never touches a
// newer layout.
//   <dir>/lock  version  identity  catalog.db  library  cartridges/<uuid>/...  units/<uuid>/...
//   quiesce/  scratch/  coldshelf.sock  store/  reserve (space for a start on a full disk)
#pragma once

#include <memory>
#include <string>

#include "base/file_system.h"
#include "base/result.h"

namespace coldshelf {

constexpr unsigned kDataFormatVersion = 1;

// There while `coldshelf recover` has not finished.
constexpr const char* kRecoveringName = "recovering";

class DataDirectory {
 public:
  // Makes it when it is not there. busy: another daemon holds it; unsupported_version: made by a
  // newer program; read_only / permission / no_space: it cannot be written.
  // conflict: `coldshelf recover` was cut short in it; `recovering`: that is what opens it.
  static Result<std::unique_ptr<DataDirectory>> open(FileSystem& files, const std::string& path,
                                                     bool recovering = false);

  const std::string& path() const { return path_; }
  std::string catalog_path() const { return join_path(path_, "catalog.db"); }
  std::string identity_path() const { return join_path(path_, "identity"); }
  std::string inventory_path() const { return join_path(path_, "library"); }
  std::string cartridges_path() const { return join_path(path_, "cartridges"); }
  // Of disks: reservations kept through power loss, saved mode pages.
  std::string units_path() const { return join_path(path_, "units"); }
  std::string quiesce_path() const { return join_path(path_, "quiesce"); }  // its journal
  std::string scratch_path() const { return join_path(path_, "scratch"); }  // emptied at the start
  Result<bool> has_cartridges() const;
  // Is it still there? An unmounted disk leaves an empty mount point behind.
  Status check() const;

 private:
  DataDirectory(FileSystem& files, std::string path, std::unique_ptr<FileLock> lock)
      : files_(files), path_(std::move(path)), lock_(std::move(lock)) {}
  FileSystem& files_;
  const std::string path_;
  std::unique_ptr<FileLock> lock_;
};

}  // namespace coldshelf
