#include "snapshot/retention.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <map>
#include <optional>
#include <tuple>

namespace coldshelf {

namespace {

constexpr int64_t kMinuteMs = 60'000;
constexpr int64_t kHourMs = 60 * kMinuteMs;
constexpr int64_t kDayMs = 24 * kHourMs;

struct AgeUnit {
  std::string_view name;
  int64_t ms;
};
constexpr std::array<AgeUnit, 5> kAgeUnits = {
    {{"min", kMinuteMs}, {"h", kHourMs}, {"d", kDayMs}, {"w", 7 * kDayMs}, {"y", 365 * kDayMs}}};

int64_t floor_div(int64_t a, int64_t b) {
  const int64_t q = a / b;
  return q * b > a ? q - 1 : q;
}

std::chrono::year_month_day date_of(int64_t wall_s) {
  return std::chrono::sys_days{std::chrono::days(floor_div(wall_s, 86'400))};
}

int64_t month_of(int64_t wall_s) {
  const auto date = date_of(wall_s);
  return static_cast<int>(date.year()) * 12 + static_cast<int>(static_cast<unsigned>(date.month()));
}

// The periods of grandfather, father and son: which one a moment lies in, `zone_s` east of UTC.
// Days and longer ones are those of the clock on the wall; that clock shows an hour twice when it
// is put back, and they are two.
struct Period {
  const char* name;
  unsigned RetentionRule::*count;
  int64_t (*number)(int64_t unix_s, int64_t zone_s);
};
constexpr std::array<Period, 5> kPeriods = {{
    {"hourly", &RetentionRule::hourly,
     [](int64_t s, int64_t zone) { return floor_div(s + zone % 3600, 3600); }},
    {"daily", &RetentionRule::daily,
     [](int64_t s, int64_t zone) { return floor_div(s + zone, 86'400); }},
    // 1970-01-01 was a Thursday.
    {"weekly", &RetentionRule::weekly,
     [](int64_t s, int64_t zone) { return floor_div(floor_div(s + zone, 86'400) + 3, 7); }},
    {"monthly", &RetentionRule::monthly,
     [](int64_t s, int64_t zone) { return month_of(s + zone); }},
    {"yearly", &RetentionRule::yearly,
     [](int64_t s, int64_t zone) {
       return static_cast<int64_t>(static_cast<int>(date_of(s + zone).year()));
     }},
}};

class Verdicts {
 public:
  explicit Verdicts(const std::vector<RetentionPoint>& points) : points_(points) {
    for (size_t i = 0; i < points.size(); ++i) by_id_.emplace(points[i].id, i);
    for (const RetentionPoint& point : points) {
      verdicts_.push_back(
          {point.id, false, point.state == PointState::failed ? "failed" : "expired"});
    }
  }
  void keep(size_t i, const std::string& reason) {
    RetentionVerdict& verdict = verdicts_[i];
    if (!verdict.keep) verdict.reason.clear();
    verdict.keep = true;
    verdict.reason += (verdict.reason.empty() ? "" : ", ") + reason;
  }

  // Whatever a kept point stands on is kept too.
  void keep_bases() {
    std::vector<size_t> open;
    for (size_t i = 0; i < verdicts_.size(); ++i) {
      if (verdicts_[i].keep) open.push_back(i);
    }
    while (!open.empty()) {
      const size_t i = open.back();
      open.pop_back();
      for (const std::string& base : points_[i].bases) {
        const auto found = by_id_.find(base);
        if (found == by_id_.end() || verdicts_[found->second].keep) continue;
        keep(found->second, "a base of " + points_[i].id);
        open.push_back(found->second);
      }
    }
  }
  std::vector<RetentionVerdict> take() { return std::move(verdicts_); }

 private:
  const std::vector<RetentionPoint>& points_;
  std::map<std::string, size_t> by_id_;
  std::vector<RetentionVerdict> verdicts_;
};

// `good`: those that count, newest first.
void keep_by_period(const Period& period, const RetentionRule& rule,
                    const std::vector<RetentionPoint>& points, const std::vector<size_t>& good,
                    const ZoneOffset& zone, Verdicts& verdicts) {
  const unsigned wanted = rule.*period.count;
  unsigned kept = 0;
  std::optional<int64_t> last;
  for (const size_t i : good) {
    if (kept == wanted) return;
    const int64_t unix_s = floor_div(points[i].created_ms, 1000);
    const int64_t number = period.number(unix_s, zone(unix_s));
    if (last == number) continue;
    last = number;
    ++kept;
    verdicts.keep(
        i, std::string(period.name) + " " + std::to_string(kept) + " of " + std::to_string(wanted));
  }
}

}  // namespace

bool RetentionRule::keeps_everything() const { return *this == RetentionRule{}; }

Result<int64_t> parse_age_ms(std::string_view text) {
  uint32_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  const std::string_view unit = text.substr(static_cast<size_t>(end - text.data()));
  for (const AgeUnit& known : kAgeUnits) {
    if (error == std::errc() && count > 0 && count <= 100'000 && unit == known.name) {
      return count * known.ms;
    }
  }
  return Error(ErrorCode::invalid_argument,
               "\"" + std::string(text) + "\" is not an age (90min, 12h, 7d, 4w, 2y)");
}

std::string describe(const RetentionRule& rule) {
  std::string out;
  const auto add = [&out](const std::string& text) { out += (out.empty() ? "" : ", ") + text; };
  if (rule.keep_last != 0) add("the last " + std::to_string(rule.keep_last));
  if (rule.keep_for_ms != 0) {
    const AgeUnit* unit = &kAgeUnits[0];
    for (const AgeUnit& larger : kAgeUnits) {
      if (rule.keep_for_ms % larger.ms == 0) unit = &larger;
    }
    add("younger than " + std::to_string(rule.keep_for_ms / unit->ms) + std::string(unit->name));
  }
  for (const Period& period : kPeriods) {
    if (rule.*period.count == 0) continue;
    add(std::string(period.name) + " " + std::to_string(rule.*period.count));
  }
  return out.empty() ? "everything" : out;
}

std::vector<RetentionVerdict> apply_retention(const RetentionRule& rule,
                                              std::vector<RetentionPoint> points, int64_t now_ms,
                                              const ZoneOffset& zone) {
  std::sort(points.begin(), points.end(), [](const RetentionPoint& a, const RetentionPoint& b) {
    return std::tie(a.created_ms, a.id) < std::tie(b.created_ms, b.id);
  });
  Verdicts verdicts(points);
  std::optional<size_t> newest;
  std::vector<size_t> good;  // those that count, newest first
  for (size_t i = points.size(); i-- > 0;) {
    const RetentionPoint& point = points[i];
    if (point.state == PointState::good) {
      if (!newest) newest = i;
      if (point.counts) good.push_back(i);
    }
    if (point.state == PointState::pending) verdicts.keep(i, "being made");
    if (point.held) verdicts.keep(i, "held");
    // Nothing better yet: it stays, so that somebody sees it.
    if (point.state == PointState::failed && !newest) {
      verdicts.keep(i, "failed, and no good point since");
    }
  }
  if (newest) verdicts.keep(*newest, "the newest good point");
  for (size_t n = 0; n < good.size(); ++n) {
    const size_t i = good[n];
    if (rule.keeps_everything()) verdicts.keep(i, "everything is kept");
    if (n < rule.keep_last) {
      verdicts.keep(i, std::to_string(n + 1) + " of the last " + std::to_string(rule.keep_last));
    }
    if (now_ms - points[i].created_ms < rule.keep_for_ms) verdicts.keep(i, "young enough");
  }
  for (const Period& period : kPeriods) {
    keep_by_period(period, rule, points, good, zone, verdicts);
  }
  verdicts.keep_bases();
  return verdicts.take();
}

}  // namespace coldshelf
