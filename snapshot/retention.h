// Which points of one chain (recovery points of a volume, snapshots of a disk) are kept: by count,
// by age, and grandfather-father-son. A pure function of the points and the time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/calendar.h"
#include "base/result.h"

namespace coldshelf {

// A point is kept when any of these says so. All zero: everything is kept.
struct RetentionRule {
  unsigned keep_last = 0;   // the newest ones
  int64_t keep_for_ms = 0;  // younger than this
  // The newest one in each of the last so many hours, days, weeks (ISO: from Monday), months and
  // years in which there is one.
  unsigned hourly = 0;
  unsigned daily = 0;
  unsigned weekly = 0;
  unsigned monthly = 0;
  unsigned yearly = 0;

  bool keeps_everything() const;
  bool operator==(const RetentionRule&) const = default;
};
// "7d", "12h", "4w", "2y" (of 365 days), "90min"; invalid_argument with what is wrong.
Result<int64_t> parse_age_ms(std::string_view text);
// "the last 7, younger than 30d, daily 14, monthly 12"
std::string describe(const RetentionRule& rule);

enum class PointState {
  good,     // complete: can be restored
  pending,  // being made: never deleted
  failed,   // of no use, except to a person who wonders
};

struct RetentionPoint {
  std::string id;
  int64_t created_ms = 0;
  PointState state = PointState::good;
  bool held = false;               // by a person, a lock, a clone, a mount
  bool counts = true;              // false: another's, which takes up no place of the rule
  std::vector<std::string> bases;  // points without which this one cannot be read
};

struct RetentionVerdict {
  std::string id;
  bool keep = true;
  std::string reason;  // "the newest good point", "daily 3 of 7", "a base of rp-9", "expired"
};

// One verdict for each point, oldest first (by time, then id). Kept in any case: the newest good
// point, held and pending points, and every base of a kept point, bases of bases included. Failed
// points count for no rule; they go once there is a newer good one. A point dated in the future
// counts as new.
std::vector<RetentionVerdict> apply_retention(const RetentionRule& rule,
                                              std::vector<RetentionPoint> points, int64_t now_ms,
                                              const ZoneOffset& zone = local_zone_offset);

}  // namespace coldshelf
