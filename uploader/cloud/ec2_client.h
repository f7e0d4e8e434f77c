// Amazon EC2's Query API, as far as snapshots and volumes need it. Lists are read page by page to
// their end; requests that are throttled are sent again. Thread-safe.
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "uploader/cloud/aws_service.h"

namespace coldshelf {

// The volume of a snapshot that was copied, or made by the EBS direct APIs: none.
inline constexpr std::string_view kNoVolume = "vol-ffffffff";

using Ec2Tags = std::map<std::string, std::string>;

struct Ec2Snapshot {
  std::string id;
  std::string volume;    // or kNoVolume
  std::string state;     // pending, completed, error, recoverable, recovering
  std::string progress;  // "42%"
  std::string description;
  std::string owner;
  std::string kms_key;
  std::string tier;        // "standard", "archive"
  int64_t started_ms = 0;  // unix
  uint64_t volume_gib = 0;
  bool encrypted = false;
  Ec2Tags tags;
  // Its blocks cannot be listed or read, nor can it be a parent, until EC2 has restored it.
  bool archived() const { return tier == "archive"; }
};

struct Ec2Volume {
  std::string id;
  std::string state;  // creating, available, in-use, deleting, deleted, error
  std::string zone;
  std::string type;
  std::string kms_key;
  std::string snapshot;  // it was made from
  uint64_t gib = 0;
  bool encrypted = false;
  struct Attachment {
    std::string instance;
    std::string device;
    std::string state;
  };
  std::vector<Attachment> attachments;
  Ec2Tags tags;
};

struct Ec2Filter {
  std::string name;  // "tag:Backup", "volume-id", "status"
  std::vector<std::string> values;
};

struct Ec2CreateVolume {
  std::string zone;
  std::string snapshot;
  std::string type;  // empty: EC2's default, as everything below
  uint64_t gib = 0;
  uint64_t iops = 0;
  uint64_t throughput = 0;  // MiB/s
  bool encrypted = false;
  std::string kms_key;
  std::string client_token;
  Ec2Tags tags;
};

struct Ec2RegisterImage {
  std::string name;  // unique in the account and region
  std::string description;
  std::string snapshot;
  std::string architecture = "x86_64";
  std::string root_device = "/dev/xvda";
  std::string volume_type;  // empty: EC2's default
  std::string boot_mode;    // "uefi", "legacy-bios", "uefi-preferred"; empty: EC2's default
  Ec2Tags tags;
};

struct Ec2CreateSnapshots {
  std::string instance;
  std::string description;
  bool without_boot_volume = false;
  std::vector<std::string> without_volumes;  // data volumes
  bool copy_tags_from_volumes = false;
  Ec2Tags tags;
};

// Errors: not_found, permission, busy (in use), exists, no_space (a limit), invalid_argument,
// unavailable (after the patience; of what cannot be repeated: perhaps it was done).
class Ec2Client {
 public:
  struct Options {
    std::string region;
    std::string endpoint;  // empty: the region's own
    int64_t timeout_ms = 30'000;
    int64_t patience_ms = 300'000;  // how long a request is tried again
  };
  Ec2Client(Options options, std::shared_ptr<Clock> clock, std::shared_ptr<HttpTransport> transport,
            std::shared_ptr<CredentialsProvider> credentials,
            std::shared_ptr<const std::atomic<bool>> stop = nullptr);

  // Of this account where neither ids nor filters say otherwise.
  Result<std::vector<Ec2Snapshot>> describe_snapshots(const std::vector<std::string>& ids,
                                                      const std::vector<Ec2Filter>& filters = {});
  Result<Ec2Snapshot> describe_snapshot(const std::string& id);
  Result<std::vector<Ec2Volume>> describe_volumes(const std::vector<std::string>& ids,
                                                  const std::vector<Ec2Filter>& filters = {});
  // What the instance starts from; empty: no volume (an instance store, or it was detached).
  Result<std::string> root_volume(const std::string& instance);
  Result<std::vector<std::string>> describe_regions();  // those this account can use

  // These have no client token: when the answer is lost they are not repeated. Look for `tags`.
  Result<Ec2Snapshot> create_snapshot(const std::string& volume, const std::string& description,
                                      const Ec2Tags& tags);
  // All volumes of an instance at one moment.
  Result<std::vector<Ec2Snapshot>> create_snapshots(const Ec2CreateSnapshots& what);

  Status delete_snapshot(const std::string& id);  // ok when it is not there
  Status create_tags(const std::string& resource, const Ec2Tags& tags);
  Result<Ec2Volume> create_volume(const Ec2CreateVolume& what);  // by client token
  // The image's id. One of the same name that stands on the same snapshot is the answer to an
  // earlier try.
  Result<std::string> register_image(const Ec2RegisterImage& what);

  const Options& options() const { return options_; }
  int64_t clock_ahead_ms() const { return service_.clock_ahead_ms(); }  // as AwsService's

 private:
  using Parameters = std::vector<std::pair<std::string, std::string>>;
  struct Reply;
  Result<Reply> once(const Parameters& parameters, bool repeat, AwsService::Remedies& remedies);
  // `repeat`: doing it twice is harmless.
  Result<std::string> call(const std::string& action, Parameters parameters, bool repeat);
  Result<std::string> image_of(const std::string& name, const std::string& snapshot);

  const Options options_;
  const std::shared_ptr<Clock> clock_;
  AwsService service_;
  const std::shared_ptr<const std::atomic<bool>> stop_;
  SystemRandom random_;
};

}  // namespace coldshelf
