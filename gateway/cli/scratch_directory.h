// A directory of our own that goes away with us.
#pragma once

#include <memory>
#include <string>

#include "base/file_system.h"
#include "base/random.h"

namespace coldshelf::cli {

class ScratchDirectory {
 public:
  static Result<std::unique_ptr<ScratchDirectory>> make(FileSystem& files, Random& random,
                                                        const std::string& parent);
  ~ScratchDirectory();
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  const std::string& path() const { return path_; }

 private:
  ScratchDirectory(FileSystem& files, std::string path) : files_(files), path_(std::move(path)) {}
  Status remove_below(const std::string& directory);
  FileSystem& files_;
  const std::string path_;
};

}  // namespace coldshelf::cli
