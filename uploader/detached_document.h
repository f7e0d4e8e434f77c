// What the store says of an image that no gateway has: docs/format/store.md.
#pragma once

#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "base/uuid.h"

namespace coldshelf {

constexpr std::string_view kDetachedPrefix = "detached/";
constexpr std::string_view kDetachedStatus = "DETACHED";  // property "status" of its manifest

struct DetachedImage {
  Uuid uuid;
  std::string name;
  std::string gateway;  // that had it
  uint64_t size_bytes = 0;
  int64_t detached_ms = 0;
};
std::string detached_key(const Uuid& image);
Buffer encode_detached(const DetachedImage& image);
Result<DetachedImage> decode_detached(ByteView document);

}  // namespace coldshelf
