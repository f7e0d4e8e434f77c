#include "gateway/prometheus_text.h"

#include <array>
#include <charconv>
#include <cmath>

namespace coldshelf {

namespace {

// In a label's value backslash, quote and line feed are escaped, in a help text the first and the
// last.
void append_escaped(std::string& out, std::string_view text, bool in_label) {
  for (const char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '"' && in_label) {
      out += "\\\"";
    } else {
      out += c;
    }
  }
}

std::string text_of(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  std::array<char, 40> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  return {digits.data(), end.ptr};
}

}  // namespace

void PrometheusText::family(std::string_view name, std::string_view type, std::string_view help) {
  name_ = name;
  text_ += "# HELP " + name_ + " ";
  append_escaped(text_, help, false);
  text_ += "\n# TYPE " + name_ + " ";
  text_ += type;
  text_ += '\n';
}

void PrometheusText::line(std::string_view suffix, Labels labels, std::string_view extra,
                          std::string_view value) {
  text_ += name_;
  text_ += suffix;
  char separator = '{';
  for (const auto& [name, content] : labels) {
    text_ += separator;
    separator = ',';
    text_ += name;
    text_ += "=\"";
    append_escaped(text_, content, true);
    text_ += '"';
  }
  if (!extra.empty()) {
    text_ += separator;
    separator = ',';
    text_ += extra;
  }
  if (separator == ',') text_ += '}';
  text_ += ' ';
  text_ += value;
  text_ += '\n';
}

void PrometheusText::sample(Labels labels, uint64_t value) {
  line("", labels, "", std::to_string(value));
}

void PrometheusText::sample(Labels labels, double value) { line("", labels, "", text_of(value)); }

void PrometheusText::histogram(Labels labels, const LatencyHistogram::Snapshot& values) {
  uint64_t below = 0;
  for (size_t i = 0; i < LatencyHistogram::kBuckets; ++i) {
    below += values.counts[i];
    const std::string bound =
        i < LatencyHistogram::kBoundsUs.size()
            ? text_of(static_cast<double>(LatencyHistogram::kBoundsUs[i]) / 1e6)
            : "+Inf";
    line("_bucket", labels, "le=\"" + bound + "\"", std::to_string(below));
  }
  line("_sum", labels, "", text_of(static_cast<double>(values.total_ns) / 1e9));
  line("_count", labels, "", std::to_string(below));
}

}  // namespace coldshelf
