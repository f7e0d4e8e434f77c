// `coldshelf setup`: from a few answers to a configuration that is checked before it is written.
#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file_system.h"
#include "base/random.h"
#include "gateway/config.h"

namespace coldshelf {

struct SetupAnswers {
  std::string config_path = "/etc/coldshelf/coldshelf.toml";
  std::string data_dir = "/var/lib/coldshelf";
  std::string socket;  // empty: /run/coldshelf/coldshelf.sock for the packaged paths, else the data
                       // directory's
  std::string name = "coldshelf";
  std::string store;  // s3://BUCKET/PREFIX or a directory; empty: <data_dir>/store
  std::string region, endpoint, profile, ca_file;  // of S3; empty: where AWS's own tools look
  std::string listen = "127.0.0.1:3260";
  std::string chap_user;  // needed beyond loopback
  std::string key_file;   // of an existing key; empty: a new one beside the configuration
  bool encrypt = true;
  uint64_t drives = 4, slots = 40;
  std::string drive_model = "IBM-ULT3580-TD8";
  uint64_t cache_bytes = 0, buffer_bytes = 0;  // 0: by the disk's free space
  bool force = false;                          // the configuration that is there is kept as .old
};

struct SetupEnv {
  FileSystem* files = nullptr;
  Clock* clock = nullptr;
  Random* random = nullptr;
};

struct SetupResult {
  std::string config_path;
  std::string old_config_path;   // where the one is that was there; "": there was none
  std::string key_path, key_id;  // "": not encrypted
  bool key_made = false;
  std::string chap_secret_path;    // "": no CHAP
  std::string store;               // ObjectStore::describe()
  std::vector<std::string> facts;  // what was found out about the store and the disk
  std::vector<std::string> next;   // what to do now
};

// The configuration these answers give, as TOML; secrets stand in files beside it.
std::string setup_config(const SetupAnswers& answers);

// Three quarters of the disk's free space for the two: a share of 2 to 1. At least 1 GiB each.
struct DiskShares {
  uint64_t cache_bytes = 0, buffer_bytes = 0;
};
DiskShares suggest_shares(uint64_t available_bytes);

// 1. Checks everything that can be checked without writing, the configuration by its own parser.
// 2. Makes key and CHAP secret (0600), never over others.
// 3. Puts, reads and removes a small object in the store. When that fails, a new key goes again.
// 4. Writes the configuration (0640). exists: there is one, and not `force`.
Result<SetupResult> run_setup(const SetupEnv& env, SetupAnswers answers);

}  // namespace coldshelf
