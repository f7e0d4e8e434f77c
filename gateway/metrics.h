// GET /metrics: what the gateway does, in Prometheus' text format, with AWS Storage Gateway's
// meanings (docs/metrics.md lists them). Nothing here looks at every tape or segment: a scrape
// reads counters.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "gateway/config.h"
#include "gateway/monitor.h"
#include "gateway/prometheus_text.h"
#include "gateway/tape_service.h"
#include "target/iscsi/server.h"
#include "uploader/cloud/metered_store.h"

namespace coldshelf {

class Metrics {
 public:
  struct Volume {
    std::string name;
    uint64_t size_bytes = 0, used_bytes = 0, not_uploaded_bytes = 0;
    int64_t not_uploaded_age_ms = 0;  // of the oldest of these bytes; 0: there are none
    int64_t newest_point_ms = 0;      // unix time; 0: there is none
  };
  struct Env {
    TapeService* tapes = nullptr;
    Monitor* monitor = nullptr;         // null: nothing of what it keeps
    std::shared_ptr<StoreMeter> meter;  // likewise
    const Config* config = nullptr;
    std::string gateway_id, version;
    int64_t started_ms = 0;
    std::function<std::vector<iscsi::UnitInfo>()> units;  // null, as the others below: none
    std::function<iscsi::Traffic()> traffic;
    std::function<size_t()> sessions;
    std::function<Status()> health;
    std::function<std::vector<Volume>()> volumes;
    std::function<std::optional<int64_t>()> certificate_expires_ms;
  };
  explicit Metrics(Env env) : env_(std::move(env)) {}

  std::string render() const;

 private:
  void gateway(PrometheusText& out) const;
  void storage(PrometheusText& out, const Shelf::Statistics& shelf) const;
  void cloud(PrometheusText& out, const Shelf::Statistics& shelf) const;
  void store_calls(PrometheusText& out) const;
  void drives(PrometheusText& out) const;
  void devices(PrometheusText& out) const;
  void volumes(PrometheusText& out) const;
  void tapes(PrometheusText& out) const;
  void host(PrometheusText& out) const;
  void alarms(PrometheusText& out) const;

  const Env env_;
};

}  // namespace coldshelf
