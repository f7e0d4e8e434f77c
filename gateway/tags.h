// Tags of resources: in the catalog, and of tapes in their manifests too, so that a rebuilt gateway
// has them again. Thread-safe.
#pragma once

#include <map>
#include <mutex>
#include <string>

#include "gateway/tape_service.h"

namespace coldshelf {

using TagMap = std::map<std::string, std::string>;

class Tags {
 public:
  static constexpr size_t kMaxTags = 50;
  static constexpr const char* kProperty = "tags";  // of a tape's manifest, as JSON

  Tags(Catalog& catalog, TapeService& tapes) : catalog_(catalog), tapes_(tapes) {}

  // Keys of 1 to 128 characters that do not begin with "aws:", values of up to 256.
  static Status check(const TagMap& tags);
  static std::string encode(const TagMap& tags);

  // `resource` as an ARN ends: "tape/ABC001L8", "gateway/sgw-0A1B2C3D/volume/vol-...".
  Result<TagMap> get(const std::string& resource);
  Status add(const std::string& resource, const TagMap& tags);
  Status remove(const std::string& resource, const std::vector<std::string>& keys);

 private:
  Status put(const std::string& resource, const TagMap& tags);

  Catalog& catalog_;
  TapeService& tapes_;
  std::mutex mutex_;
};

}  // namespace coldshelf
