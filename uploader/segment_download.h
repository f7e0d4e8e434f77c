// One segment on its way from the store to the disk, in parts that several threads fetch at once
// and whose bytes are hashed in order.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/buffer_pool.h"
#include "base/file_system.h"
#include "base/result.h"
#include "tape/format/manifest.h"
#include "uploader/cloud/object_store.h"
#include "uploader/segment_file_check.h"

namespace coldshelf {

class SegmentDownload {
 public:
  static constexpr uint64_t kPartBytes = 4 * MiB;

  // `name` is for messages. `store` and `buffers` outlive it.
  SegmentDownload(ObjectStore& store, std::string key, std::string name, const SegmentEntry& entry,
                  std::unique_ptr<File> file, std::shared_ptr<BufferPool> buffers);

  // A part nobody else fetches; none: all are taken, or one has failed.
  std::optional<size_t> take();
  bool all_taken() const;
  // Fetches and writes a part that take() gave. The bytes that came.
  uint64_t run(size_t part);
  // What ended it early; none: nothing did.
  void abandon(const Error& why);
  // All that was taken has been run.
  bool settled() const;

  // When settled: the first error; corrupt when the bytes are not the segment's. `object_sha256` is
  // the digest of all that came, also then. Readers may have the file from now on.
  Status finish(Sha256Digest& object_sha256);
  // After finish(): what came is on the disk. Only then may the file get the segment's name: after
  // a crash a file of that name is the segment, whole.
  Status sync() { return file_->sync(); }

 private:
  uint64_t size_of(size_t part) const;
  Status fetch(size_t part, MutableBytes bytes);
  Status hash_in_order(size_t part, MutableBytes bytes);

  ObjectStore& store_;
  const std::string key_;
  const std::string name_;
  const SegmentEntry entry_;
  const std::unique_ptr<File> file_;
  const std::shared_ptr<BufferPool> buffers_;
  const size_t parts_;

  mutable std::mutex mutex_;
  size_t next_ = 0;
  size_t under_way_ = 0;
  std::optional<Error> error_;
  std::vector<bool> written_;
  size_t hashed_ = 0;     // parts
  bool hashing_ = false;  // one thread at a time; it owns hasher_ meanwhile
  SegmentHasher hasher_;
};

}  // namespace coldshelf
