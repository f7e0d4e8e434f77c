// The management API: operations by X-Amz-Target, JSON in and out. AWS Storage Gateway's names and
// fields where it has them (StorageGateway_20130630), the rest under Coldshelf_20261101.
// Also GET /healthz, /readyz and /metrics.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "gateway/api/access_keys.h"
#include "gateway/api/audit_log.h"
#include "gateway/api/http_server.h"
#include "gateway/api/params.h"
#include "gateway/automatic_tapes.h"
#include "gateway/bandwidth_control.h"
#include "gateway/chap_registry.h"
#include "gateway/config.h"
#include "gateway/key_rotation.h"
#include "gateway/metrics.h"
#include "gateway/monitor.h"
#include "gateway/tags.h"
#include "gateway/tape_service.h"
#include "gateway/units.h"
#include "uploader/bucket_survey.h"

namespace coldshelf {
class History;
class Notifier;
class PolicyService;
class SnapshotService;
class StoreKeeper;
class VolumePoints;
class VolumeScheduler;
class VolumeService;
struct VolumeView;
class VolumeTransfers;
}  // namespace coldshelf

namespace coldshelf::api {

constexpr std::string_view kAwsPrefix = "StorageGateway_20130630.";
constexpr std::string_view kOwnPrefix = "Coldshelf_20261101.";

struct Session {
  std::string initiator;
  std::string target;
  std::string peer;
  uint64_t commands = 0;
  uint64_t bytes_received = 0;
  uint64_t bytes_sent = 0;
};

struct ServiceEnv {
  TapeService* tapes = nullptr;
  KeyRotation* keys = nullptr;  // null: no operations on keys
  Config config;
  std::string gateway_id;  // "sgw-0A1B2C3D"
  std::string version;
  std::string store;  // ObjectStore::describe()
  Ownership* ownership = nullptr;
  ObjectStore* object_store = nullptr;
  StoreKeeper* keeper = nullptr;     // null: nobody looks after the store
  History* history = nullptr;        // null: nothing is kept for charts
  VolumeService* volumes = nullptr;  // null: no operations on volumes, as of the three below
  VolumePoints* volume_points = nullptr;
  VolumeScheduler* volume_schedules = nullptr;
  VolumeTransfers* volume_transfers = nullptr;
  Notifier* notifier = nullptr;          // null: no operations on notifications
  PolicyService* policies = nullptr;     // null: no operations on policies
  SnapshotService* snapshots = nullptr;  // null: no operations on EBS snapshots
  AccessKeys* access_keys = nullptr;     // null: no operations on users
  AuditLog* audit = nullptr;
  // Each null: no operations on it.
  BandwidthControl* bandwidth = nullptr;
  ChapRegistry* chap = nullptr;
  AutomaticTapes* automatic_tapes = nullptr;
  Tags* tags = nullptr;
  int64_t started_ms = 0;
  std::function<std::vector<Session>()> sessions;
  std::function<std::vector<std::string>()> endpoints;
  std::function<Status()> health;
  std::function<Status()> ready;
  Metrics* metrics = nullptr;  // null: no /metrics
  Monitor* monitor = nullptr;  // null: no operations on alarms
};

class Service {
 public:
  explicit Service(ServiceEnv env);

  ApiResponse handle(const ApiRequest& request);
  // One operation, without HTTP: what handle() does with POST /.
  Result<Json> run(const std::string& target, const Json& input);
  std::vector<std::string> operations() const;  // full names, sorted
  bool serves(const std::string& target) const { return operations_.contains(target); }

 private:
  using Operation = std::function<Result<Json>(const Params&)>;
  void add_tape_operations();   // tape_operations.cc
  void add_shelf_operations();  // shelf_operations.cc
  void add_archive_shelf_operations();
  void add_pool_operations();             // pool_operations.cc
  void add_library_operations();          // library_operations.cc
  void add_job_operations();              // pool_operations.cc
  void add_store_operations();            // store_operations.cc
  void add_gateway_operations();          // library_operations.cc
  void add_key_operations();              // key_operations.cc
  void add_console_operations();          // console_operations.cc
  void add_volume_operations();           // volume_operations.cc
  void add_point_operations();            // volume_operations.cc
  void add_volume_schedule_operations();  // volume_schedule_operations.cc
  void add_volume_transfer_operations();  // volume_schedule_operations.cc
  void add_aws_volume_operations();       // aws_volume_operations.cc, as the rest of these
  void add_aws_volume_making();
  void add_aws_volume_views();
  void add_aws_snapshots();
  void add_notify_operations();  // notify_operations.cc
  void add_policy_operations();  // policy_operations.cc
  void add_ebs_operations();     // snapshot_operations.cc
  void add_alarm_operations();   // alarm_operations.cc
  void add_user_operations();    // user_operations.cc
  void add_tag_operations();
  void add_creation_operations();
  void add_bandwidth_operations();
  void add_chap_operations();
  void add_disk_operations();  // gateway_operations.cc
  void add_device_operations();
  void add_recovery_operations();
  Result<Json> describe_keys() const;
  void add_key(Json& out, const TapeRow& row) const;
  // Each has a row in roles.cc.
  void aws(const std::string& name, Operation op);
  void own(const std::string& name, Operation op);

