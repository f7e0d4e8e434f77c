// Small records of a logical unit that outlive the process: reservations kept through power loss
// (APTPL), saved mode pages, a sanitize operation that was under way.
#pragma once

#include <string>

#include "base/bytes.h"
#include "base/file_system.h"
#include "base/result.h"

namespace coldshelf::scsi {

class UnitStore {
 public:
  virtual ~UnitStore() = default;
  // Empty: never saved. A record that was saved and cannot be read is an error.
  virtual Result<Buffer> load(const std::string& name) = 0;
  // Durable when it returns; after a crash the old or the new record stands.
  virtual Status save(const std::string& name, ByteView record) = 0;
};

// One file for each record, `directory`/`name`, with a checksum.
class FileUnitStore final : public UnitStore {
 public:
  FileUnitStore(FileSystem* files, std::string directory)
      : files_(files), directory_(std::move(directory)) {}
  Result<Buffer> load(const std::string& name) override;
  Status save(const std::string& name, ByteView record) override;

 private:
  FileSystem* const files_;
  const std::string directory_;
};

}  // namespace coldshelf::scsi
