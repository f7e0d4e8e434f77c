// What the manifest of an image says of where it came from: which EBS volume it archives, which
// snapshot each recovery point is, and what is under way. docs/snapshots.md.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tape/format/image_manifest.h"
#include "volume/volume.h"

namespace coldshelf {

// Property names.
constexpr std::string_view kPropertyEbsSource = "ebs.source";
// kPropertyEbsHead: the snapshot the disk is now; kPropertyEbsPull: under way
constexpr std::string_view kPropertyEbsPoint = "ebs.point.";  // + uuid of the recovery point
constexpr std::string_view kPropertyEbsPushed = "ebs.pushed.";

struct EbsSource {
  std::string volume;  // "vol-..."; empty: unknown
  std::string region;
  std::string account;  // its owner
};

struct EbsPoint {
  Uuid point;
  std::string snapshot;
  std::string base;  // it was pulled against; empty: in full
  std::string volume;
  std::string description;
  int64_t started_ms = 0;  // of the snapshot
  uint64_t volume_gib = 0;
  bool encrypted = false;
  std::string kms_key;
  std::map<std::string, std::string> tags;
  // What the pull did.
  int64_t pulled_ms = 0;
  uint64_t listed_blocks = 0;
  uint64_t fetched_blocks = 0;
  uint64_t stored_blocks = 0;
  uint64_t removed_blocks = 0;
};

struct PullUnderWay {
  std::string snapshot;
  std::string base;
  uint64_t next_block = 0;  // every block below it is in the image, durable
  // So far; a resumed pull goes on counting.
  uint64_t listed_blocks = 0;
  uint64_t fetched_blocks = 0;
  uint64_t stored_blocks = 0;
  uint64_t removed_blocks = 0;
};

struct EbsImage {
  EbsSource source;
  std::string head;
  std::optional<PullUnderWay> pull;
  std::vector<EbsPoint> points;                     // by the time of their snapshots
  std::map<Uuid, std::vector<std::string>> pushed;  // snapshots made from a recovery point

  const EbsPoint* find(const std::string& snapshot) const;
  const EbsPoint* find(const Uuid& point) const;
};

// corrupt: properties that make no sense. An image that is no archive of EBS has none of them.
Result<EbsImage> read_ebs_image(const Manifest& manifest);

Result<EbsSource> parse_ebs_source(const std::string& value);

Volume::Properties property_of(const EbsSource& source);
Volume::Properties property_of(const PullUnderWay& pull);
Volume::Properties property_of(const EbsPoint& point);
Volume::Properties property_of_pushed(const Uuid& point, const std::vector<std::string>& snapshots);
// Of a snapshot's tags, those that one restored from it may carry. Not "aws:", which nobody but AWS
// sets, nor our own: it is no snapshot that a policy made, and must not be deleted as one. Nor
// those of the length that EC2 takes and the EBS direct APIs do not.
std::map<std::string, std::string> tags_to_restore(const std::map<std::string, std::string>& tags);

// What goes with a recovery point when it is deleted.
Volume::Properties without_point(const Uuid& point);

}  // namespace coldshelf
