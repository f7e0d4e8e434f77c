#include "tests/support/imposter/message.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <ctime>

namespace coldshelf::test::imposter {

namespace {
constexpr uint64_t kViewBytes = 256 * KiB;

struct CodeStatus {
  std::string_view code;
  int status;
};
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
constexpr CodeStatus kStatuses[] = {
    {"AccessDenied", 403},
    {"BucketAlreadyOwnedByYou", 409},
    {"BucketNotEmpty", 409},
    {"ConditionalRequestConflict", 409},
    {"GlacierExpeditedRetrievalNotAvailable", 503},
    {"InternalError", 500},
    {"InvalidAccessKeyId", 403},
    {"InvalidObjectState", 403},
    {"InvalidRange", 416},
    {"MethodNotAllowed", 405},
    {"MissingContentLength", 411},
    {"NoSuchBucket", 404},
    {"NoSuchKey", 404},
    {"NoSuchObjectLockConfiguration", 404},
    {"NoSuchUpload", 404},
    {"NoSuchVersion", 404},
    {"NotImplemented", 501},
    {"NotModified", 304},
    {"ObjectLockConfigurationNotFoundError", 404},
    {"ObjectNotInActiveTierError", 403},
    {"PreconditionFailed", 412},
    {"RequestTimeTooSkewed", 403},
    {"RestoreAlreadyInProgress", 409},
    {"ServiceUnavailable", 503},
    {"SignatureDoesNotMatch", 403},
    {"SlowDown", 503},
};
}  // namespace

struct Blob::StoredFile {
  explicit StoredFile(std::string p) : path(std::move(p)) {}
  ~StoredFile() { ::unlink(path.c_str()); }
  StoredFile(const StoredFile&) = delete;
  StoredFile& operator=(const StoredFile&) = delete;
  std::string path;
};

Blob Blob::in_memory(Buffer bytes) {
  Blob blob;
  blob.size_ = bytes.size();
  const uint64_t size = bytes.size();
  if (size > 0) {
    blob.pieces_.push_back({std::make_shared<const Buffer>(std::move(bytes)), nullptr, size});
  }
  return blob;
}

Result<Blob> Blob::in_file(const std::string& path, ByteView bytes) {
  Blob blob;
  if (bytes.empty()) return blob;
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return error_from_errno(errno, "create " + path);
  auto file = std::make_shared<const StoredFile>(path);
  for (size_t at = 0; at < bytes.size();) {
    const ssize_t n = ::write(fd, bytes.data() + at, bytes.size() - at);
    if (n <= 0) {
      const int error = errno;
      ::close(fd);
      return error_from_errno(error, "write " + path);
    }
    at += static_cast<size_t>(n);
  }
  ::close(fd);
  blob.size_ = bytes.size();
  blob.pieces_.push_back({nullptr, std::move(file), bytes.size()});
  return blob;
}

void Blob::append(const Blob& more) {
  pieces_.insert(pieces_.end(), more.pieces_.begin(), more.pieces_.end());
  size_ += more.size_;
}

ByteView Blob::piece_view(const Piece& piece, uint64_t offset, uint64_t length, Buffer& scratch) {
  const uint64_t want = std::min({length, piece.size - offset, kViewBytes});
  if (piece.memory) return ByteView(*piece.memory).subspan(offset, want);
  scratch.resize(want);
  const int fd = ::open(piece.file->path.c_str(), O_RDONLY | O_CLOEXEC);
  CHECK(fd >= 0);
  size_t at = 0;
  while (at < want) {
    const ssize_t n = ::pread(fd, scratch.data() + at, want - at, static_cast<off_t>(offset + at));
    CHECK(n > 0);
    at += static_cast<size_t>(n);
  }
  ::close(fd);
  return scratch;
}

Buffer Blob::all() const {
  Buffer out;
  out.reserve(size_);
  each(0, size_, [&](ByteView view) {
    coldshelf::append(out, view);
    return true;
  });
  return out;
}

Response xml_response(std::string_view root, const std::string& content) {
  Response response;
  response.set("Content-Type", "application/xml");
  response.text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<";
  response.text.append(root)
      .append(" xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">")
      .append(content)
      .append("</")
      .append(root)
      .append(">");
  return response;
}

Response error_response(std::string_view code, std::string_view message,
                        std::string_view extra_xml) {
  Response response;
  response.status = 400;
  for (const CodeStatus& known : kStatuses) {
    if (known.code == code) response.status = known.status;
  }
  response.code = code;
  response.set("Content-Type", "application/xml");
  response.text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>" + element("Code", code) +
                  element("Message", message) + std::string(extra_xml) +
                  element("RequestId", "IMPOSTER") + "</Error>";
  return response;
}

bool parse_iso_date(std::string_view text, int64_t& unix_ms) {
  std::tm parts{};
  double seconds = 0;
  const std::string copy(text);
  int used = 0;
  if (std::sscanf(copy.c_str(), "%4d-%2d-%2dT%2d:%2d:%lf%n", &parts.tm_year, &parts.tm_mon,
                  &parts.tm_mday, &parts.tm_hour, &parts.tm_min, &seconds, &used) != 6) {
    return false;
  }
  const std::string zone = copy.substr(static_cast<size_t>(used));
  if (zone != "Z" && zone != "+00:00") return false;
  parts.tm_year -= 1900;
  parts.tm_mon -= 1;
  unix_ms = timegm(&parts) * 1000LL + static_cast<int64_t>(seconds * 1000 + 0.5);
  return true;
}

namespace {

S3Operation bucket_operation(const Request& r) {
  if (r.method == "GET") {
    for (const char* setting : {"location", "versioning", "object-lock"}) {
      if (r.has_query(setting)) return S3Operation::bucket_setting;
    }
    if (r.has_query("uploads")) return S3Operation::list_multipart;
    for (const char* other : {"versions", "acl", "policy", "tagging", "lifecycle", "cors",
                              "encryption", "notification", "replication", "website"}) {
      if (r.has_query(other)) return S3Operation::unknown;
    }
    return S3Operation::list_objects;
  }
  if (r.method == "HEAD") return S3Operation::head_bucket;
  if (r.method == "PUT") {
    if (r.has_query("object-lock") || r.has_query("versioning")) return S3Operation::bucket_setting;
    return r.query.empty() ? S3Operation::create_bucket : S3Operation::unknown;
  }
  if (r.method == "DELETE" && r.query.empty()) return S3Operation::delete_bucket;
  if (r.method == "POST" && r.has_query("delete")) return S3Operation::delete_objects;
  return S3Operation::unknown;
}

S3Operation object_operation(const Request& r) {
  const bool lock = r.has_query("retention") || r.has_query("legal-hold");
  if (r.has_query("acl") || r.has_query("tagging") || r.has_query("torrent") ||
      r.has_query("attributes") || r.has_query("select")) {
    return S3Operation::unknown;
  }
  const bool copy = r.has_header("x-amz-copy-source");
  if (r.method == "PUT") {
    if (lock) return S3Operation::put_lock;
    if (r.has_query("partNumber")) {
      return copy ? S3Operation::upload_part_copy : S3Operation::upload_part;
    }
    return copy ? S3Operation::copy_object : S3Operation::put_object;
  }
  if (r.method == "GET") {
    if (lock) return S3Operation::get_lock;
    return r.has_query("uploadId") ? S3Operation::list_parts : S3Operation::get_object;
  }
  if (r.method == "HEAD") return S3Operation::head_object;
  if (r.method == "DELETE") {
    return r.has_query("uploadId") ? S3Operation::abort_multipart : S3Operation::delete_object;
  }
  if (r.method == "POST") {
    if (r.has_query("uploads")) return S3Operation::create_multipart;
    if (r.has_query("uploadId")) return S3Operation::complete_multipart;
    if (r.has_query("restore")) return S3Operation::restore_object;
  }
  return S3Operation::unknown;
}

}  // namespace

std::string parse_target(const std::string& target, const std::vector<std::string>& buckets,
                         Request& request) {
  const std::string wrong = split_target(target, request);
  if (!wrong.empty()) return wrong;
  std::string path;
  if (!decode_uri(std::string_view(request.raw_path).substr(1), false, path)) {
    return "bad %-encoding";
  }
  // Virtual-host addressing: the first label of the host is a bucket.
  const size_t dot = request.host.find('.');
  const std::string label = request.host.substr(0, dot);
  if (dot != std::string::npos && std::count(buckets.begin(), buckets.end(), label) > 0) {
    request.bucket = label;
    request.key = path;
  } else {
    const size_t slash = path.find('/');
    request.bucket = path.substr(0, slash);
    if (slash != std::string::npos) request.key = path.substr(slash + 1);
  }
  if (request.bucket.empty()) {
    request.operation = request.method == "GET" ? S3Operation::list_buckets : S3Operation::unknown;
  } else {
    request.operation = request.key.empty() ? bucket_operation(request) : object_operation(request);
  }
  return "";
}

}  // namespace coldshelf::test::imposter
