#include "uploader/cloud/http_body.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace coldshelf {

namespace {

constexpr uint64_t kChunkBytes = 1 * MiB;

std::string chunk_head(uint64_t bytes) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string digits;
  for (uint64_t rest = bytes; rest > 0; rest >>= 4) digits.insert(digits.begin(), kHex[rest & 15]);
  return (digits.empty() ? "0" : digits) + "\r\n";
}

}  // namespace

HttpBody::HttpBody(const HttpRequest& request)
    : request_(request),
      total_(request.file != nullptr ? request.file_bytes : request.body.size()) {}

uint64_t HttpBody::wire_bytes() const {
  if (!request_.aws_chunked) return total_;
  const uint64_t full = total_ / kChunkBytes;
  const uint64_t rest = total_ % kChunkBytes;
  uint64_t bytes = full * (chunk_head(kChunkBytes).size() + kChunkBytes + 2);
  if (rest > 0) bytes += chunk_head(rest).size() + rest + 2;
  return bytes + chunk_head(0).size() + request_.trailer_bytes + 2;
}

void HttpBody::restart() {
  at_ = 0;
  chunk_left_ = 0;
  in_chunk_ = ended_ = false;
  frame_.clear();
  if (request_.on_body_restart) request_.on_body_restart();
}

Result<size_t> HttpBody::read_data(MutableBytes out) {
  const MutableBytes into =
      out.first(static_cast<size_t>(std::min<uint64_t>(out.size(), total_ - at_)));
  if (into.empty()) return size_t{0};
  if (request_.file != nullptr) {
    TRY(request_.file->read_at(request_.file_offset + at_, into));
  } else {
    std::memcpy(into.data(), request_.body.data() + at_, into.size());
  }
  if (request_.on_body_sent) request_.on_body_sent(into);
  at_ += into.size();
  return into.size();
}

bool HttpBody::next_frame() {
  if (in_chunk_) {
    in_chunk_ = false;
    frame_ = "\r\n";
    return true;
  }
  if (at_ < total_) {
    chunk_left_ = std::min(kChunkBytes, total_ - at_);
    in_chunk_ = true;
    frame_ = chunk_head(chunk_left_);
    return true;
  }
  if (ended_) return false;
  ended_ = true;
  const std::string trailer = request_.trailer ? request_.trailer() : std::string();
  CHECK(trailer.size() == request_.trailer_bytes);
  frame_ = chunk_head(0) + trailer + "\r\n";
  return true;
}

Result<size_t> HttpBody::read(MutableBytes out) {
  if (!request_.aws_chunked) return read_data(out);
  size_t done = 0;
  while (done < out.size()) {
    const MutableBytes rest = out.subspan(done);
    if (!frame_.empty()) {
      const size_t n = std::min(frame_.size(), rest.size());
      std::memcpy(rest.data(), frame_.data(), n);
      frame_.erase(0, n);
      done += n;
    } else if (chunk_left_ > 0) {
      ASSIGN_OR_RETURN(
          const size_t n,
          read_data(rest.first(static_cast<size_t>(std::min<uint64_t>(rest.size(), chunk_left_)))));
      chunk_left_ -= n;
      done += n;
    } else if (!next_frame()) {
      break;
    }
  }
  return done;
}

}  // namespace coldshelf
