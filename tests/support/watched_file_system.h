// Passes every call on to another file system, after telling a watcher, which may throw: that is
// how a simulated program is killed at a chosen moment.
#pragma once

#include <functional>

#include "base/file_system.h"

namespace coldshelf::test {

class WatchedFileSystem final : public FileSystem {
 public:
  using Watch = std::function<void(const char* operation, const std::string& path)>;
  WatchedFileSystem(FileSystem& inner, Watch watch) : inner_(inner), watch_(std::move(watch)) {}

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override {
    watch_("open", path);
    ASSIGN_OR_RETURN(auto file, inner_.open(path, mode));
    return std::unique_ptr<File>(std::make_unique<WatchedFile>(*this, path, std::move(file)));
  }
  Status rename(const std::string& from, const std::string& to) override {
    watch_("rename", from);
    return inner_.rename(from, to);
  }
  Status remove(const std::string& path) override {
    watch_("remove", path);
    return inner_.remove(path);
  }
  Status remove_directory(const std::string& path) override {
    watch_("remove_directory", path);
    return inner_.remove_directory(path);
  }
  Status create_directories(const std::string& path) override {
    watch_("create_directories", path);
    return inner_.create_directories(path);
  }
  Status sync_directory(const std::string& path) override {
    watch_("sync_directory", path);
    return inner_.sync_directory(path);
  }
  Result<std::vector<std::string>> list(const std::string& directory) override {
    return inner_.list(directory);
  }
  Result<FileInfo> info(const std::string& path) override { return inner_.info(path); }
  Result<uint64_t> available_bytes(const std::string& path) override {
    return inner_.available_bytes(path);
  }
  Result<std::unique_ptr<FileLock>> lock(const std::string& path) override {
    return inner_.lock(path);
  }

 private:
  class WatchedFile final : public File {
   public:
    WatchedFile(WatchedFileSystem& files, std::string path, std::unique_ptr<File> inner)
        : files_(files), path_(std::move(path)), inner_(std::move(inner)) {}
    Status read_at(uint64_t offset, MutableBytes out) override {
      return inner_->read_at(offset, out);
    }
    Status write_at(uint64_t offset, ByteView bytes) override {
      files_.watch_("write", path_);
      return inner_->write_at(offset, bytes);
    }
    Status sync() override {
      files_.watch_("sync", path_);
      return inner_->sync();
    }
    Status truncate(uint64_t size) override {
      files_.watch_("truncate", path_);
      return inner_->truncate(size);
    }
    Result<uint64_t> size() override { return inner_->size(); }
    void start_writeback(uint64_t offset, uint64_t length) override {
      inner_->start_writeback(offset, length);
    }
    void drop_cache() override { inner_->drop_cache(); }

   private:
    WatchedFileSystem& files_;
    const std::string path_;
    const std::unique_ptr<File> inner_;
  };

  FileSystem& inner_;
  const Watch watch_;
};

}  // namespace coldshelf::test
