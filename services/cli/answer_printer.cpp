// The loop between a request's events and standard output.
#include "services/cli/answer_printer.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "services/runtime/interrupts.hpp"
#include "services/runtime/terminal.hpp"

namespace troupe::services {
namespace {

constexpr std::chrono::milliseconds kInterruptPoll{50};

double seconds(actors::Clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

/// One answer on its way to stdout; stops writing once something went wrong.
class Printing {
 public:
  Printing(actors::RequestEngine& cluster, TokenText& tokens)
      : cluster_(cluster), tokens_(tokens) {}

  PrintedAnswer run(actors::GenerateRequest request) {
    const auto submitted = cluster_.submit(std::move(request), queue_);
    if (!submitted) {
      printed_.ending = Ending::failed;
      printed_.answer.error = submitted.error();
      return printed_;
    }
    id_ = *submitted;
    while (!take(queue_->next(kInterruptPoll))) watch_for_interrupt();
    write(tokens_.finish());
    if (printed_.ending != Ending::reader_gone) write_newline();
    return printed_;
  }

 private:
  /// True: that was the last event.
  bool take(const std::optional<AnswerQueue::Event>& event) {
    if (!event) return false;
    if (const auto* token = std::get_if<std::int32_t>(&*event)) {
      write(tokens_.push(*token));
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

  void write_newline() {
    if (!write_stdout("\n") && errno == EPIPE) printed_.ending = Ending::reader_gone;
  }

  void stop(Ending why) {
    if (printed_.ending != Ending::complete) return;
    printed_.ending = why;
    cluster_.cancel(id_);
  }

  actors::RequestEngine& cluster_;
  TokenText& tokens_;
  std::shared_ptr<AnswerQueue> queue_ = std::make_shared<AnswerQueue>();
  actors::RequestId id_ = 0;
  PrintedAnswer printed_;
  Error write_error_;
};

}  // namespace

TokenText::TokenText(const model::Tokenizer* tokenizer, std::vector<std::int32_t> hidden)
    : hidden_(std::move(hidden)) {
  if (tokenizer != nullptr) detokenizer_.emplace(*tokenizer, true);
}

std::string TokenText::push(std::int32_t token) {
  if (!detokenizer_) {
    std::string id = std::exchange(first_, false) ? "" : " ";
    return id.append(std::to_string(token));
  }
  const bool hidden = std::find(hidden_.begin(), hidden_.end(), token) != hidden_.end();
  return hidden ? "" : detokenizer_->push(token);
}

std::string TokenText::finish() { return detokenizer_ ? detokenizer_->finish() : ""; }

PrintedAnswer print_answer(actors::RequestEngine& cluster, actors::GenerateRequest request,
                           TokenText& tokens) {
  return Printing(cluster, tokens).run(std::move(request));
}

std::string usage_line(const actors::Usage& usage) {
  const auto tokens = usage.generated_tokens;
  const double first = seconds(usage.time_to_first_token);
  const double rest = seconds(usage.duration) - first;
  // The first token's time is the prompt's; one token alone counts with it.
  const double rate = tokens > 1 && rest > 0 ? static_cast<double>(tokens - 1) / rest
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
