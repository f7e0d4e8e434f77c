// A request's body as it goes onto the wire: from memory or a file, plain or framed as aws-chunked.
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
#pragma once

#include <string>

#include "uploader/cloud/http.h"

namespace coldshelf {

class HttpBody {
 public:
  explicit HttpBody(const HttpRequest& request);  // `request` outlives it

  uint64_t wire_bytes() const;  // Content-Length
  // Fills `out` as far as there is something left; 0: the end.
  Result<size_t> read(MutableBytes out);
  void restart();

 private:
  Result<size_t> read_data(MutableBytes out);
  bool next_frame();  // false: the end

  const HttpRequest& request_;
  const uint64_t total_;
  uint64_t at_ = 0;
  // aws-chunked only:
  uint64_t chunk_left_ = 0;
  bool in_chunk_ = false;
  bool ended_ = false;
  std::string frame_;  // not sent yet: what stands between the data
};

}  // namespace coldshelf
