// Accounts, volumes, snapshots, instances and images, and what AWS's operations do to them. Knows
// no sockets and no faults but those of an answer's content. Thread-safe.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "tests/support/ebs/blocks.h"
#include "tests/support/ebs/tokens.h"
#include "tests/support/imposter/sigv4.h"

namespace coldshelf::test::ebs {

using imposter::HttpMessage;

struct Answer {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string text;
  std::optional<BlockBytes> block;  // the body, when there is one
  std::string code;                 // of an error

  size_t body_bytes() const { return block ? block->body.size() + block->tail_bytes : text.size(); }
  void set(std::string name, std::string value) {
    headers.emplace_back(std::move(name), std::move(value));
  }
};

using Params = std::map<std::string, std::string>;  // of a Query request, decoded

// A request that is understood: for which service, in whose name.
struct Call {
  HttpMessage http;
  std::string service;  // ebs, ec2, sts, sns
  std::string region;
  std::string account;
  EbsOperation operation = EbsOperation::unknown;
  std::string action;  // of a Query request
  Params params;
  std::string key;  // "snap-1 17": for scripts of faults
  std::string snapshot;
  std::optional<uint64_t> block;
  Sha256Digest body_digest{};  // of PutSnapshotBlock's body
  EbsFault fault = EbsFault::none;
};

struct Volume {
  std::string id, account, region, zone, type = "gp3", kms_key, snapshot_id, client_token;
  std::string instance_id, device;
  uint64_t size_gib = 0;
  uint64_t iops = 0;
  uint64_t throughput = 0;
  bool encrypted = false;
  EbsTags tags;
  int64_t created_ms = 0;
  int64_t snapshot_ms = 0;  // the last one's
  std::string lineage;
  std::shared_ptr<BlockImage> image;  // copied before it is changed when others have it
};

struct PutBlock {
  BlockRef block;
  Sha256Digest digest{};
};

struct Snapshot {
  std::string id, account, region, volume_id, parent_id, description, kms_key, lineage;
  std::string client_token, started_as;  // what it was started with, to compare
  uint64_t number = 0;
  uint64_t size_gib = 0;
  bool encrypted = false;
  bool archived = false;  // in the archive tier
  EbsTags tags;
  int64_t start_ms = 0;
  int64_t completed_ms = 0;  // when it will be, or was; 0: not known yet
  std::shared_ptr<const BlockImage> image;
  // By the direct APIs:
  bool direct = false;
  bool sealed = false;  // CompleteSnapshot was accepted
  int64_t timeout_ms = 0;
  int64_t active_ms = 0;
  unsigned puts_refused = 0;  // early 404s
  std::map<uint64_t, PutBlock> puts;
};

struct Instance {
  std::string id, account, region, zone;
  EbsTags tags;
  int64_t launched_ms = 0;
  std::vector<std::pair<std::string, std::string>> devices;  // name, volume; the root first
};

struct MachineImage {
  std::string id, account, region, name, description, architecture, root_device, boot_mode;
  EbsTags tags;
  int64_t created_ms = 0;
  struct Mapping {
    std::string device, snapshot_id, volume_type;
    uint64_t size_gib = 0;
  };
  std::vector<Mapping> mappings;
};

struct Role {
  std::string arn, account, external_id;
  std::vector<std::string> trusted;
};

struct Identity {
  std::string account;
  std::string arn;
  imposter::Key key;
  int64_t expires_ms = 0;  // 0: never
};

class Bucket {  // tokens of a rate
 public:
  bool take(double per_s, double burst_ms, int64_t now_ns);

 private:
  double tokens_ = -1;
  int64_t at_ns_ = 0;
};

class Service {
 public:
  Service(const EbsStandinOptions& options, Clock& clock);

  // Who: checks the signature. Fills call.account.
  std::optional<Answer> authenticate(Call& call);
  // Service, operation and key of call.http. False: no such thing.
  bool understand(Call& call) const;
  Answer handle(Call& call);
  // What a fault answers instead of doing anything.
  std::optional<Answer> refusal(const Call& call) const;
  int64_t now_ms() const { return clock_.unix_ms(); }
  uint64_t throttled() const;
  void set_limits(const EbsLimits& limits);