  std::string gateway_arn() const;
  std::string tape_arn(const std::string& barcode) const;
  std::string device_arn(const std::string& device) const;
  std::string target_arn(const std::string& iqn) const;
  Result<std::string> target_of(const std::string& arn) const;    // chap_operations.cc
  Result<std::string> device_of(const std::string& arn) const;    // device_operations.cc
  Result<std::string> resource_of(const std::string& arn) const;  // tag_operations.cc
  std::string volume_arn(const Uuid& uuid) const;
  Result<VolumeView> volume_of(const std::string& arn) const;
  Result<VolumeView> volume_of(const Params& in) const;  // of "VolumeARN"
  Result<VolumeView> make_volume(const Params& in, const std::string& mode, uint64_t size);
  Result<Json> volume_made(const VolumeView& volume, const Params& in);
  Json aws_volume(const VolumeView& volume) const;
  Result<std::string> point_of_snapshot(const std::string& snapshot) const;
  bool chap_enabled(const std::string& iqn) const;
  Result<std::string> shown_name() const;  // gateway_operations.cc
  Result<Json> describe_gateway() const;
  Result<Json> update_gateway(const Params& in);
  uint64_t disk_bytes() const;  // of the data directory's disk
  Json describe_cache() const;
  Result<Json> update_device_type(const Params& in);
  Result<Json> recovery_points(const Params& in) const;
  // AWS's parameter checks, and that GatewayARN names this gateway.
  Status check_input(const std::string& target, const Json& input) const;
  Status check_encryption(const Params& in) const;
  std::string target_iqn(const std::string& device) const;
  Json aws_tape(const TapeView& view) const;
  Json own_tape(const TapeView& view) const;
  Status add_costs(Json& tape, const TapeRow& row) const;
  Json element_json(const Element& element) const;
  Json drive_json(const Element& element) const;
  Json job_json(const JobRow& job) const;
  // What `make` answers, or what it answered to the same ClientToken before. One at a time: a
  // client that gave up waiting and tries again gets what the first call made.
  Result<Json> once(const std::string& operation, const Params& in,
                    const std::function<Result<Json>()>& make);
  Result<Json> aws_create_tapes(const Params& in);
  Result<Json> aws_list_tapes(const Params& in);
  Json aws_archive(const TapeView& view) const;
  Result<TapeService::CreateRequest> tape_request(const Params& in) const;
  Result<std::string> tape_of(const std::string& arn) const;  // the barcode
  Result<std::string> tape_of(const Params& in) const;        // of "TapeARN"
  Result<Json> describe_tapes(const Params& in, bool archived, const char* list_name);
  Result<Json> list_segments(const Params& in) const;
  Result<Json> describe_history(const Params& in) const;
  Result<Json> list_devices(const Params& in) const;
  Json status() const;
  Json sharing() const;
  ApiResponse health() const;
  ApiResponse readiness() const;
  Json alarms_on() const;

  Catalog& catalog() const { return *env_.tapes->env().catalog; }
  Library& library() const { return env_.tapes->library(); }

  const ServiceEnv env_;
  const std::unique_ptr<BucketSurvey> survey_;  // null: there is no store
  std::map<std::string, Operation> operations_;
  std::mutex tokens_mutex_;
  // Answers by operation and ClientToken, the last 1,000.
  std::deque<std::pair<std::string, Json>> tokens_;
};

Json groups_json(const std::vector<ObjectGroup>& groups);  // objects and bytes by class

// Drive and changer names in targets: "mediachanger", "tapedrive-01".
std::string drive_device_name(unsigned number);
constexpr std::string_view kChangerDeviceName = "mediachanger";
std::string target_name(const std::string& gateway, std::string_view device);

// {"__type": ..., "message": ..., "code": ...} and its HTTP status; of AWS's operations with
// "error": {"errorCode": ...}.
ApiResponse error_response(const Error& error, std::string_view target = {});

// "Tags": [{"Key": ..., "Value": ...}] of an input, and back.
Result<TagMap> tags_of(const Params& in);
Json tags_json(const TagMap& tags);

// A tape is whole GiB, as AWS has it.
Status check_tape_size(uint64_t bytes);

// The catalog's setting that wins over library.changer from the next start on.
constexpr const char* kChangerSetting = "changer_type";

}  // namespace coldshelf::api
