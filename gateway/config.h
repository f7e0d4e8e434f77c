// The configuration: TOML, every key typed and bounded, unknown keys refused with line and column.
// deploy/coldshelf.toml.example documents each key; a test keeps the two together.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/file_system.h"
#include "base/log.h"
#include "base/result.h"
#include "snapshot/policy.h"
#include "uploader/cloud/bandwidth_schedule.h"
#include "uploader/cost_model.h"

namespace coldshelf {

struct PoolConfig {
  std::string name;
  std::string storage_class = "GLACIER";  // S3's spelling
  std::string mode = {};                  // "direct", "staged"; empty: as the class suggests
  std::string lock = "none";              // "governance", "compliance"
  uint64_t lock_days = 0;
};

// Whose EBS snapshots may be pulled beside our own: by a role, or a profile of ~/.aws.
struct AccountConfig {
  std::string name;
  std::string id = {};  // 12 digits
  std::string role_arn = {};
  std::string external_id = {};
  std::string profile = {};
  std::vector<std::string> regions = {};  // empty: aws.region
};

// Commands around a recovery point, as a shell would cut them into words.
struct QuiesceConfig {
  std::string name;
  std::string pre, post;
  int64_t pre_timeout_ms = 30'000;
  int64_t post_timeout_ms = 30'000;
  int64_t longest_ms = 60'000;
};

// Somebody who is told; which keys belong to which type: gateway/config_notify.cc.
struct NotifyConfig {
  std::string name = {};
  std::string type = {};  // "webhook", "sns", "mail"
  std::string at_least = "info";
  std::vector<std::string> events = {};  // beginnings; empty: all
  std::string url = {};
  std::string ca_file = {};
  std::string authorization_file = {};
  std::string authorization_env = {};
  std::string signing_secret_file = {};
  std::string signing_secret_env = {};
  std::string topic_arn = {};
  std::string endpoint = {};
  std::string profile = {};
  std::string tls = "required";
  std::string user = {};
  std::string password_file = {};
  std::string password_env = {};
  std::string from = {};
  std::vector<std::string> to = {};
};

struct Config {
  struct Gateway {
    std::string name = "coldshelf";  // part of the iSCSI target names
    std::string data_dir;
  } gateway;

  struct Chap {
    std::string user;  // empty: no CHAP
    std::string secret_file;
    std::string secret_env;
    std::string mutual_user;  // empty: one-way
    std::string mutual_secret_file;
    std::string mutual_secret_env;
  };
  struct Iscsi {
    std::vector<std::string> listen = {"127.0.0.1:3260"};
    bool allow_unauthenticated = false;
    uint64_t io_threads = 2;
    int64_t nop_interval_ms = 30'000;
    uint64_t max_connections = 1024;
    Chap chap;
  } iscsi;

  struct Library {
    std::string changer = "STK-L700";
    std::string drive_model = "IBM-ULT3580-TD8";
    uint64_t slots = 40;
    uint64_t import_export_slots = 4;
    uint64_t drives = 4;
    std::string serial_prefix;  // empty: made once and kept in the catalog
    std::string on_export = "archive";
    int64_t export_delay_ms = 60'000;
  } library;

  struct Cartridge {
    uint64_t segment_bytes = 64 * MiB;
    std::string compression = "zstd";
    int64_t level = 1;
  } cartridge;

  // Where one key-encryption key is: one of key_file, key_env, key_command and kms_key_id.
  struct KeySource {
    std::string key_file;
    std::string key_env;
    std::string key_command;
    std::string kms_key_id;
    std::string kms_region;    // of kms_key_id; default: as its ARN or the AWS settings say
    std::string kms_endpoint;  // default: the region's
    std::string kms_profile;   // of ~/.aws; default: the whole credential chain
    std::string kms_ca_file;   // default: the system's certificates
    bool set() const {
      return !key_file.empty() || !key_env.empty() || !key_command.empty() || !kms_key_id.empty();
    }
  };
  struct Encryption : KeySource {
    std::vector<KeySource> old_keys;  // some tapes may still be wrapped by them
    bool enabled() const { return set(); }
  } encryption;

