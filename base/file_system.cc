#include "base/file_system.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace coldshelf {

namespace {

constexpr size_t kMaxPieces = 64;  // in one system call; the kernel takes 1024

class PosixFile final : public File {
 public:
  PosixFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  ~PosixFile() override { ::close(fd_); }
  PosixFile(const PosixFile&) = delete;
  PosixFile& operator=(const PosixFile&) = delete;

  Status read_at(uint64_t offset, MutableBytes out) override {
    while (!out.empty()) {
      const ssize_t n = ::pread(fd_, out.data(), out.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return error_from_errno(errno, "read " + path_);
      if (n == 0) {
        return Error(ErrorCode::corrupt,
                     "short read of " + path_ + " at " + std::to_string(offset));
      }
      out = out.subspan(static_cast<size_t>(n));
      offset += static_cast<uint64_t>(n);
    }
    return {};
  }

  Status write_at(uint64_t offset, ByteView bytes) override {
    while (!bytes.empty()) {
      const ssize_t n = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return error_from_errno(errno, "write " + path_);
      if (n == 0) return Error(ErrorCode::io, "write of nothing to " + path_);
      bytes = bytes.subspan(static_cast<size_t>(n));
      offset += static_cast<uint64_t>(n);
    }
    return {};
  }

  Status write_pieces_at(uint64_t offset, std::span<const ByteView> pieces) override {
    std::vector<iovec> left;
    left.reserve(pieces.size());
    for (const ByteView piece : pieces) {  // pwritev only reads, whatever its type says
      if (!piece.empty()) left.push_back({const_cast<std::byte*>(piece.data()), piece.size()});
    }
    for (size_t at = 0; at < left.size();) {
      const auto count = static_cast<int>(std::min(left.size() - at, kMaxPieces));
      const ssize_t n = ::pwritev(fd_, &left[at], count, static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return error_from_errno(errno, "write " + path_);
      if (n == 0) return Error(ErrorCode::io, "write of nothing to " + path_);
      offset += static_cast<uint64_t>(n);
      auto written = static_cast<size_t>(n);
      while (at < left.size() && written >= left[at].iov_len) written -= left[at++].iov_len;
      if (written > 0) {  // cut short within a piece
        left[at].iov_base = static_cast<std::byte*>(left[at].iov_base) + written;
        left[at].iov_len -= written;
      }
    }
    return {};
  }

  Status sync() override {
    if (::fdatasync(fd_) != 0) return error_from_errno(errno, "fdatasync " + path_);
    return {};
  }

  Status truncate(uint64_t size) override {
    if (::ftruncate(fd_, static_cast<off_t>(size)) != 0) {
      return error_from_errno(errno, "truncate " + path_);
    }
    return {};
  }

  Result<uint64_t> size() override {
    struct stat st {};
    if (::fstat(fd_, &st) != 0) return error_from_errno(errno, "stat " + path_);
    return static_cast<uint64_t>(st.st_size);
  }

  void start_writeback(uint64_t offset, uint64_t length) override {
    ::sync_file_range(fd_, static_cast<off_t>(offset), static_cast<off_t>(length),
                      SYNC_FILE_RANGE_WRITE);
  }

  void drop_cache() override { ::posix_fadvise(fd_, 0, 0, POSIX_FADV_DONTNEED); }

 private:
  int fd_;
  std::string path_;
};

class PosixFileLock final : public FileLock {
 public:
  explicit PosixFileLock(int fd) : fd_(fd) {}
  ~PosixFileLock() override { ::close(fd_); }
  PosixFileLock(const PosixFileLock&) = delete;
  PosixFileLock& operator=(const PosixFileLock&) = delete;

 private:
  int fd_;
};

}  // namespace

std::string parent_directory(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string join_path(const std::string& directory, const std::string& name) {
  if (directory.empty()) return name;
  return directory.back() == '/' ? directory + name : directory + "/" + name;
}

Status File::write_pieces_at(uint64_t offset, std::span<const ByteView> pieces) {
  for (const ByteView piece : pieces) {
    TRY(write_at(offset, piece));
    offset += piece.size();
  }
  return {};
}

Status FileSystem::link(const std::string& from, const std::string& to) {
  return Error(ErrorCode::unavailable, "no second name " + to + " for " + from);
}

Result<bool> FileSystem::exists(const std::string& path) {
  auto found = info(path);
  if (found.ok()) return true;
  if (found.error().code == ErrorCode::not_found) return false;
  return found.error();
}

Result<Buffer> FileSystem::read_file(const std::string& path, uint64_t limit) {
  ASSIGN_OR_RETURN(auto file, open(path, OpenMode::read));
  ASSIGN_OR_RETURN(const uint64_t size, file->size());
  if (size > limit) {
    return Error(ErrorCode::out_of_range, path + " has " + std::to_string(size) + " bytes");
  }
  Buffer content(static_cast<size_t>(size));
  TRY(file->read_at(0, content));
  return content;
}

Status FileSystem::replace_file(const std::string& path, ByteView content, OpenMode mode) {
  const std::string fresh = path + ".new";
  auto stale = remove(fresh);
  if (!stale.ok() && stale.error().code != ErrorCode::not_found) return stale;
  {
    ASSIGN_OR_RETURN(auto file, open(fresh, mode));
    TRY(file->write_at(0, content));
    TRY(file->sync());
  }
  TRY(rename(fresh, path));
  return sync_directory(parent_directory(path));
}

Result<std::unique_ptr<File>> PosixFileSystem::open(const std::string& path, OpenMode mode) {
  int flags = O_CLOEXEC;
  switch (mode) {
    case OpenMode::read:
      flags |= O_RDONLY;
      break;
    case OpenMode::read_write:
      flags |= O_RDWR;
      break;
    case OpenMode::create:
    case OpenMode::create_private:
      flags |= O_RDWR | O_CREAT | O_EXCL;
      break;
  }
  const int fd = ::open(path.c_str(), flags, mode == OpenMode::create_private ? 0600 : 0640);
  if (fd < 0) return error_from_errno(errno, "open " + path);
  return std::unique_ptr<File>(std::make_unique<PosixFile>(fd, path));
}

Status PosixFileSystem::rename(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) {
    return error_from_errno(errno, "rename " + from + " to " + to);
  }
  return {};
}

Status PosixFileSystem::link(const std::string& from, const std::string& to) {
  if (::link(from.c_str(), to.c_str()) != 0) {
    return error_from_errno(errno, "link " + from + " to " + to);
  }
  return {};
}

Status PosixFileSystem::remove(const std::string& path) {
  if (::unlink(path.c_str()) != 0) return error_from_errno(errno, "remove " + path);
  return {};
}

Status PosixFileSystem::remove_directory(const std::string& path) {
  if (::rmdir(path.c_str()) != 0) return error_from_errno(errno, "remove directory " + path);
  return {};
}

Status PosixFileSystem::create_directories(const std::string& path) {
  ASSIGN_OR_RETURN(const bool there, exists(path));
  if (there) {
    ASSIGN_OR_RETURN(const FileInfo found, info(path));
    if (!found.is_directory) return Error(ErrorCode::exists, path + " is not a directory");
    return {};
  }
  const std::string parent = parent_directory(path);
  if (parent != path) TRY(create_directories(parent));
  if (::mkdir(path.c_str(), 0750) != 0 && errno != EEXIST) {
    return error_from_errno(errno, "create directory " + path);
  }
  return sync_directory(parent);
}

Status PosixFileSystem::sync_directory(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return error_from_errno(errno, "open directory " + path);
  const int rc = ::fsync(fd);
  const int saved = errno;
  ::close(fd);
  if (rc != 0) return error_from_errno(saved, "fsync directory " + path);
  return {};
}

Result<std::vector<std::string>> PosixFileSystem::list(const std::string& directory) {
  DIR* handle = ::opendir(directory.c_str());
  if (handle == nullptr) return error_from_errno(errno, "list " + directory);
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(handle)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  ::closedir(handle);
  std::sort(names.begin(), names.end());
  return names;
}

Result<FileInfo> PosixFileSystem::info(const std::string& path) {
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0) return error_from_errno(errno, "stat " + path);
  FileInfo found;
  found.size = static_cast<uint64_t>(st.st_size);
  found.is_directory = S_ISDIR(st.st_mode);
  found.permissions = st.st_mode & 0777U;
  found.modified_ms = st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
  return found;
}

Result<uint64_t> PosixFileSystem::available_bytes(const std::string& path) {
  struct statvfs st {};
  if (::statvfs(path.c_str(), &st) != 0) return error_from_errno(errno, "statvfs " + path);
  return static_cast<uint64_t>(st.f_bavail) * st.f_frsize;
}

Result<std::unique_ptr<FileLock>> PosixFileSystem::lock(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640);
  if (fd < 0) return error_from_errno(errno, "open " + path);
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    const int saved = errno;
    ::close(fd);
    if (saved == EWOULDBLOCK) return Error(ErrorCode::busy, path + " is locked by another process");
    return error_from_errno(saved, "lock " + path);
  }
  return std::unique_ptr<FileLock>(std::make_unique<PosixFileLock>(fd));
}

}  // namespace coldshelf
