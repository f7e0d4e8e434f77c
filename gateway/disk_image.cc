#include "gateway/disk_image.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/command.h"
#include "base/file_system.h"

namespace coldshelf {

namespace {

constexpr int64_t kConvertTimeoutMs = 14LL * 24 * 3'600'000;
constexpr int64_t kInfoTimeoutMs = 60'000;
constexpr size_t kSparseBytes = 4096;  // runs of zeroes that are left out
constexpr std::array<unsigned char, 4> kQcow2Magic = {'Q', 'F', 'I', 0xFB};

Result<std::string> qemu_img(std::vector<std::string> words, int64_t timeout_ms,
                             const std::atomic<bool>* cancelled) {
  words.insert(words.begin(), "qemu-img");
  CommandLimits limits;
  limits.timeout_ms = timeout_ms;
  limits.max_output_bytes = 1 * MiB;
  limits.cancelled = cancelled;
  auto said = run_program(words, limits);
  if (said.ok()) return std::string(said->reveal());
  Error why = std::move(said).error();
  if (why.code == ErrorCode::not_found) {
    why.context = "qcow2 images need qemu-img (package qemu-utils), which is not installed here";
  }
  return why;
}

Status all_of(int fd, uint64_t offset, MutableBytes out, const std::string& path) {
  while (!out.empty()) {
    const ssize_t n = ::pread(fd, out.data(), out.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return error_from_errno(errno, "read " + path);
    if (n == 0) return Error(ErrorCode::io, path + " became shorter while it was read");
    out = out.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return {};
}

}  // namespace

std::string_view to_string(ImageFormat format) {
  return format == ImageFormat::raw ? "raw" : "qcow2";
}

Result<ImageFormat> parse_image_format(const std::string& text) {
  if (text == "raw") return ImageFormat::raw;
  if (text == "qcow2") return ImageFormat::qcow2;
  return Error(ErrorCode::invalid_argument, "'" + text + "' is no format: raw or qcow2");
}

Result<ImageFormat> detect_image_format(const std::string& path) {
  ASSIGN_OR_RETURN(const auto image, RawImage::open(path));
  std::array<std::byte, kQcow2Magic.size()> head{};
  if (image->size() < head.size()) return ImageFormat::raw;
  TRY(image->read(0, head));
  const bool qcow2 = std::memcmp(head.data(), kQcow2Magic.data(), head.size()) == 0;
  return qcow2 ? ImageFormat::qcow2 : ImageFormat::raw;
}

// -- reading

Result<std::unique_ptr<RawImage>> RawImage::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return error_from_errno(errno, "open " + path);
  struct stat info {};
  const off_t end = ::fstat(fd, &info) == 0 ? ::lseek(fd, 0, SEEK_END) : -1;
  if (end < 0 || (!S_ISREG(info.st_mode) && !S_ISBLK(info.st_mode))) {
    ::close(fd);
    return Error(ErrorCode::invalid_argument, path + " is neither a file nor a block device");
  }
  return std::unique_ptr<RawImage>(new RawImage(fd, static_cast<uint64_t>(end), path));
}

RawImage::~RawImage() { ::close(fd_); }

uint64_t RawImage::next_data(uint64_t offset) const {
  const off_t at = ::lseek(fd_, static_cast<off_t>(offset), SEEK_DATA);
  if (at >= 0) return std::min(static_cast<uint64_t>(at), size_);
  return errno == ENXIO ? size_ : offset;  // where holes are not known, all of it is data
}

Status RawImage::read(uint64_t offset, MutableBytes out) const {
  return all_of(fd_, offset, out, path_);
}

// -- writing

Result<std::unique_ptr<RawImageWriter>> RawImageWriter::create(const std::string& path,
                                                               uint64_t size, bool replace) {
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0) {
    if (!S_ISREG(info.st_mode)) {
      return Error(ErrorCode::invalid_argument, path + " is there and is no file");
    }
    if (!replace) return Error(ErrorCode::exists, path + " is there already");
  }
  const std::string part = path + ".part";
  const int fd = ::open(part.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0 && errno == EEXIST) {
    return Error(ErrorCode::exists, part + " is there: another export, or what is left of one");
  }
  if (fd < 0) return error_from_errno(errno, "open " + part);
  std::unique_ptr<RawImageWriter> writer(new RawImageWriter(fd, path, replace));
  if (::ftruncate(fd, static_cast<off_t>(size)) != 0) {
    return error_from_errno(errno, "a file of that size: " + part);
  }
  return writer;
}

RawImageWriter::~RawImageWriter() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(part().c_str());
}

