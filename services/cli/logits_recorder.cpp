// Rows go to their place in the file at once, so memory does not grow with the prompts.
#include "services/cli/logits_recorder.hpp"

#include <optional>

namespace troupe::services {
namespace {

constexpr std::size_t kArraysWithTokens = 4;  // logits, tokens, logprobs, generated_logits

template <class T>
std::span<const std::byte> bytes_of_one(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

}  // namespace

std::vector<ArraySpec> logits_arrays(const IdArrays& prompts, std::int64_t generated,
                                     std::int64_t vocab_size) {
  std::vector<ArraySpec> arrays;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    std::string suffix = ".";
    suffix += std::to_string(i);
    const auto rows = static_cast<std::int64_t>(prompts[i].size());
    arrays.push_back({"logits" + suffix, DType::f32, {rows, vocab_size}});
    if (generated == 0) continue;
    arrays.push_back({"tokens" + suffix, DType::i32, {generated}});
    arrays.push_back({"logprobs" + suffix, DType::f32, {generated}});
    arrays.push_back({"generated_logits" + suffix, DType::f32, {generated, vocab_size}});
  }
  return arrays;
}

class LogitsRecorder::Listener final : public actors::RequestListener {
 public:
  Listener(LogitsRecorder& recorder, SafetensorsWriter& writer, std::size_t first_array,
           std::int64_t vocab_size)
      : recorder_(recorder), writer_(writer), first_array_(first_array), vocab_(vocab_size) {}

  void on_prompt_logits(std::int64_t first_position, std::int64_t,
                        std::span<const float> logits) override {
    write(0, first_position * vocab_, std::as_bytes(logits));
  }
  void on_generated_logits(std::int64_t index, std::span<const float> logits) override {
    write(3, index * vocab_, std::as_bytes(logits));
  }
  void on_token(const actors::TokenNews& news) override {
    write(1, tokens_, bytes_of_one(news.token));
    write(2, tokens_, bytes_of_one(news.logprob));
    ++tokens_;
  }
  void on_finished(actors::FinishReason reason, const Error& error, const actors::Usage&) override {
    if (reason == actors::FinishReason::error && !failure_) failure_ = {0, error, false};
    if (reason == actors::FinishReason::cancelled && !failure_) {
      failure_ = {0, {Errc::cancelled, "the request was cancelled"}, false};
    }
    recorder_.finished();
  }
  void give_up(const Error& why) {
    failure_ = {0, why, false};
    recorder_.finished();
  }
  const std::optional<Failure>& failure() const { return failure_; }

 private:
  void write(std::size_t array, std::int64_t first, std::span<const std::byte> bytes) {
    if (failure_) return;
    const auto written =
        writer_.write(first_array_ + array, static_cast<std::uint64_t>(first), bytes);
    if (!written) failure_ = {0, written.error(), true};
  }

  LogitsRecorder& recorder_;
  SafetensorsWriter& writer_;
  std::size_t first_array_;
  std::int64_t vocab_;
  std::int64_t tokens_ = 0;
  std::optional<Failure> failure_;
};

LogitsRecorder::LogitsRecorder(SafetensorsWriter& writer, std::size_t requests,
                               std::int64_t generated, std::int64_t vocab_size)
    : unfinished_(requests) {
  const std::size_t arrays = generated > 0 ? kArraysWithTokens : 1;
  for (std::size_t i = 0; i < requests; ++i) {
    listeners_.push_back(std::make_shared<Listener>(*this, writer, i * arrays, vocab_size));
  }
}

LogitsRecorder::~LogitsRecorder() = default;

std::shared_ptr<actors::RequestListener> LogitsRecorder::listener(std::size_t request) {
  return listeners_[request];
}

void LogitsRecorder::give_up(std::size_t request, const Error& why) {
  listeners_[request]->give_up(why);
}

void LogitsRecorder::finished() {
  const std::lock_guard lock(mutex_);
  --unfinished_;
  changed_.notify_one();
}

bool LogitsRecorder::wait(std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, patience, [this] { return unfinished_ == 0; });
}

std::optional<LogitsRecorder::Failure> LogitsRecorder::failure() const {
  for (std::size_t i = 0; i < listeners_.size(); ++i) {
    if (const auto& failure = listeners_[i]->failure()) {
      return Failure{i, failure->error, failure->writing};
    }
  }
  return std::nullopt;
}

}  // namespace troupe::services
