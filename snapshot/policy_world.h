// What a policy looks at and acts on, as far as it needs it: AWS on one side, our archive on the
// other.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "snapshot/policy.h"

namespace coldshelf {

struct PolicyPlace {
  std::string account;  // a name of the configuration; empty: the gateway's own
  std::string region;
  auto operator<=>(const PolicyPlace&) const = default;
};
std::string to_string(const PolicyPlace& place);  // "prod/eu-central-1", "eu-central-1"

struct CloudVolume {
  std::string id;
  std::string state;     // EC2's: "available", "in-use"; others cannot have snapshots
  std::string instance;  // it is attached to; empty: none, or several (multi-attach)
  uint64_t gib = 0;
  PolicyTags tags;
  bool root = false;  // the instance starts from it; told by volumes_of() only
};

struct CloudSnapshot {
  std::string id;
  std::string volume;
  PointState state = PointState::pending;
  int64_t started_ms = 0;
  uint64_t gib = 0;
  PolicyTags tags;
  std::string tag(const char* name) const {
    const auto found = tags.find(name);
    return found == tags.end() ? std::string() : found->second;
  }
};

constexpr size_t kMaxLeftOut = 40;  // EC2's limit

struct CloudSnapshotOrder {
  std::string instance;               // empty: of one volume
  std::vector<std::string> volumes;   // of the instance, or the one
  std::vector<std::string> left_out;  // data volumes of the instance, at most kMaxLeftOut
  bool boot_volume = true;            // the root volume is in it; it is never in left_out
  bool copy_tags = true;              // as many as a snapshot takes
  std::string description;
  PolicyTags tags;
  std::map<std::string, PolicyTags> volume_tags;  // of the instance's volumes
};

// AWS. Errors of a place are its own: others go on. Thread-safe.
class PolicyCloud {
 public:
  virtual ~PolicyCloud() = default;
  // Where a policy looks; an account that is not configured is an error of its own.
  virtual Result<std::vector<PolicyPlace>> places(const Policy& policy) = 0;
  // Those that carry all of `tags` ("*": whatever the value).
  virtual Result<std::vector<CloudVolume>> volumes(const PolicyPlace& place,
                                                   const PolicyTags& tags) = 0;
  virtual Result<std::vector<CloudVolume>> volumes_of(const PolicyPlace& place,
                                                      const std::string& instance) = 0;
  virtual Result<std::vector<CloudSnapshot>> snapshots(const PolicyPlace& place,
                                                       const PolicyTags& tags) = 0;
  // Not repeated when its answer is lost: look for the tags.
  virtual Result<std::vector<CloudSnapshot>> create(const PolicyPlace& place,
                                                    const CloudSnapshotOrder& order) = 0;
  virtual Status remove(const PolicyPlace& place, const std::string& snapshot) = 0;
  // Our clock minus AWS's, as its last answers had it; 0: not known.
  virtual int64_t clock_ahead_ms() = 0;
};

struct ArchivePoint {
  std::string archive;   // the image's name
  std::string status;    // the archive's: "AVAILABLE", "ARCHIVED", ...
  std::string point;     // the recovery point's id
  std::string snapshot;  // it was pulled from
  std::string volume;
  int64_t started_ms = 0;  // of the snapshot
  PointState state = PointState::good;
  bool held = false;               // mounted, cloned, locked
  std::vector<std::string> bases;  // points it cannot be read without
  std::string pulled_against;      // a snapshot; empty: in full
  uint64_t gib = 0;
  uint64_t listed_blocks = 0;
  uint64_t fetched_blocks = 0;
  uint64_t stored_blocks = 0;
  PolicyTags tags;  // the snapshot's
  std::string tag(const char* name) const {
    const auto found = tags.find(name);
    return found == tags.end() ? std::string() : found->second;
  }
};

// Our archive of EBS snapshots. Thread-safe.
class PolicyArchive {
 public:
  virtual ~PolicyArchive() = default;
  virtual Result<std::vector<ArchivePoint>> points() = 0;
  // Until it is there; ok as well when it is there already. cancelled: we are ending; cold: the
  // archive is on the shelf, and takes nothing until it is retrieved.
  virtual Status pull(const PolicyPlace& place, const CloudSnapshot& snapshot) = 0;
  // conflict, busy, cold, write_protected (locked): something stands against it. Ok when it is not
  // there.
  virtual Status remove(const std::string& archive, const std::string& point) = 0;
};

}  // namespace coldshelf
