#include "gateway/cli/scratch_directory.h"

#include <cstdio>

namespace coldshelf::cli {

Result<std::unique_ptr<ScratchDirectory>> ScratchDirectory::make(FileSystem& files, Random& random,
                                                                 const std::string& parent) {
  Buffer tag(4);
  random.fill(tag);
  std::unique_ptr<ScratchDirectory> made(
      new ScratchDirectory(files, join_path(parent, ".coldshelf-export-" + to_hex(tag))));
  TRY(files.create_directories(made->path_));
  return made;
}

// Two levels deep at most: what we make ourselves.
Status ScratchDirectory::remove_below(const std::string& directory) {
  ASSIGN_OR_RETURN(const auto names, files_.list(directory));
  for (const std::string& name : names) {
    const std::string path = join_path(directory, name);
    ASSIGN_OR_RETURN(const FileInfo info, files_.info(path));
    if (info.is_directory) {
      TRY(remove_below(path));
      TRY(files_.remove_directory(path));
    } else {
      TRY(files_.remove(path));
    }
  }
  return {};
}

ScratchDirectory::~ScratchDirectory() {
  Status done = remove_below(path_);
  if (done.ok()) done = files_.remove_directory(path_);
  if (done.ok() || done.error().code == ErrorCode::not_found) return;
  std::fprintf(stderr, "coldshelf: scratch files stay behind: %s\n", done.error().context.c_str());
}

}  // namespace coldshelf::cli
