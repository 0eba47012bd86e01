// The loop between a request's events and standard output.
#include "services/cli/answer_printer.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "services/cli/live_line.hpp"
#include "services/runtime/interrupts.hpp"
#include "services/runtime/terminal.hpp"

namespace troupe::services {
namespace {

constexpr std::chrono::milliseconds kInterruptPoll{50};
constexpr std::chrono::milliseconds kPromptQuietFor{500};
constexpr double kMeasured = 0.1;  // seconds; tokens that come in less came in a burst

double seconds(actors::Clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

/// One answer on its way to stdout; stops writing once something went wrong.
class Printing {
 public:
  Printing(AnswerSource& source, ProgressStyle style)
      : source_(source),
        prompt_({"prompt", style == ProgressStyle::bar ? style : ProgressStyle::none,
                 kPromptQuietFor, ProgressUnit::tokens}),
        live_(style == ProgressStyle::bar && stdout_is_terminal()) {}

  PrintedAnswer run() {
    while (!take(source_.next(kInterruptPoll))) watch_for_interrupt();
    live_.end();
    const bool nothing = printed_.ending == Ending::failed && printed_.text.empty();
    if (printed_.ending != Ending::reader_gone && !nothing) write_newline();
    return printed_;
  }

 private:
  /// True: that was the last event.
  bool take(const std::optional<AnswerSource::Event>& event) {
    if (!event) return false;
    if (const auto* prompt = std::get_if<PromptProgress>(&*event)) {
      prompt_.update(static_cast<std::uint64_t>(prompt->done),
                     static_cast<std::uint64_t>(prompt->total));
      return false;
    }
    prompt_.clear();
    if (const auto* more = std::get_if<AnswerText>(&*event)) {
      write_aside(more->aside);
      write(more->text);
      show_speed(more->tokens);
      return false;
    }
    printed_.answer = std::get<Answer>(*event);
    if (printed_.ending == Ending::failed) printed_.answer.error = write_error_;
    if (printed_.answer.reason == actors::FinishReason::error) printed_.ending = Ending::failed;
    return true;
  }

  void watch_for_interrupt() {
    if (interrupted()) stop(Ending::interrupted);
  }

  void write(const std::string& text) {
    if (interrupted()) stop(Ending::interrupted);
    if (text.empty() || printed_.ending != Ending::complete) return;
    printed_.text += text;
    if (write_stdout(text)) return;
    if (errno != EPIPE) {
      write_error_ = {Errc::io,
                      std::string("cannot write to standard output: ") + std::strerror(errno)};
      stop(Ending::failed);
      return;
    }
    stop(Ending::reader_gone);
  }

  /// What is not the answer itself goes to stderr; on a terminal it stands above it.
  void write_aside(const std::string& aside) {
    if (aside.empty() || printed_.ending != Ending::complete) return;
    std::fputs(aside.c_str(), stderr);
    std::fflush(stderr);
  }

  /// "41 tokens, 38 tok/s" so far.
  void show_speed(std::int64_t tokens) {
    if (tokens == 0 || printed_.ending != Ending::complete) return;
    const auto now = actors::Clock::now();
    if (!first_) first_ = now;
    tokens_ += tokens;
    if (tokens_ < 2 || seconds(now - *first_) < kMeasured) return;
    const double rate = static_cast<double>(tokens_ - 1) / seconds(now - *first_);
    std::array<char, 80> line{};
    std::snprintf(line.data(), line.size(), "%lld tokens, %.*f tok/s; Ctrl-C stops the answer",
                  static_cast<long long>(tokens_), rate < 10 ? 1 : 0, rate);
    live_.show(line.data());
  }

  void write_newline() {
    if (!write_stdout("\n") && errno == EPIPE) printed_.ending = Ending::reader_gone;
  }

  void stop(Ending why) {
    if (printed_.ending != Ending::complete) return;
    printed_.ending = why;
    source_.cancel();
  }

  AnswerSource& source_;
  Progress prompt_;
  LiveLine live_;
  std::int64_t tokens_ = 0;
  std::optional<actors::Clock::time_point> first_;  // when the first token came
  PrintedAnswer printed_;
  Error write_error_;
};

}  // namespace

PrintedAnswer print_answer(AnswerSource& source, ProgressStyle style) {
  return Printing(source, style).run();
}

std::string usage_line(const actors::Usage& usage) {
  const auto tokens = usage.generated_tokens;
  const double first = seconds(usage.time_to_first_token);
  const double rest = seconds(usage.duration) - first;
  // The first token's time is the prompt's; one token alone, or a burst, counts with it.
  const double rate = tokens > 1 && rest >= kMeasured ? static_cast<double>(tokens - 1) / rest
                      : seconds(usage.duration) > 0
                          ? static_cast<double>(tokens) / seconds(usage.duration)
                          : 0;
  std::array<char, 96> line{};
  std::snprintf(line.data(), line.size(), "%lld token%s, TTFT %.2f s, %.*f tok/s",
                static_cast<long long>(tokens), tokens == 1 ? "" : "s", first, rate < 10 ? 1 : 0,
                rate);
  return line.data();
}

}  // namespace troupe::services
