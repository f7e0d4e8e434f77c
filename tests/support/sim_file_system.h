// A disk in memory that forgets what was not synced: files have content on disk and newer content
// in the page cache, directories likewise entries. Single calls can be made to fail.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/file_system.h"
#include "base/random.h"

namespace coldshelf::test {

class SimFileSystem final : public FileSystem {
 public:
  SimFileSystem();

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status remove(const std::string& path) override;
  Status remove_directory(const std::string& path) override;
  Status create_directories(const std::string& path) override;
  Status sync_directory(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& directory) override;
  Result<FileInfo> info(const std::string& path) override;
  Result<uint64_t> available_bytes(const std::string& path) override;
  Result<std::unique_ptr<FileLock>> lock(const std::string& path) override;

  // Power loss. Of each file: what was synced, plus some of the writes after it, in order up to a
  // random one or an arbitrary subset, the last one torn at a multiple of 512 bytes. Of each
  // directory: the synced entries, plus changes after that, chosen in the same way. Files opened
  // before fail with io from now on.
  void crash(Random& random);
  // The daemon is killed, the machine goes on: nothing is lost, but old handles are dead.
  void kill();

  // -- faults. Counted are the calls that a disk can fail: create, write, sync, truncate, rename,
  // remove, directory sync.
  uint64_t counted_calls() const;
  // The call with this number (from 1, of counted_calls) fails with EIO or ENOSPC; a failed sync
  // has dropped the file's dirty pages. `forever`: every later one, too.
  void fail_call(uint64_t number, ErrorCode code, bool forever = false);
  void no_faults();
  // From that call on what needs room (create, write, rename) fails with ENOSPC; the rest works.
  void full_from(uint64_t number);
  // Total bytes of all files at most; a write beyond it stores what fits and fails with no_space.
  void set_capacity(uint64_t bytes);
  // Places are found when pages are written out: fdatasync of a file with changes fails with
  // ENOSPC, and drops them, while less than this is free.
  void set_sync_needs(uint64_t bytes);

  // -- looking and damaging, past the cache
  Result<Buffer> content(const std::string& path) const;
  Status flip(const std::string& path, uint64_t offset, unsigned bit);
  std::vector<std::string> all_files() const;
  // Called for every write, before it happens: path, offset, bytes.
  void on_write(std::function<void(const std::string&, uint64_t, ByteView)> hook);

 private:
  friend class SimFile;
  friend class SimFileLock;

  struct Change {  // a write (bytes), or a truncation to `offset`
    bool truncation = false;
    uint64_t offset = 0;
    Buffer bytes;
  };
  struct Inode {
    Buffer synced;
    Buffer current;
    std::vector<Change> unsynced;
    std::string name;  // as created or renamed last, for messages
  };
  using InodePtr = std::shared_ptr<Inode>;
  struct EntryChange {  // link `name` to the inode; null: unlink; rename does both at once
    std::string name;
    InodePtr inode;
    std::string unlink;
  };
  struct Directory {
    std::map<std::string, InodePtr> synced;
    std::map<std::string, InodePtr> current;
    std::vector<EntryChange> unsynced;
  };

  static void apply(Buffer& content, const Change& change, uint64_t limit);
  static void apply(std::map<std::string, InodePtr>& entries, const EntryChange& change);
  static Buffer survivor(const Inode& inode, Random& random);

  // All below: mutex_ is held.
  Result<Directory*> directory_of(const std::string& path);
  Result<InodePtr> find(const std::string& path) const;
  Status count_call(const std::string& what, bool needs_room = false);
  Status write(Inode& inode, uint64_t offset, ByteView bytes);
  uint64_t used_bytes() const;

  mutable std::mutex mutex_;
  std::map<std::string, Directory> directories_;  // made durably, as create_directories promises
  std::map<std::string, bool> locks_;
  uint64_t generation_ = 0;  // handles of an older one are dead
  uint64_t calls_ = 0;
  uint64_t fail_at_ = 0;
  bool fail_forever_ = false;
  uint64_t full_at_ = 0;
  ErrorCode fail_code_ = ErrorCode::io;
  std::optional<uint64_t> capacity_;
  uint64_t sync_needs_ = 0;
  std::function<void(const std::string&, uint64_t, ByteView)> write_hook_;
};

}  // namespace coldshelf::test
