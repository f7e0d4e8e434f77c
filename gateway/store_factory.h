// From a configuration or a URL to a store that is open: for the daemon and for commands that need
// no daemon.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/file_system.h"
#include "base/random.h"
#include "gateway/config.h"
#include "uploader/cloud/bandwidth_schedule.h"
#include "uploader/cloud/live_bandwidth.h"
#include "uploader/cloud/metered_store.h"
#include "uploader/cloud/object_store.h"

namespace coldshelf {

struct StoreEnv {
  FileSystem* files = nullptr;
  Clock* clock = nullptr;
  Random* random = nullptr;                              // thread-safe
  std::vector<BandwidthRule> bandwidth = {};             // none: no limit
  std::function<void(const Error&)> on_retry = nullptr;  // RetryOptions::on_retry
  std::shared_ptr<StoreMeter> meter = nullptr;           // counts every attempt; may be null
  // Instead of `bandwidth`: limits that may change.
  std::shared_ptr<LiveBandwidth> live_bandwidth = nullptr;
};

// "s3://bucket/prefix", "file:///directory", or a directory as it is.
struct StoreUrl {
  bool s3 = false;
  std::string directory;
  std::string bucket;
  std::string prefix;  // without '/' at its ends
};
Result<StoreUrl> parse_store_url(std::string_view url);

// The settings with the store that `url` names; what belongs to [store.s3] stays.
Result<Config::Store> store_at(const std::string& url, const Config::Store& settings);

// A store as configured, behind retries. S3 is asked whether bucket, region and credentials are
// right: what is wrong for good is an error, a server that does not answer is not (a warning is
// logged). `read_only` is for directories beside a daemon: nothing is made or cleaned there.
Result<std::unique_ptr<ObjectStore>> open_store(const Config::Store& store, const StoreEnv& env,
                                                bool read_only = false);

}  // namespace coldshelf
