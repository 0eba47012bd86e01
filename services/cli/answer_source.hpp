// Where the pieces of one answer come from: an engine behind this process, or a gateway.
#pragma once
#include <chrono>
#include <optional>
#include <string>
#include <variant>

#include "actors/request.hpp"
#include "services/runtime/faults.hpp"

namespace troupe::services {

/// How an answer ended.
struct Answer {
  actors::FinishReason reason = actors::FinishReason::error;
  Error error{Errc::ok, ""};
  actors::Usage usage;
  std::optional<Fault> fault;  // what `error` is to a user, where its code does not tell
};

struct PromptProgress {
  std::int64_t done = 0;  // prompt tokens
  std::int64_t total = 0;
};

/// More of an answer.
struct AnswerText {
  std::string text;
  std::int64_t tokens = 0;  // that it is of
  std::string aside = {};   // for people who watch: thoughts, tool calls
};

/// *Threading*: one thread at a time.
class AnswerSource {
 public:
  using Event = std::variant<PromptProgress, AnswerText, Answer>;  // what to print, or the end

  virtual ~AnswerSource() = default;
  /// The next event; nothing if none came within `patience`.
  virtual std::optional<Event> next(std::chrono::milliseconds patience) = 0;
  /// The end comes soon.
  virtual void cancel() = 0;
};

}  // namespace troupe::services
