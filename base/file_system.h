// The file-system seam: everything that must survive a crash goes through it, so that tests can
// put a simulated disk below (tests/support/sim_file_system.h) that drops what was not synced.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace coldshelf {

enum class OpenMode {
  read,            // must exist
  read_write,      // must exist
  create,          // must not exist; read and write
  create_private,  // the same, and nobody but its owner may read it
};

// One open file. All calls are thread-safe against each other on disjoint ranges.
class File {
 public:
  virtual ~File() = default;
  // Reads exactly out.size() bytes at `offset`, or fails; past the end: Error{corrupt, "short
  // read"}.
  virtual Status read_at(uint64_t offset, MutableBytes out) = 0;
  virtual Status write_at(uint64_t offset, ByteView bytes) = 0;
  // write_at of the pieces joined, without joining them. When it fails, any part may be written.
  virtual Status write_pieces_at(uint64_t offset, std::span<const ByteView> pieces);
  // Data and the metadata needed to read it. An error is final: the caller must not call again and
  // believe it.
  virtual Status sync() = 0;
  virtual Status truncate(uint64_t size) = 0;
  virtual Result<uint64_t> size() = 0;
  // Starts writing dirty pages of the range out without waiting: a hint, no durability.
  virtual void start_writeback(uint64_t offset, uint64_t length) = 0;
  // Asks the kernel to forget clean cached pages: a hint.
  virtual void drop_cache() = 0;
};

struct FileInfo {
  uint64_t size = 0;
  bool is_directory = false;
  int64_t modified_ms = 0;
  unsigned permissions = 0600;  // the mode's last nine bits
};

// Held until destroyed; a second lock of the same path, from any process, fails with busy.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

// Paths are plain strings with '/'. A created, renamed or removed entry is durable only after
// sync_directory.
class FileSystem {
 public:
  virtual ~FileSystem() = default;
  virtual Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) = 0;
  virtual Status rename(const std::string& from, const std::string& to) = 0;  // replaces `to`
  virtual Status remove(const std::string& path) = 0;                         // a file
  virtual Status remove_directory(const std::string& path) = 0;               // empty
  virtual Status create_directories(const std::string& path) = 0;  // and parents, each synced
  virtual Status sync_directory(const std::string& path) = 0;
  virtual Result<std::vector<std::string>> list(const std::string& directory) = 0;  // names, sorted
  virtual Result<FileInfo> info(const std::string& path) = 0;
  virtual Result<uint64_t> available_bytes(const std::string& path) = 0;
  virtual Result<std::unique_ptr<FileLock>> lock(const std::string& path) = 0;

  // A second name for a file that is never changed again; durable after sync_directory. Fails where
  // that cannot be (another file system, no support): the caller copies then.
  virtual Status link(const std::string& from, const std::string& to);

  // Built on the above.
  Result<bool> exists(const std::string& path);
  Result<Buffer> read_file(const std::string& path, uint64_t limit = 1 * GiB);
  // Writes beside it, syncs, renames over it, syncs the directory: after a crash the old or the new
  // content stands.
  Status replace_file(const std::string& path, ByteView content, OpenMode mode = OpenMode::create);
};

class PosixFileSystem final : public FileSystem {
 public:
  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status link(const std::string& from, const std::string& to) override;
  Status remove(const std::string& path) override;
  Status remove_directory(const std::string& path) override;
  Status create_directories(const std::string& path) override;
  Status sync_directory(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& directory) override;
  Result<FileInfo> info(const std::string& path) override;
  Result<uint64_t> available_bytes(const std::string& path) override;
  Result<std::unique_ptr<FileLock>> lock(const std::string& path) override;
};

std::string parent_directory(const std::string& path);  // "." when there is none
std::string join_path(const std::string& directory, const std::string& name);

}  // namespace coldshelf
