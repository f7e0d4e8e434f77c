// Prometheus' text format, version 0.0.4.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "base/latency.h"

namespace coldshelf {

class PrometheusText {
 public:
  using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

  // Begins a family; its samples follow. `type`: "counter", "gauge", "histogram".
  void family(std::string_view name, std::string_view type, std::string_view help);
  void sample(Labels labels, uint64_t value);
  void sample(Labels labels, double value);
  // Buckets, sum and count in seconds.
  void histogram(Labels labels, const LatencyHistogram::Snapshot& values);

  // A family of one sample without labels.
  template <typename T>
  void gauge(std::string_view name, std::string_view help, T value) {
    family(name, "gauge", help);
    sample({}, value);
  }
  template <typename T>
  void counter(std::string_view name, std::string_view help, T value) {
    family(name, "counter", help);
    sample({}, value);
  }

  std::string take() { return std::move(text_); }

 private:
  // `extra` is a label that is written already.
  void line(std::string_view suffix, Labels labels, std::string_view extra, std::string_view value);

  std::string text_;
  std::string name_;
};

}  // namespace coldshelf
