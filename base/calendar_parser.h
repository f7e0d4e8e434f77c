// Reads calendar expressions (base/calendar.h has the grammar).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/calendar.h"

namespace coldshelf {

class CalendarParser {
 public:
  static Result<CalendarExpression> parse(std::string_view text, ZoneOffset local);
  static CalendarExpression everything();  // every second of every day

 private:
  explicit CalendarParser(CalendarExpression& out) : out_(out) {}
  Status words(std::vector<std::string_view> words);
  Status every(const std::vector<std::string_view>& words);
  bool shorthand(std::string_view word);
  Status weekdays(std::string_view text);
  Status date(std::string_view text);
  Status time(std::string_view text);
  void at(unsigned hour, unsigned minute);
  void on(unsigned day);

  CalendarExpression& out_;
};

}  // namespace coldshelf
