// Progress on standard error: a bar on a terminal, a line now and then elsewhere, nothing when
// quiet.
#pragma once

#include <cstdint>
#include <ostream>
#include <string>

#include "base/clock.h"

namespace coldshelf::cli {

class Progress {
 public:
  enum class Style { none, lines, bar };
  Progress(std::ostream& err, Clock& clock, Style style, std::string title)
      : err_(err), clock_(clock), style_(style), title_(std::move(title)) {}
  ~Progress() { finish(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // total 0: not known. Shown at most ten times (bar) or once (lines) in a while.
  void show(uint64_t done_bytes, uint64_t total_bytes, const std::string& step);
  void finish();  // ends the bar's line

 private:
  std::string bar(uint64_t done, uint64_t total) const;

  std::ostream& err_;
  Clock& clock_;
  const Style style_;
  const std::string title_;
  int64_t shown_ns_ = 0;
  std::string shown_step_;
  bool line_open_ = false;
};

// A bar when standard error is a terminal.
Progress::Style progress_style(bool json);

}  // namespace coldshelf::cli
