#include "uploader/detached_document.h"

#include <nlohmann/json.hpp>

namespace coldshelf {

namespace {
constexpr uint64_t kFormat = 1;
}

std::string detached_key(const Uuid& image) {
  return std::string(kDetachedPrefix) + image.to_string();
}

Buffer encode_detached(const DetachedImage& image) {
  const nlohmann::json document = {{"format", kFormat},
                                   {"cartridge", image.uuid.to_string()},
                                   {"name", image.name},
                                   {"gateway", image.gateway},
                                   {"size_bytes", image.size_bytes},
                                   {"detached_unix_ms", image.detached_ms}};
  return to_buffer(as_view(document.dump(1) + "\n"));
}

Result<DetachedImage> decode_detached(ByteView document) {
  const auto json = nlohmann::json::parse(as_text(document), nullptr, false);
  const auto number = [&](const char* name) {
    return json.is_object() && json.contains(name) && json[name].is_number_unsigned();
  };
  const auto text = [&](const char* name) {
    return json.is_object() && json.contains(name) && json[name].is_string()
               ? json[name].get<std::string>()
               : std::string();
  };
  if (number("format") && json["format"].get<uint64_t>() > kFormat) {
    return Error(ErrorCode::unsupported_version, "a detached image, written by a newer coldshelf");
  }
  const auto uuid = Uuid::parse(text("cartridge"));
  if (!number("format") || !number("size_bytes") || !number("detached_unix_ms") || !uuid ||
      text("name").empty()) {
    return Error(ErrorCode::corrupt, "what the store says of a detached image is malformed");
  }
  DetachedImage out;
  out.uuid = *uuid;
  out.name = text("name");
  out.gateway = text("gateway");
  out.size_bytes = json["size_bytes"].get<uint64_t>();
  out.detached_ms = json["detached_unix_ms"].get<int64_t>();
  return out;
}

}  // namespace coldshelf