Status RawImageWriter::write(uint64_t offset, ByteView bytes) {
  while (!bytes.empty()) {
    // Whole blocks of zeroes are left out; what is between them is written at once.
    const size_t zero = leading_zeroes(bytes);
    const size_t skip = zero == bytes.size() ? zero : zero / kSparseBytes * kSparseBytes;
    bytes = bytes.subspan(skip);
    offset += skip;
    size_t run = 0;
    while (run < bytes.size()) {
      const ByteView block = bytes.subspan(run, std::min(kSparseBytes, bytes.size() - run));
      if (all_zeroes(block)) break;
      run += block.size();
    }
    ByteView left = bytes.first(run);
    while (!left.empty()) {
      const ssize_t n = ::pwrite(fd_, left.data(), left.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return error_from_errno(n < 0 ? errno : EIO, "write " + part());
      left = left.subspan(static_cast<size_t>(n));
      offset += static_cast<uint64_t>(n);
      written_ += static_cast<uint64_t>(n);
    }
    bytes = bytes.subspan(run);
  }
  return {};
}

Status RawImageWriter::finish(ImageFormat format, const std::atomic<bool>& cancelled) {
  std::string ready = part();
  if (format == ImageFormat::qcow2) {
    ready = path_ + ".qcow2.part";
    const auto made = qemu_img({"convert", "-q", "-f", "raw", "-O", "qcow2", part(), ready},
                               kConvertTimeoutMs, &cancelled);
    if (!made.ok()) {
      ::unlink(ready.c_str());
      return made.error();
    }
  }
  PosixFileSystem files;
  const auto put = [&]() -> Status {
    ASSIGN_OR_RETURN(const auto file, files.open(ready, OpenMode::read_write));
    TRY(file->sync());
    if (!replace_) {
      // Somebody may have made one meanwhile: link, unlike rename, replaces nothing.
      TRY(files.link(ready, path_));
      TRY(files.remove(ready));
    } else {
      TRY(files.rename(ready, path_));
    }
    return files.sync_directory(parent_directory(path_));
  };
  const Status done = put();
  if (!done.ok()) {
    if (format == ImageFormat::qcow2) ::unlink(ready.c_str());
    return done;
  }
  if (format == ImageFormat::raw) {
    ::close(fd_);
    fd_ = -1;
  }
  return {};
}

// -- qemu-img

Result<uint64_t> check_qcow2(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, qemu_img({"info", "--output=json", "-f", "qcow2", path},
                                                    kInfoTimeoutMs, nullptr));
  const nlohmann::json info = nlohmann::json::parse(text, nullptr, false);
  if (!info.is_object() || !info.contains("virtual-size") ||
      !info["virtual-size"].is_number_unsigned()) {
    return Error(ErrorCode::invalid_argument, path + ": qemu-img does not say how big it is");
  }
  const bool leans =
      info.contains("backing-filename") ||
      (info.contains("format-specific") && info["format-specific"].contains("data") &&
       info["format-specific"]["data"].contains("data-file"));
  if (leans) {
    return Error(ErrorCode::invalid_argument,
                 path + " needs another file; make it whole first: qemu-img convert -O qcow2");
  }
  if (info.value("encrypted", false)) {
    return Error(ErrorCode::invalid_argument, path + " is encrypted; convert it first");
  }
  return info["virtual-size"].get<uint64_t>();
}

Status convert_to_raw(const std::string& from, ImageFormat format, const std::string& to,
                      const std::atomic<bool>& cancelled) {
  const auto done =
      qemu_img({"convert", "-q", "-f", std::string(to_string(format)), "-O", "raw", from, to},
               kConvertTimeoutMs, &cancelled);
  if (!done.ok()) return done.error();
  return {};
}

}  // namespace coldshelf