  // The world behind the protocol's back: as EbsStandin says.
  std::string make_volume(const EbsVolumeSpec& spec, const EbsPlace& place);
  enum class Change { pattern, zeros, trim, touch };
  void change(const std::string& volume, uint64_t first, uint64_t count, Change change,
              uint64_t seed, EbsPattern pattern);
  void write_block(const std::string& volume, uint64_t index, ByteView bytes);
  std::string make_snapshot(const std::string& volume, const EbsTags& tags);
  std::string make_instance(const std::vector<std::string>& volumes, const EbsTags& tags);
  void set_tags(const std::string& resource, const EbsTags& tags);
  void add_role(const std::string& arn, const std::vector<std::string>& trusted,
                const std::string& external_id);
  void archive_snapshot(const std::string& id);
  void expire_key(const std::string& access_key);
  void grow_volume(const std::string& id, uint64_t size_gib);
  std::optional<Buffer> snapshot_block(const std::string& snapshot, uint64_t index) const;
  std::vector<uint64_t> snapshot_blocks(const std::string& snapshot) const;
  Buffer volume_block(const std::string& volume, uint64_t index) const;
  std::vector<EbsSnapshotInfo> snapshots() const;
  std::vector<EbsVolumeInfo> volumes() const;
  std::vector<EbsImageInfo> images() const;
  std::vector<EbsMessage> messages() const;

 private:
  using Refusal = std::optional<Answer>;

  // All below: with mutex_ held, but for put_block's hashing, which is done before.
  Answer dispatch(Call& call);
  Refusal limit(const Call& call);
  // direct.cc
  Answer list_snapshot_blocks(const Call& call);
  Answer list_changed_blocks(const Call& call);
  Answer get_snapshot_block(const Call& call);
  struct Page {
    uint64_t start = 0;
    uint64_t max_results = 0;
    int64_t expires_ms = 0;
  };
  Refusal read_page(const Call& call, const Snapshot& second, uint64_t first_number,
                    Page& out) const;
  void end_page(const Snapshot& second, uint64_t first_number, const Page& page, uint64_t next,
                Answer& answer) const;
  uint64_t page_limit(const Call& call, uint64_t max_results) const;
  Refusal find_listable(const Call& call, const std::string& id, const Snapshot*& out) const;
  // direct_write.cc
  Answer start_snapshot(const Call& call);
  Answer put_snapshot_block(const Call& call);
  Answer complete_snapshot(const Call& call);
  Answer started(const Snapshot& snapshot) const;
  Refusal find_writable(const Call& call, Snapshot*& out);
  // ec2.cc
  Answer ec2(const Call& call);
  Answer describe_volumes(const Call& call) const;
  Answer describe_snapshots(const Call& call) const;
  Answer describe_instances(const Call& call) const;
  Answer describe_images(const Call& call) const;
  Answer describe_regions(const Call& call) const;
  Answer describe_tags(const Call& call) const;
  std::string instance_xml(const Instance& instance) const;
  std::string snapshot_xml(const Snapshot& snapshot, const char* state_name) const;
  // ec2_change.cc
  Answer create_snapshot(const Call& call);
  Answer create_snapshots(const Call& call);
  Answer delete_snapshot(const Call& call);
  Answer create_volume(const Call& call);
  Answer delete_volume(const Call& call);
  Answer register_image(const Call& call);
  Answer deregister_image(const Call& call);
  Answer change_tags(const Call& call, bool remove);
  Refusal read_mappings(const Call& call, MachineImage& image) const;
  // sts_sns.cc
  Answer assume_role(const Call& call);
  Answer get_caller_identity(const Call& call) const;
  Answer publish(const Call& call);

  Snapshot& snap(Volume& volume, const EbsTags& tags, int64_t completed_ms);
  Volume& volume_of(const std::string& id);
  BlockImage& changeable(Volume& volume);
  std::string state_of(const Snapshot& snapshot) const;
  bool owns(const Call& call, const std::string& account, const std::string& region) const {
    return account == call.account && region == call.region;
  }
  EbsTags* tags_of(const Call& call, const std::string& resource);
  std::string new_id(const char* prefix, uint64_t* number = nullptr);

  const EbsStandinOptions options_;
  Clock& clock_;
  ContentStore contents_;
  TokenMaker tokens_{0x7061676520616e64U};
  mutable std::mutex mutex_;
  EbsLimits limits_;
  uint64_t throttled_ = 0;
  uint64_t ids_ = 0;
  uint64_t stamps_ = 0;
  std::map<std::string, Identity> identities_;  // by access key
  std::map<std::string, Role> roles_;
  std::map<std::string, Volume> volumes_;
  std::map<std::string, Snapshot> snapshots_;
  std::map<std::string, Instance> instances_;
  std::map<std::string, MachineImage> images_;
  std::vector<EbsMessage> messages_;
  std::map<std::string, Bucket> buckets_;  // "account region get", "snap-1 get"
};

// Errors as each protocol has them.
Answer direct_error(std::string_view code, std::string_view message, std::string_view reason = {});
Answer query_error(const Call& call, std::string_view code, std::string_view message);
Answer service_error(const Call& call, std::string_view code, std::string_view message);
std::string tag_set(const EbsTags& tags);  // <tagSet>

}  // namespace coldshelf::test::ebs
