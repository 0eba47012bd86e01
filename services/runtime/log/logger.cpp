// Lines by spdlog, which is included here only: levels and writing are its, the layout ours.
#include "services/runtime/log/logger.hpp"

#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <mutex>
#include <sstream>

#include "services/runtime/log/json_text.hpp"

namespace troupe::services {
namespace {

/// Writes what it is given: lines come laid out.
class LineSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit LineSink(Logger::Sink sink) : out_(std::move(sink)) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& line) override {
    const std::string_view text(line.payload.data(), line.payload.size());
    if (out_) return out_(text);
    std::fwrite(text.data(), 1, text.size(), stderr);
  }
  void flush_() override {
    if (!out_) std::fflush(stderr);
  }

 private:
  Logger::Sink out_;
};

spdlog::level::level_enum of(LogLevel level) {
  switch (level) {
    case LogLevel::debug: return spdlog::level::debug;
    case LogLevel::info: return spdlog::level::info;
    case LogLevel::warning: return spdlog::level::warn;
    case LogLevel::error: return spdlog::level::err;
  }
  return spdlog::level::info;
}

constexpr std::array<std::string_view, 4> kNames{"debug", "info", "warning", "error"};
std::string_view name_of(LogLevel level) { return kNames[static_cast<std::size_t>(level)]; }

/// "2026-01-31T12:00:00.123Z" (RFC 3339), or "12:00:00.123" of the local day.
std::string time_text(bool whole) {
  std::timespec now{};
  std::timespec_get(&now, TIME_UTC);
  std::tm parts{};
  whole ? ::gmtime_r(&now.tv_sec, &parts) : ::localtime_r(&now.tv_sec, &parts);
  std::array<char, 64> text{};
  const auto end = std::strftime(text.data(), text.size(), whole ? "%FT%T" : "%T", &parts);
  std::snprintf(text.data() + end, text.size() - end, ".%03d%s",
                static_cast<int>(now.tv_nsec / 1000000), whole ? "Z" : "");
  return text.data();
}

struct Line {
  const LogIdentity& who;
  LogLevel level;
  std::string_view event;
  std::string_view message;
  const LogFields& fields;
};

std::string json_line(const Line& line) {
  std::ostringstream out;
  out << "{\"ts\":" << json_text(time_text(true)) << ",\"level\":" << json_text(name_of(line.level))
      << ",\"service\":" << json_text(line.who.service) << ",\"rank\":" << line.who.rank
      << ",\"event\":" << json_text(line.event) << ",\"msg\":" << json_text(line.message);
  for (const LogField& field : line.fields)
    out << ',' << json_text(field.name) << ':'
        << (field.is_number ? field.value : json_text(field.value));
  out << "}\n";
  return out.str();
}

std::string human_line(const Line& line) {
  std::string out = time_text(false) + " " + std::string(name_of(line.level)) + " " +
                    line.who.service + " " + std::to_string(line.who.rank) + "  " +
                    std::string(line.event);
  if (!line.message.empty()) out += ": " + printable(line.message);
  for (const LogField& field : line.fields) {
    const bool one_word =
        !field.value.empty() && field.value.find_first_of(" \"\t\n") == std::string::npos;
    out += " " + field.name + "=" + (one_word ? printable(field.value) : json_text(field.value));
  }
  return out + "\n";
}

}  // namespace

struct Logger::Impl {
  LogIdentity identity;
  Format format;
  spdlog::logger lines;
};

Logger::Logger(LogIdentity identity, Format format, LogLevel least, Sink sink)
    : impl_(new Impl{std::move(identity), format,
                     spdlog::logger("troupe", std::make_shared<LineSink>(std::move(sink)))}) {
  impl_->lines.set_level(of(least));
  impl_->lines.flush_on(spdlog::level::trace);
}

Logger::~Logger() = default;

void Logger::log(LogLevel level, std::string_view event, std::string_view message,
                 const LogFields& fields) {
  if (!impl_->lines.should_log(of(level))) return;
  const Line line{impl_->identity, level, event, message, fields};
  const std::string text = impl_->format == Format::json ? json_line(line) : human_line(line);
  impl_->lines.log(of(level), spdlog::string_view_t(text));
}

void Logger::debug(std::string_view event, std::string_view message, const LogFields& fields) {
  log(LogLevel::debug, event, message, fields);
}
void Logger::info(std::string_view event, std::string_view message, const LogFields& fields) {
  log(LogLevel::info, event, message, fields);
}
void Logger::warning(std::string_view event, std::string_view message, const LogFields& fields) {
  log(LogLevel::warning, event, message, fields);
}
void Logger::error(std::string_view event, std::string_view message, const LogFields& fields) {
  log(LogLevel::error, event, message, fields);
}

LogLevel log_level(std::string_view name) {
  for (std::size_t i = 0; i < kNames.size(); ++i)
    if (kNames[i] == name) return static_cast<LogLevel>(i);
  return LogLevel::info;
}

Logger::Format log_format(std::string_view name, bool terminal) {
  if (name == "json") return Logger::Format::json;
  if (name == "human") return Logger::Format::human;
  return terminal ? Logger::Format::human : Logger::Format::json;
}

LogFields fields_of(std::string_view detail, std::string& message) {
  constexpr std::string_view kNameCharacters = "abcdefghijklmnopqrstuvwxyz0123456789_";
  LogFields fields;
  while (!detail.empty()) {
    const auto word = detail.substr(0, detail.find(' '));
    detail.remove_prefix(std::min(word.size() + 1, detail.size()));
    const auto equals = word.find('=');
    const auto name = word.substr(0, equals);
    const bool begins =
        equals != word.npos && equals > 0 && name.find_first_not_of(kNameCharacters) == name.npos;
    if (begins) {
      fields.emplace_back(name, word.substr(equals + 1));
      continue;
    }
    std::string& last = fields.empty() ? message : fields.back().value;
    if (!last.empty()) last += ' ';
    last += word;
  }
  for (LogField& field : fields)
    field.is_number = !field.value.empty() && field.value.size() <= 18 &&
                      field.value.find_first_not_of("0123456789") == std::string::npos &&
                      (field.value.size() == 1 || field.value.front() != '0');
  return fields;
}

}  // namespace troupe::services
