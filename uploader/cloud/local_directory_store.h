// An object store in a directory, with storage classes and restore delays, so that the whole life
// of a tape runs without an account.
//
// Layout: key "a/b/name" is, below the root,
//   a/b/name~meta     JSON: size, digest, class, restore state, and which data file is current
//   a/b/name~data-a   the bytes; a put writes whichever of a and b is not current, then switches
//   a/b/name~data-b   the meta file over by a rename
//   a/b/name~in-0     bytes on their way in, not an object yet
// '~' and whatever else could be taken for something in a file name is %-encoded in key parts.
//
// A reader that shares no process with the writer (export beside a running daemon) sees whole
// objects: it opens the data file the meta file names and looks at the meta file again.
#pragma once

#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "base/clock.h"
#include "base/file_system.h"
#include "uploader/cloud/object_store.h"

namespace coldshelf {

struct LocalDirectoryOptions {
  std::string root;
  // How long a restore takes, by tier. S3 takes minutes to days; a laptop need not.
  int64_t expedited_delay_ms = 1'000;
  int64_t standard_delay_ms = 2'000;
  int64_t bulk_delay_ms = 4'000;
  // Segments on the same file system get a second name (hard link) instead of a copy: neither the
  // disk's space nor its bandwidth is spent twice.
  bool link_files = true;
  int64_t day_ms = 24LL * 3600 * 1000;  // length of a day of restore's `days`
};

class LocalDirectoryStore final : public ObjectStore {
 public:
  // Makes the directory when it is missing. `files` and `clock` outlive the store.
  // `read_only`: nothing is made or cleaned; for readers beside the daemon.
  static Result<std::unique_ptr<LocalDirectoryStore>> open(FileSystem& files, Clock& clock,
                                                           LocalDirectoryOptions options,
                                                           bool read_only = false);

  Result<ObjectInfo> put(const std::string& key, const PutSource& source,
                         const PutOptions& options) override;
  Status get(const std::string& key, uint64_t offset, MutableBytes out) override;
  Result<ObjectInfo> head(const std::string& key) override;
  Result<ListPage> list(const std::string& prefix, const std::string& continue_after,
                        size_t limit) override;
  Result<FolderPage> list_folders(const std::string& prefix, const std::string& continue_after,
                                  size_t limit) override;
  Status remove(const std::string& key) override;
  Result<ObjectInfo> change_class(const std::string& key, StorageClass storage_class) override;
  Status restore(const std::string& key, RestoreTier tier, unsigned days) override;
  Status set_lock(const std::string& key, const ObjectLock& lock) override;
  Result<ObjectLock> lock_of(const std::string& key) override;
  Result<StoreCapabilities> capabilities() override;
  Result<size_t> abort_unfinished(const std::string& prefix, int64_t age_ms) override;
  std::string describe() const override;

 private:
  struct Meta;
  struct Opened;
  LocalDirectoryStore(FileSystem& files, Clock& clock, LocalDirectoryOptions options,
                      bool read_only);

  Result<std::string> path_of(const std::string& key) const;  // without the "~..." ending
  Result<Meta> read_meta(const std::string& key, const std::string& path) const;
  Status write_meta(const std::string& path, const Meta& meta);
  Result<Opened> open_current(const std::string& key) const;
  ObjectInfo info_of(const std::string& key, const Meta& meta) const;
  std::string claim_incoming(const std::string& path);
  Result<ObjectInfo> put_into(const std::string& key, const std::string& path,
                              const std::string& incoming, const PutSource& source,
                              const PutOptions& options);
  Status check_put(const std::string& key, const Result<Meta>& before,
                   const PutOptions& options) const;
  // Other processes' conditional puts are kept out while it is held.
  Result<std::unique_ptr<FileLock>> lock_conditions();
  bool try_link(const PutSource& source, const std::string& incoming);
  Status receive(const std::string& key, const PutSource& source, const std::string& incoming);
  Status discard(const std::string& path);  // a file that may not be there
  Status check_writable() const;
  // False: the page is full.
  Result<bool> list_directory(const std::string& directory, const std::string& key_prefix,
                              const std::string& prefix, const std::string& after, size_t limit,
                              unsigned depth, ListPage& page);

  FileSystem& files_;
  Clock& clock_;
  const LocalDirectoryOptions options_;
  const bool read_only_;
  mutable std::mutex mutex_;  // switching meta files over; never held while data flows
  std::set<std::string> incoming_;
};

}  // namespace coldshelf
