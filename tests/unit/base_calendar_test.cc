// Calendar expressions: what they mean, where clocks change, what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>

#include "base/calendar.h"
#include "base/clock.h"

namespace coldshelf {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

int64_t utc_s(int year, int month, int day, int hour = 0, int minute = 0, int second = 0) {
  std::tm parts{};
  parts.tm_year = year - 1900;
  parts.tm_mon = month - 1;
  parts.tm_mday = day;
  parts.tm_hour = hour;
  parts.tm_min = minute;
  parts.tm_sec = second;
  return ::timegm(&parts);
}

// Central Europe in 2026 and 2027: 29 March and 25 October, 28 March and 31 October, at 01:00 UTC.
int64_t berlin(int64_t s) {
  const bool summer = (s >= utc_s(2026, 3, 29, 1) && s < utc_s(2026, 10, 25, 1)) ||
                      (s >= utc_s(2027, 3, 28, 1) && s < utc_s(2027, 10, 31, 1));
  return summer ? 7200 : 3600;
}

// Lord Howe Island: half an hour, at 02:00 local time.
int64_t lord_howe(int64_t s) {
  const bool winter = s >= utc_s(2026, 4, 4, 15) && s < utc_s(2026, 10, 3, 15, 30);
  return winter ? 37'800 : 39'600;
}

CalendarExpression must(const std::string& text, ZoneOffset zone = utc_zone_offset) {
  Result<CalendarExpression> parsed = CalendarExpression::parse(text, std::move(zone));
  EXPECT_TRUE(parsed.ok()) << (parsed.ok() ? "" : parsed.error().message());
  return parsed.ok() ? *parsed : *CalendarExpression::parse("daily");
}

std::vector<std::string> runs(const CalendarExpression& calendar, int64_t from_s, size_t count) {
  std::vector<std::string> out;
  int64_t at = from_s * 1000;
  for (size_t i = 0; i < count; ++i) {
    const auto next = calendar.next_after(at);
    if (!next) break;
    EXPECT_GT(*next, at);
    at = *next;
    out.push_back(format_utc(at).substr(0, 19));
  }
  return out;
}

std::string error_of(const std::string& text) {
  const auto parsed = CalendarExpression::parse(text);
  return parsed.ok() ? "accepted" : parsed.error().context;
}

TEST(Calendar, NamesWeekdaysDatesAndTimes) {
  const int64_t friday = utc_s(2026, 11, 27, 12);
  EXPECT_THAT(runs(must("Mon..Fri 08:00"), friday, 2),
              ElementsAre("2026-11-30T08:00:00", "2026-12-01T08:00:00"));
  EXPECT_THAT(runs(must("*-*-* 02:30"), friday, 2),
              ElementsAre("2026-11-28T02:30:00", "2026-11-29T02:30:00"));
  EXPECT_THAT(runs(must("*-*-1 04:00"), friday, 2),
              ElementsAre("2026-12-01T04:00:00", "2027-01-01T04:00:00"));
  EXPECT_THAT(runs(must("hourly"), friday, 2),
              ElementsAre("2026-11-27T13:00:00", "2026-11-27T14:00:00"));
  EXPECT_THAT(runs(must("daily"), friday, 1), ElementsAre("2026-11-28T00:00:00"));
  EXPECT_THAT(runs(must("weekly"), friday, 1), ElementsAre("2026-11-30T00:00:00"));
  EXPECT_THAT(runs(must("monthly"), friday, 1), ElementsAre("2026-12-01T00:00:00"));
  EXPECT_THAT(runs(must("quarterly"), friday, 2),
              ElementsAre("2027-01-01T00:00:00", "2027-04-01T00:00:00"));
  EXPECT_THAT(runs(must("yearly"), friday, 1), ElementsAre("2027-01-01T00:00:00"));
  EXPECT_THAT(runs(must("every 4h"), friday, 3),
              ElementsAre("2026-11-27T16:00:00", "2026-11-27T20:00:00", "2026-11-28T00:00:00"));
  EXPECT_THAT(runs(must("every 15min"), friday, 2),
              ElementsAre("2026-11-27T12:15:00", "2026-11-27T12:30:00"));
  EXPECT_THAT(runs(must("every 2d 03:00"), friday, 2),
              ElementsAre("2026-11-29T03:00:00", "2026-12-01T03:00:00"));
  EXPECT_THAT(runs(must("*-*~1 23:00"), friday, 4),
              ElementsAre("2026-11-30T23:00:00", "2026-12-31T23:00:00", "2027-01-31T23:00:00",
                          "2027-02-28T23:00:00"));
  EXPECT_THAT(runs(must("Mon *-*-1..7 01:00"), friday, 2),
              ElementsAre("2026-12-07T01:00:00", "2027-01-04T01:00:00"));
  EXPECT_THAT(runs(must("Sat,Sunday 8..12/2:30"), friday, 4),
              ElementsAre("2026-11-28T08:30:00", "2026-11-28T10:30:00", "2026-11-28T12:30:00",
                          "2026-11-29T08:30:00"));
  EXPECT_THAT(runs(must("Sat..Mon 00:00"), friday, 4),
              ElementsAre("2026-11-28T00:00:00", "2026-11-29T00:00:00", "2026-11-30T00:00:00",
                          "2026-12-05T00:00:00"));
  EXPECT_THAT(runs(must("12-24 18:00:30"), friday, 1), ElementsAre("2026-12-24T18:00:30"));
  EXPECT_THAT(runs(must("2026-12-1"), friday, 3), ElementsAre("2026-12-01T00:00:00"));
  EXPECT_THAT(runs(must("2020-01-01"), friday, 3), ElementsAre());
  EXPECT_THAT(runs(must("Mon *-2-29"), friday, 1), ElementsAre("2044-02-29T00:00:00"));
  // At the very moment it is the next one that is asked for.
  EXPECT_THAT(runs(must("*-*-* 12:00"), friday, 1), ElementsAre("2026-11-28T12:00:00"));
}

TEST(Calendar, AwsSchedulesStartAtAnHour) {
  const int64_t from = utc_s(2026, 11, 27, 12);
  const auto runs_of = [&](unsigned hours, unsigned start) {
    const auto calendar = CalendarExpression::every_hours(hours, start, true);
    EXPECT_TRUE(calendar.ok());
    return runs(*calendar, from, 2);
  };
  EXPECT_THAT(runs_of(1, 5), ElementsAre("2026-11-27T13:00:00", "2026-11-27T14:00:00"));
  EXPECT_THAT(runs_of(2, 5), ElementsAre("2026-11-27T13:00:00", "2026-11-27T15:00:00"));
  EXPECT_THAT(runs_of(4, 22), ElementsAre("2026-11-27T14:00:00", "2026-11-27T18:00:00"));
  EXPECT_THAT(runs_of(8, 3), ElementsAre("2026-11-27T19:00:00", "2026-11-28T03:00:00"));
  EXPECT_THAT(runs_of(12, 1), ElementsAre("2026-11-27T13:00:00", "2026-11-28T01:00:00"));
  EXPECT_THAT(runs_of(24, 7), ElementsAre("2026-11-28T07:00:00", "2026-11-29T07:00:00"));
  EXPECT_FALSE(CalendarExpression::every_hours(3, 0, true).ok());
  EXPECT_FALSE(CalendarExpression::every_hours(4, 24, true).ok());
}

TEST(Calendar, ATimeInTheGapIsDueWhenItEnds) {
  const int64_t before = utc_s(2026, 3, 28, 12);
  EXPECT_THAT(runs(must("02:30", berlin), before, 3),
              ElementsAre("2026-03-29T01:00:00", "2026-03-30T00:30:00", "2026-03-31T00:30:00"));
  // 02:00 and 03:00 are the same moment on that day: due once.
  EXPECT_THAT(runs(must("1..4:00", berlin), before, 4),
              ElementsAre("2026-03-29T00:00:00", "2026-03-29T01:00:00", "2026-03-29T02:00:00",
                          "2026-03-29T23:00:00"));
  EXPECT_THAT(runs(must("*:30", berlin), utc_s(2026, 3, 29, 0), 2),
              ElementsAre("2026-03-29T00:30:00", "2026-03-29T01:30:00"));
  EXPECT_THAT(runs(must("02:30 UTC", berlin), before, 2),
              ElementsAre("2026-03-29T02:30:00", "2026-03-30T02:30:00"));
}

TEST(Calendar, ATimeThatComesTwiceIsDueOnce) {
  const int64_t before = utc_s(2026, 10, 24, 12);
  EXPECT_THAT(runs(must("02:30", berlin), before, 2),
              ElementsAre("2026-10-25T00:30:00", "2026-10-26T01:30:00"));
  // Asked in the middle of the second 02:xx.
  EXPECT_THAT(runs(must("02:30", berlin), utc_s(2026, 10, 25, 1, 10), 1),
              ElementsAre("2026-10-26T01:30:00"));
  EXPECT_THAT(runs(must("*:30 local", berlin), utc_s(2026, 10, 25, 0), 3),
              ElementsAre("2026-10-25T00:30:00", "2026-10-25T01:30:00", "2026-10-25T02:30:00"));
  EXPECT_THAT(runs(must("every 4h", berlin), utc_s(2026, 10, 24, 21, 59), 3),
              ElementsAre("2026-10-24T22:00:00", "2026-10-25T03:00:00", "2026-10-25T07:00:00"));
  EXPECT_THAT(runs(must("01:45", lord_howe), utc_s(2026, 4, 3, 16), 2),
              ElementsAre("2026-04-04T14:45:00", "2026-04-05T15:15:00"));
  EXPECT_THAT(runs(must("02:15", lord_howe), utc_s(2026, 10, 3, 0), 2),
              ElementsAre("2026-10-03T15:30:00", "2026-10-04T15:15:00"));
}

// Over two years, minute by minute: whatever is due is what the wall's clock says, and the number
// of runs is the number of days.
TEST(Calendar, EveryDayHasItsRunWhateverTheClockDoes) {
  for (const char* time :
       {"00:00", "01:59:59", "02:00", "02:30", "02:59:59", "03:00", "23:59:59"}) {
    const CalendarExpression calendar = must(time, berlin);
    int64_t at = utc_s(2025, 12, 31, 22, 59, 59) * 1000;
    const int64_t end = utc_s(2027, 12, 31, 23) * 1000;
    int days = 0;
    while (const auto next = calendar.next_after(at)) {
      if (*next >= end) break;
      ASSERT_GT(*next, at);
      at = *next;
      ++days;
    }
    EXPECT_EQ(days, 730) << time;
  }
}

TEST(Calendar, SaysWhatItCannotRead) {
  EXPECT_THAT(error_of(""), HasSubstr("empty"));
  EXPECT_THAT(error_of("  UTC "), HasSubstr("empty"));
  EXPECT_THAT(error_of("fortnightly"), HasSubstr("neither a day of the week"));
  EXPECT_THAT(error_of("Mon..Foo 08:00"), HasSubstr("not a day of the week"));
  EXPECT_THAT(error_of("25:00"), HasSubstr("the hour is from 0 to 23"));
  EXPECT_THAT(error_of("08:60"), HasSubstr("the minute is from 0 to 59"));
  EXPECT_THAT(error_of("8"), HasSubstr("not a date"));
  EXPECT_THAT(error_of("*-13-1"), HasSubstr("the month is from 1 to 12"));
  EXPECT_THAT(error_of("*-*-0"), HasSubstr("the day of the month is from 1 to 31"));
  EXPECT_THAT(error_of("*-*-7..1"), HasSubstr("goes backwards"));
  EXPECT_THAT(error_of("*:0/0"), HasSubstr("the step is from 1"));
  EXPECT_THAT(error_of("08:00 daily"), HasSubstr("too much"));
  EXPECT_THAT(error_of("every"), HasSubstr("how often"));
  EXPECT_THAT(error_of("every 5h"), HasSubstr("a day must be a multiple"));
  EXPECT_THAT(error_of("every 7min"), HasSubstr("an hour must be a multiple"));
  EXPECT_THAT(error_of("every 3 weeks"), HasSubstr("the unit is min, h or d"));
  EXPECT_THAT(error_of("every 4h 08:00"), HasSubstr("too much"));
  EXPECT_THAT(error_of("*-2-30"), HasSubstr("never happens"));
  EXPECT_THAT(error_of("08:00 Europe/Berlin"), HasSubstr("too much"));
  EXPECT_THAT(error_of("08:00\n"), HasSubstr("character"));
  EXPECT_THAT(error_of(std::string(300, '*')), HasSubstr("too long"));
  EXPECT_THAT(error_of("1,,2:00"), HasSubstr("not a number"));
}

}  // namespace
}  // namespace coldshelf
