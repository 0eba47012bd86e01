// The log of a service: one line per event, for people on a terminal and as JSON elsewhere.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::services {

enum class LogLevel : std::uint8_t { debug, info, warning, error };

/// A word of a line: `peer="expert 2"`. Never text of a prompt or an answer, token ids or secrets.
struct LogField {
  LogField(std::string_view name, std::string_view value) : name(name), value(value) {}
  LogField(std::string_view name, const char* value) : name(name), value(value) {}
  LogField(std::string_view name, std::int64_t value)
      : name(name), value(std::to_string(value)), is_number(true) {}
  std::string name;
  std::string value;
  bool is_number = false;
};
using LogFields = std::vector<LogField>;

/// Who logs; part of every line.
struct LogIdentity {
  std::string service;  // "expert"
  std::int64_t rank = 0;
};

/// *Threading*: any thread; blocks as long as stderr does.
class Logger {
 public:
  enum class Format : std::uint8_t { human, json };
  /// Where finished lines go, newline included; empty: stderr.
  using Sink = std::function<void(std::string_view)>;

  Logger(LogIdentity identity, Format format, LogLevel least, Sink sink = {});
  ~Logger();

  /// `event` is stable and snake_case: what searches and alerts look for. `message` is for people.
  void log(LogLevel level, std::string_view event, std::string_view message,
           const LogFields& fields = {});
  void debug(std::string_view event, std::string_view message, const LogFields& fields = {});
  void info(std::string_view event, std::string_view message, const LogFields& fields = {});
  void warning(std::string_view event, std::string_view message, const LogFields& fields = {});
  void error(std::string_view event, std::string_view message, const LogFields& fields = {});

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// "debug", "info", "warning", "error". Anything else is `info`.
LogLevel log_level(std::string_view name);
/// "human", "json"; "auto": human on a terminal.
Logger::Format log_format(std::string_view name, bool terminal);

/// "peer=expert 2 lanes=posix,cma" as fields: a word with `=` begins one, further words belong to
/// it. What comes before the first is added to `message`.
LogFields fields_of(std::string_view detail, std::string& message);

}  // namespace troupe::services
