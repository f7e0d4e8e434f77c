// Files that hold a disk: raw ones are read and written by ourselves, sparse where they are sparse;
// others by qemu-img (package qemu-utils).
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/result.h"

namespace coldshelf {

enum class ImageFormat { raw, qcow2 };
std::string_view to_string(ImageFormat format);
Result<ImageFormat> parse_image_format(const std::string& text);
// By the file's first bytes.
Result<ImageFormat> detect_image_format(const std::string& path);

// A raw image being read. Not thread-safe.
class RawImage {
 public:
  static Result<std::unique_ptr<RawImage>> open(const std::string& path);  // a file or a device
  ~RawImage();
  RawImage(const RawImage&) = delete;
  RawImage& operator=(const RawImage&) = delete;

  uint64_t size() const { return size_; }
  // The next byte at or behind `offset` that may be other than zero; size(): there is none.
  uint64_t next_data(uint64_t offset) const;
  Status read(uint64_t offset, MutableBytes out) const;

 private:
  RawImage(int fd, uint64_t size, std::string path)
      : fd_(fd), size_(size), path_(std::move(path)) {}
  const int fd_;
  const uint64_t size_;
  const std::string path_;
};

// A raw image being made: beside its name until finish(), removed when that is not called.
class RawImageWriter {
 public:
  // Zeroes at first, which take no space. exists: a file is there, and `replace` is not said.
  static Result<std::unique_ptr<RawImageWriter>> create(const std::string& path, uint64_t size,
                                                        bool replace);
  ~RawImageWriter();
  RawImageWriter(const RawImageWriter&) = delete;
  RawImageWriter& operator=(const RawImageWriter&) = delete;

  // Leaves out what is zero.
  Status write(uint64_t offset, ByteView bytes);
  // Durable, under its name. qcow2: made of the raw image by qemu-img first.
  Status finish(ImageFormat format, const std::atomic<bool>& cancelled);
  uint64_t written_bytes() const { return written_; }

 private:
  RawImageWriter(int fd, std::string path, bool replace)
      : fd_(fd), path_(std::move(path)), replace_(replace) {}
  std::string part() const { return path_ + ".part"; }
  int fd_;
  const std::string path_;
  const bool replace_;
  uint64_t written_ = 0;
};

// A qcow2 image, checked: it must not lean on other files, which it could name at will. Gives its
// virtual size.
Result<uint64_t> check_qcow2(const std::string& path);
// Into a sparse raw file. cancelled; not_found: qemu-img is not installed.
Status convert_to_raw(const std::string& from, ImageFormat format, const std::string& to,
                      const std::atomic<bool>& cancelled);

}  // namespace coldshelf
