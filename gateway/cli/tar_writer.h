// Writes a POSIX (pax) tar whose members' sizes are known only when they end: the header is written
// again then.
#pragma once

#include <memory>
#include <string>

#include "base/file_system.h"

namespace coldshelf::cli {

class TarWriter {
 public:
  // Writes beside `path` and puts it there in finish(): a broken export leaves no file that looks
  // whole. exists when `path` is there, unless `overwrite`.
  static Result<std::unique_ptr<TarWriter>> create(FileSystem& files, const std::string& path,
                                                   bool overwrite);
  ~TarWriter();  // without finish(): the partial file is removed
  TarWriter(const TarWriter&) = delete;
  TarWriter& operator=(const TarWriter&) = delete;

  Status begin_member(const std::string& name, int64_t modified_unix_s);
  Status append(ByteView bytes);
  Status end_member();
  Status add_member(const std::string& name, int64_t modified_unix_s, ByteView content);
  Status finish();  // durable and in its place when ok

 private:
  TarWriter(FileSystem& files, std::string path, std::unique_ptr<File> file)
      : files_(files), path_(std::move(path)), file_(std::move(file)) {}
  Status flush();

  FileSystem& files_;
  const std::string path_;
  std::unique_ptr<File> file_;
  Buffer pending_;
  uint64_t written_ = 0;  // bytes in the file, without pending_
  uint64_t header_at_ = 0;
  uint64_t member_bytes_ = 0;
  std::string member_name_;
  int64_t modified_unix_s_ = 0;
};

}  // namespace coldshelf::cli
