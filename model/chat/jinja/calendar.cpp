// Dates from seconds, with std::chrono's calendar.
#include "model/chat/jinja/calendar.hpp"

#include <chrono>

namespace troupe::model::jinja {
namespace {

constexpr std::string_view kMonths[] = {"January",   "February", "March",    "April",
                                        "May",       "June",     "July",     "August",
                                        "September", "October",  "November", "December"};
constexpr std::string_view kDays[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                      "Thursday", "Friday", "Saturday"};

std::string padded(std::int64_t value, std::size_t width, char fill = '0') {
  std::string digits = std::to_string(value);
  return digits.size() < width ? std::string(width - digits.size(), fill) + digits : digits;
}

struct Moment {
  std::chrono::year_month_day date;
  std::chrono::sys_days day;
  std::int64_t second;  // of the day

  std::int64_t month() const { return static_cast<unsigned>(date.month()); }
  std::int64_t month_day() const { return static_cast<unsigned>(date.day()); }
  std::int64_t hour() const { return second / 3600; }
  std::int64_t hour12() const { return (hour() + 11) % 12 + 1; }
  std::int64_t minute() const { return second / 60 % 60; }
  int year() const { return static_cast<int>(date.year()); }
  std::string_view month_name() const { return kMonths[month() - 1]; }
  std::string_view day_name() const { return kDays[std::chrono::weekday(day).c_encoding()]; }
  std::int64_t year_day() const {
    return (day - std::chrono::sys_days(date.year() / std::chrono::January / 1)).count() + 1;
  }
};

std::optional<std::string> directive(char which, const Moment& t) {
  switch (which) {
    case 'Y': return padded(t.year(), 4);
    case 'y': return padded(t.year() % 100, 2);
    case 'm': return padded(t.month(), 2);
    case 'd': return padded(t.month_day(), 2);
    case 'e': return padded(t.month_day(), 2, ' ');
    case 'H': return padded(t.hour(), 2);
    case 'I': return padded(t.hour12(), 2);
    case 'p': return t.hour() < 12 ? "AM" : "PM";
    case 'M': return padded(t.minute(), 2);
    case 'S': return padded(t.second % 60, 2);
    case 'j': return padded(t.year_day(), 3);
    case 'B': return std::string(t.month_name());
    case 'b': return std::string(t.month_name().substr(0, 3));
    case 'A': return std::string(t.day_name());
    case 'a': return std::string(t.day_name().substr(0, 3));
    case 'F':
      return padded(t.year(), 4) + "-" + padded(t.month(), 2) + "-" + padded(t.month_day(), 2);
    case 'T':
      return padded(t.hour(), 2) + ":" + padded(t.minute(), 2) + ":" + padded(t.second % 60, 2);
    case '%': return "%";
    default: return std::nullopt;
  }
}

}  // namespace

std::optional<std::string> format_time(std::string_view format, std::int64_t seconds) {
  const std::chrono::sys_seconds time{std::chrono::seconds(seconds)};
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const Moment moment{std::chrono::year_month_day(day), day, (time - day).count()};
  std::string out;
  for (std::size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 == format.size()) {
      out += format[i];
      continue;
    }
    const auto text = directive(format[++i], moment);
    if (!text) return std::nullopt;
    out += *text;
  }
  return out;
}

}  // namespace troupe::model::jinja
