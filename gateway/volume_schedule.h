// When recovery points of which volumes are made, and how long they are kept. A schedule stands in
// the manifest of each of its volumes, so that it comes back with them.
#pragma once

#include <string>
#include <vector>

#include "base/calendar.h"
#include "base/result.h"
#include "snapshot/retention.h"

namespace coldshelf {

constexpr std::string_view kVolumeSchedule = "schedule.";  // + name: a property of the manifest

struct VolumeSchedule {
  std::string name;
  std::vector<std::string> volumes;  // names; all of one moment
  // Either a calendar expression, or every so many hours (1, 2, 4, 8, 12, 24) with one of them at
  // `start_hour` of the day.
  std::string calendar;
  unsigned hours = 0;
  unsigned start_hour = 0;
  bool utc = false;     // of start_hour
  RetentionRule keep;   // of this schedule's points alone
  std::string quiesce;  // commands around it; empty: none
  std::string description;
  int64_t changed_ms = 0;
  bool operator==(const VolumeSchedule&) const = default;

  Result<CalendarExpression> when(ZoneOffset local = local_zone_offset) const;
  std::string describe_when() const;
};

// As the property's value; the names of the volumes are not in it, they are those that have it.
std::string encode_schedule(const VolumeSchedule& schedule);
Result<VolumeSchedule> decode_schedule(const std::string& name, const std::string& text);
// invalid_argument, out_of_range: a name, a time or a rule that makes no sense.
Status check_schedule(const VolumeSchedule& schedule);

}  // namespace coldshelf
