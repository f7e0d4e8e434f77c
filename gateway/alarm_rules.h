// Which alarms there are, and how the gateway's state becomes a round of observations.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "gateway/alarms.h"
#include "gateway/storage_load.h"
#include "uploader/cloud/metered_store.h"

namespace coldshelf {

std::vector<AlarmRule> alarm_rules(const Config::Alarms& limits = {});

// What a look at the gateway found.
struct GatewayState {
  StorageLoad storage;
  std::optional<double> io_wait_percent;
  Status data_directory;
  std::optional<StoreMeter::Reach> store;
  Status may_write;                                                    // Ownership::may_write()
  std::vector<std::pair<std::string, std::string>> tape_problems;      // barcode, what
  std::vector<std::pair<unsigned, std::string>> drive_problems;        // number, what
  std::vector<std::pair<std::string, std::string>> volume_problems;    // name, what
  std::vector<std::pair<std::string, std::string>> schedule_problems;  // name, what
  std::vector<JobRow> jobs;  // the newest ones, newest first
  std::optional<int64_t> certificate_expires_ms;
};

std::vector<Observation> observations(const GatewayState& state, int64_t now_ms,
                                      const Config::Alarms& limits = {});

}  // namespace coldshelf
