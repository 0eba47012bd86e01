// Ranges of the fields of a request.
#include <cmath>
#include <cstdio>
#include <string_view>

#include "model/tokenizer/utf8.hpp"
#include "services/gateway/request_planner.hpp"

namespace troupe::services {
namespace {

constexpr std::size_t kRequestIdBytesMax = 128;
constexpr std::size_t kStopsMax = 16;
constexpr std::size_t kStopBytesMax = 1024;
constexpr std::size_t kStopIdsMax = 1024;
constexpr std::size_t kBiasesMax = 4096;
constexpr std::size_t kAllowedIdsMax = 262144;
constexpr std::size_t kBadWordsMax = 64;
constexpr std::size_t kBadWordBytesMax = 256;
constexpr std::size_t kSaltBytesMax = 1024;
constexpr std::int32_t kPriorityMax = 1'000'000;
constexpr std::int32_t kLogprobsMax = model::kTopLogprobsMax;
constexpr std::int32_t kTokensMax = 2147483647;

std::string shown(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

struct Range {
  double min = 0, max = 0;
  bool above_min = false;  // min itself is out
};

/// Collects violations.
class Checks {
 public:
  explicit Checks(std::string prefix) : prefix_(std::move(prefix)) {}

  template <class T>
  void number(const char* field, const std::optional<T>& value, Range range) {
    if (!value) return;
    const auto given = static_cast<double>(*value);
    const bool fits = std::isfinite(given) && given <= range.max &&
                      (range.above_min ? given > range.min : given >= range.min);
    if (fits) return;
    fail(prefix_ + field, (range.above_min ? "takes a number above " : "takes a number from ") +
                              shown(range.min) + " to " + shown(range.max) + ", not " +
                              shown(given));
  }
  template <class List>
  void at_most(const char* field, const List& list, std::size_t max) {
    if (list.size() <= max) return;
    fail(prefix_ + field,
         "takes at most " + std::to_string(max) + ", not " + std::to_string(list.size()));
  }
  void id(const std::string& field, std::int32_t id, std::int64_t vocab_size) {
    if (id >= 0 && id < vocab_size) return;
    fail(field, "takes token ids from 0 to " + std::to_string(vocab_size - 1) + ", not " +
                    std::to_string(id));
  }
  void fail(std::string field, std::string description) {
    if (found.size() < kFoundMax) found.push_back({std::move(field), std::move(description)});
  }

  static constexpr std::size_t kFoundMax = 16;  // more would not help
  std::vector<FieldViolation> found;

 private:
  std::string prefix_;
};

void check_numbers(Checks& checks, const GenerateCall& call) {
  const SamplingFields& sampling = call.sampling;
  const FieldNames& names = call.names;
  const bool prompt_will_do = call.echo || sampling.prompt_logprobs;
  checks.number("temperature", sampling.temperature, {0, 2});
  checks.number("top_p", sampling.top_p, {0, 1, true});
  checks.number("top_k", sampling.top_k, {-1, kTokensMax});
  checks.number("min_p", sampling.min_p, {0, 1});
  checks.number("frequency_penalty", sampling.frequency_penalty, {-2, 2});
  checks.number("presence_penalty", sampling.presence_penalty, {-2, 2});
  // Smaller ones take logits out of F32; this one is the same number in F32 and in JSON.
  checks.number("repetition_penalty", sampling.repetition_penalty, {0.015625, 100});
  checks.number(names.max_tokens.c_str(), sampling.max_tokens,
                {prompt_will_do ? 0.0 : 1.0, kTokensMax});
  checks.number("min_tokens", sampling.min_tokens, {0, kTokensMax});
  checks.number("n", sampling.n, {1, 128});
  checks.number(names.logprobs.c_str(), sampling.logprobs, {0, kLogprobsMax});
  checks.number("prompt_logprobs", sampling.prompt_logprobs, {0, kLogprobsMax});
  if (sampling.min_tokens && sampling.max_tokens && *sampling.min_tokens > *sampling.max_tokens) {
    checks.fail(names.sampling + "min_tokens", "takes at most " + names.sampling +
                                                   names.max_tokens + ", " +
                                                   std::to_string(*sampling.max_tokens) + ", not " +
                                                   std::to_string(*sampling.min_tokens));
  }
}

/// Where a request stands among others: fields of the request, not of its sampling.
void check_order(Checks& checks, const GenerateCall& call) {
  if (call.priority < -kPriorityMax || call.priority > kPriorityMax) {
    checks.fail("priority", "takes a whole number from -" + std::to_string(kPriorityMax) + " to " +
                                std::to_string(kPriorityMax) + ", not " +
                                std::to_string(call.priority));
  }
  if (call.cache_salt.size() > kSaltBytesMax) {
    checks.fail("cache_salt", "takes at most " + std::to_string(kSaltBytesMax) + " bytes, not " +
                                  std::to_string(call.cache_salt.size()));
  }
}

/// A list of so many texts of so many bytes.
struct TextBounds {
  std::size_t texts = 0, bytes = 0;
};

void check_texts(Checks& checks, const std::string& prefix, const char* field,
                 const std::vector<std::string>& texts, TextBounds bounds) {
  checks.at_most(field, texts, bounds.texts);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const std::string path = prefix + field + "[" + std::to_string(i) + "]";
    if (texts[i].empty() || texts[i].size() > bounds.bytes) {
      checks.fail(path, "takes 1 to " + std::to_string(bounds.bytes) + " bytes, not " +
                            std::to_string(texts[i].size()));
    }
    if (model::first_invalid_utf8(texts[i])) checks.fail(path, "is not UTF-8");
  }
}

void check_ids(Checks& checks, const std::string& prefix, const char* field,
               const std::vector<std::int32_t>& ids, std::size_t ids_max,
               std::int64_t vocab_size) {
  checks.at_most(field, ids, ids_max);
  for (std::size_t i = 0; i < ids.size(); ++i)
    checks.id(prefix + field + "[" + std::to_string(i) + "]", ids[i], vocab_size);
}

void check_lists(Checks& checks, const SamplingFields& sampling, const std::string& prefix,
                 std::int64_t vocab_size) {
  check_texts(checks, prefix, "stop", sampling.stop, {kStopsMax, kStopBytesMax});
  check_texts(checks, prefix, "bad_words", sampling.bad_words, {kBadWordsMax, kBadWordBytesMax});
  check_ids(checks, prefix, "stop_token_ids", sampling.stop_token_ids, kStopIdsMax, vocab_size);
  check_ids(checks, prefix, "allowed_token_ids", sampling.allowed_token_ids, kAllowedIdsMax,
            vocab_size);
}

void check_biases(Checks& checks, const SamplingFields& sampling, const std::string& prefix,
                  std::int64_t vocab_size) {
  checks.at_most("logit_bias", sampling.logit_bias, kBiasesMax);
  for (const auto& [id, bias] : sampling.logit_bias) {
    const std::string field = "logit_bias[" + std::to_string(id) + "]";
    checks.id(prefix + field, id, vocab_size);
    checks.number(field.c_str(), std::optional(bias), {-100, 100});
  }
}

}  // namespace

std::optional<FieldViolation> check_request_id(const std::string& id) {
  if (id.size() > kRequestIdBytesMax) {
    return FieldViolation{"request_id", "takes at most " + std::to_string(kRequestIdBytesMax) +
                                            " characters, not " + std::to_string(id.size())};
  }
  for (const char c : id) {
    if (c > ' ' && c < '\x7f') continue;
    return FieldViolation{"request_id", "takes visible ASCII characters only"};
  }
  return std::nullopt;
}

std::vector<FieldViolation> check_fields(const GenerateCall& call, std::int64_t vocab_size) {
  const FieldNames& names = call.names;
  Checks checks(names.sampling);
  if (auto wrong = check_request_id(call.request_id)) {
    checks.fail(std::move(wrong->field), std::move(wrong->description));
  }
  check_numbers(checks, call);
  check_order(checks, call);
  check_lists(checks, call.sampling, names.sampling, vocab_size);
  check_biases(checks, call.sampling, names.sampling, vocab_size);
  return std::move(checks.found);
}

}  // namespace troupe::services
