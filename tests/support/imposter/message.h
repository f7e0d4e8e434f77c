// An S3 request as it came in and the answer that goes out.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/file_system.h"
#include "base/result.h"
#include "tests/support/imposter/http_message.h"
#include "tests/support/s3_imposter.h"

namespace coldshelf::test::imposter {

// Immutable bytes in memory or in files, in pieces, so that completing a multipart upload copies
// nothing.
class Blob {
 public:
  Blob() = default;
  static Blob in_memory(Buffer bytes);
  // Writes them to a file of its own, which goes when nobody refers to it any more.
  static Result<Blob> in_file(const std::string& path, ByteView bytes);
  void append(const Blob& more);
  uint64_t size() const { return size_; }
  // Calls back with the bytes of the range, in order, in views of bounded size; false ends it.
  template <typename Each>
  bool each(uint64_t offset, uint64_t length, const Each& call) const {
    for (const Piece& piece : pieces_) {
      if (offset >= piece.size) {
        offset -= piece.size;
        continue;
      }
      while (length > 0 && offset < piece.size) {
        Buffer scratch;
        const ByteView view = piece_view(piece, offset, length, scratch);
        if (!call(view)) return false;
        offset += view.size();
        length -= view.size();
      }
      offset = 0;
      if (length == 0) return true;
    }
    return length == 0;
  }
  Buffer all() const;

 private:
  struct StoredFile;
  struct Piece {
    std::shared_ptr<const Buffer> memory;
    std::shared_ptr<const StoredFile> file;
    uint64_t size = 0;
  };
  static ByteView piece_view(const Piece& piece, uint64_t offset, uint64_t length, Buffer& scratch);
  std::vector<Piece> pieces_;
  uint64_t size_ = 0;
};

struct Request : HttpMessage {
  std::string bucket;
  std::string key;
  S3Operation operation = S3Operation::unknown;
  Blob content;  // of `body` once it is whole and without aws-chunked
  Headers trailers;
};

struct Response {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string text;  // the body, unless `blob_length` bytes of `blob` are it
  Blob blob;
  uint64_t blob_offset = 0;
  uint64_t blob_length = 0;
  bool has_blob = false;
  std::string code;      // of an error
  bool foreign = false;  // of something in between: without S3's headers
  uint64_t told_length = 0;
  bool head = false;       // told_length is told, no body is sent
  uint64_t damage_at = 0;  // which byte of the body S3Fault::corrupted_body changes

  uint64_t body_size() const { return has_blob ? blob_length : text.size(); }
  void set(std::string name, std::string value) {
    headers.emplace_back(std::move(name), std::move(value));
  }
};

// <Error>, with the status that belongs to the code.
Response error_response(std::string_view code, std::string_view message,
                        std::string_view extra_xml = {});
Response xml_response(std::string_view root, const std::string& content);

bool parse_iso_date(std::string_view text, int64_t& unix_ms);  // 2026-01-02T03:04:05[.678]Z
// Splits the target, decodes the query, finds bucket, key and operation. "" or what is wrong.
std::string parse_target(const std::string& target, const std::vector<std::string>& buckets,
                         Request& request);

}  // namespace coldshelf::test::imposter
