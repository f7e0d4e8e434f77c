#include "gateway/cli/progress.h"

#include <unistd.h>

#include <algorithm>

#include "gateway/units.h"

namespace coldshelf::cli {

namespace {
constexpr int64_t kBarIntervalNs = 100'000'000;
constexpr int64_t kLineIntervalNs = 10'000'000'000;
constexpr size_t kBarWidth = 30;
}  // namespace

std::string Progress::bar(uint64_t done, uint64_t total) const {
  const double part =
      total == 0 ? 0 : std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  const auto filled = static_cast<size_t>(part * kBarWidth);
  std::string out = "[" + std::string(filled, '#') + std::string(kBarWidth - filled, '.') + "] ";
  return out + std::to_string(static_cast<int>(part * 100)) + " %";
}

void Progress::show(uint64_t done, uint64_t total, const std::string& step) {
  if (style_ == Style::none) return;
  const int64_t now = clock_.monotonic_ns();
  const int64_t interval = style_ == Style::bar ? kBarIntervalNs : kLineIntervalNs;
  const bool new_step = step != shown_step_;
  if (shown_ns_ != 0 && now - shown_ns_ < interval && !new_step) return;
  shown_ns_ = now;
  shown_step_ = step;
  std::string text = title_;
  if (style_ == Style::bar) text += " " + bar(done, total);
  if (total != 0) text += "  " + format_size(done) + " of " + format_size(total);
  if (!step.empty()) text += "  " + step;
  if (style_ == Style::bar) {
    err_ << "\r\033[K" << text << std::flush;
    line_open_ = true;
  } else {
    err_ << text << "\n" << std::flush;
  }
}

void Progress::finish() {
  if (line_open_) err_ << "\n" << std::flush;
  line_open_ = false;
}

Progress::Style progress_style(bool json) {
  if (::isatty(STDERR_FILENO) == 1) return Progress::Style::bar;
  return json ? Progress::Style::none : Progress::Style::lines;
}

}  // namespace coldshelf::cli