  struct Store {
    std::string type = "directory";
    std::string url;   // s3: "s3://bucket/prefix"
    std::string path;  // directory: default <data_dir>/store
    bool link = true;  // directory: hard links instead of copies where they are possible
    int64_t restore_expedited_ms = 1'000;
    int64_t restore_standard_ms = 5'000;
    int64_t restore_bulk_ms = 15'000;
    int64_t restore_poll_ms = 1'000;
    uint64_t restore_days = 7;
    uint64_t restore_requests_per_second = 500;
    uint64_t transfer_threads = 16;  // at most
    struct S3 {
      std::string region;
      std::string endpoint;
      std::string addressing = "auto";
      std::string ca_file;
      std::string profile;
      std::string access_key_id;  // empty: where AWS's own tools look
      std::string secret_key_file;
      std::string secret_key_env;
      std::string sse = "none";  // the bucket's default
      std::string kms_key_id;
      std::string payload_signing = "signed";
      uint64_t multipart_threshold = 256 * MiB;
      uint64_t part_bytes = 64 * MiB;
      uint64_t connections = 64;  // kept open
      int64_t connect_timeout_ms = 5'000;
      int64_t idle_timeout_ms = 20'000;
      int64_t copy_timeout_ms = 120'000;
    } s3;
    int64_t lease_ttl_ms = 60'000;
  } store;

  struct Cache {
    uint64_t limit_bytes = 0;  // 0: no limit
    uint64_t read_ahead_segments = 2;
  } cache;

  struct Buffer {
    uint64_t limit_bytes = 0;  // of what is not in the store yet; 0: no limit
  } buffer;

  std::vector<BandwidthRule> bandwidth;  // the first that holds; none: no limit

  std::vector<PoolConfig> pools = {{"GLACIER", "GLACIER", "staged"},
                                   {"DEEP_ARCHIVE", "DEEP_ARCHIVE", "staged"}};

  std::vector<QuiesceConfig> quiesce;

  Prices prices;

  // EBS snapshots.
  struct Aws {
    std::string region;         // empty: as AWS's own tools find it
    std::string profile;        // empty: the whole credential chain
    std::string access_key_id;  // empty: where AWS's own tools look
    std::string secret_key_file;
    std::string secret_key_env;
    std::string ca_file;
    std::string ebs_endpoint;  // empty: the region's, as below
    std::string ec2_endpoint;
    std::string sts_endpoint;
    std::string sns_endpoint;
    uint64_t reads_per_second = 1'000;  // quota of GetSnapshotBlock, of account and snapshot
    uint64_t writes_per_second = 1'000;
    uint64_t requests = 192;  // of a job under way, at most
    uint64_t jobs = 4;        // pulls and restores at once
    int64_t timeout_ms = 20'000;
  } aws;
  std::vector<AccountConfig> accounts;
  std::vector<NotifyConfig> notify;

  std::vector<Policy> policies;

  struct Api {
    std::string socket;                     // default <data_dir>/coldshelf.sock
    std::string listen = "127.0.0.1:8443";  // HTTPS; empty: the socket alone
    std::string certificate_file;           // PEM; empty: a self-signed one is made
    std::string key_file;
    int64_t session_idle_ms = 30 * 60'000;  // a browser is signed out then
  } api;

  // When alarms ring (gateway/alarm_rules.cc).
  struct Alarms {
    struct Percent {
      uint64_t raise, clear;  // raised at or above the one, over below the other
      int64_t after_ms;       // it must last so long
    };
    Percent cache_dirty{80, 70, 20 * 60'000};
    Percent io_wait{20, 15, 15 * 60'000};
    Percent buffer_full{95, 85, 60'000};
    uint64_t store_failures = 3;  // in a row, before the store counts as away
    int64_t store_after_ms = 60'000;
    int64_t lease_after_ms = 10'000;
    uint64_t disk_free_percent = 5;  // less than this and less than that: the disk is nearly full
    uint64_t disk_free_bytes = 50 * GiB;
    int64_t disk_after_ms = 60'000;
    int64_t job_remembered_ms = 24 * 3'600'000;
    int64_t certificate_before_ms = int64_t{21} * 24 * 3'600'000;
  } alarms;

  struct Log {
    std::string level = "info";
    std::string format = "auto";  // the journal's under systemd, else text
  } log;

  std::string cartridges_dir() const { return join_path(gateway.data_dir, "cartridges"); }
  std::string api_dir() const { return join_path(gateway.data_dir, "api"); }
  LogLevel log_level() const;
};

// Parses and checks. `source` is the name in messages ("coldshelf.toml:3:1: ..."); relative paths
// in it are taken relative to `base_dir`. data_dir given here wins over the file's.
Result<Config> parse_config(std::string_view text, const std::string& source,
                            const std::string& base_dir, const std::string& data_dir = {});
Result<Config> load_config(FileSystem& files, const std::string& path,
                           const std::string& data_dir = {});
// No file: defaults, everything below `data_dir`.
Result<Config> default_config(const std::string& data_dir);

// As TOML, with every default filled in. Holds no secret: only where the secrets are kept.
std::string effective_config(const Config& config);

// Dotted names of every key the parser knows, e.g. "iscsi.chap.user", "pool.name".
std::vector<std::string> config_keys();

// Where a data directory's socket is when nothing else is said.
std::string default_socket(const std::string& data_dir);

}  // namespace coldshelf
