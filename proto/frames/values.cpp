// What values a frame may carry, and the names of the enumerations that travel.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "proto/frames/bodies.hpp"
#include "proto/frames/codec.hpp"
#include "proto/frames/sections.hpp"

namespace troupe::proto {

std::string_view to_string(FrameKind kind) {
  switch (kind) {
    case FrameKind::hello: return "hello";
    case FrameKind::hello_ack: return "hello_ack";
    case FrameKind::goodbye: return "goodbye";
    case FrameKind::submit: return "submit";
    case FrameKind::cancel: return "cancel";
    case FrameKind::lease: return "lease";
    case FrameKind::tokens: return "tokens";
    case FrameKind::rows: return "rows";
    case FrameKind::expert_rows: return "expert_rows";
    case FrameKind::expert_reply: return "expert_reply";
    case FrameKind::combined: return "combined";
    case FrameKind::logits: return "logits";
    case FrameKind::failed: return "failed";
    case FrameKind::prompt_logprobs: return "prompt_logprobs";
  }
  return "unknown";
}

std::string_view to_string(Role role) {
  switch (role) {
    case Role::gateway: return "gateway";
    case Role::attention: return "attention";
    case Role::router: return "router";
    case Role::expert: return "expert";
  }
  return "unknown";
}

std::string_view to_string(MalformedReason reason) {
  switch (reason) {
    case MalformedReason::too_short: return "too_short";
    case MalformedReason::magic: return "magic";
    case MalformedReason::version: return "version";
    case MalformedReason::kind: return "kind";
    case MalformedReason::length: return "length";
    case MalformedReason::lane: return "lane";
    case MalformedReason::reserved: return "reserved";
    case MalformedReason::bound: return "bound";
    case MalformedReason::value: return "value";
    case MalformedReason::order: return "order";
  }
  return "unknown";
}

std::string_view clip_detail(std::string_view text) {
  if (text.size() <= kDetailBytesMax) return text;
  std::size_t end = kDetailBytesMax;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0u) == 0x80u) --end;
  return text.substr(0, end);
}

std::size_t scales_offset(std::uint32_t rows, std::uint32_t width) {
  return (std::size_t{rows} * width + 3) / 4 * 4;
}

std::size_t row_block_bytes(std::uint32_t rows, std::uint32_t width, WireDtype dtype) {
  const std::size_t elements = std::size_t{rows} * width;
  switch (dtype) {
    case WireDtype::f32: return elements * 4;
    case WireDtype::bf16: return elements * 2;
    case WireDtype::e4m3_block128:
      return scales_offset(rows, width) +
             std::size_t{rows} * ((std::size_t{width} + 127) / 128) * 4;
  }
  return 0;
}

namespace detail {
namespace {

std::optional<Malformed> fault(MalformedReason reason, std::string text) {
  return Malformed{reason, std::move(text)};
}
std::optional<Malformed> bad_value(const char* what, double number) {
  return fault(MalformedReason::value, std::string(what) + " is " + std::to_string(number));
}

/// Strictly ascending by (expert, row), rows below `rows`, experts below kExpertsMax.
template <class Pair>
std::optional<Malformed> find_pair_fault(const PackedArray<Pair>& pairs, std::uint32_t rows) {
  std::uint64_t next = 0;  // the smallest (expert, row) that may follow, as one number
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    const Pair pair = pairs[i];
    if (pair.row >= rows || pair.expert >= kExpertsMax) {
      return fault(MalformedReason::bound,
                   "pair " + std::to_string(i) + " names row " + std::to_string(pair.row) + " of " +
                       std::to_string(rows) + " and expert " + std::to_string(pair.expert));
    }
    const std::uint64_t here = (std::uint64_t{pair.expert} << 32) | pair.row;
    if (here < next) {
      return fault(MalformedReason::order,
                   "pair " + std::to_string(i) + " (expert " + std::to_string(pair.expert) +
                       ", row " + std::to_string(pair.row) + ") does not follow its predecessor");
    }
    next = here + 1;
  }
  return std::nullopt;
}

/// A schema and calls have a text, an expression may have one, the others have none.
std::optional<Malformed> find_grammar_fault(const Submit& x) {
  const auto kind = static_cast<std::uint16_t>(x.grammar);
  if (kind > static_cast<std::uint16_t>(GrammarKind::tool_calls)) return bad_value("grammar", kind);
  if (x.grammar_after < -1) return bad_value("grammar_after", x.grammar_after);
  const bool wordless = x.grammar == GrammarKind::none || x.grammar == GrammarKind::json_object;
  if (x.grammar == GrammarKind::regex || wordless == x.grammar_text.empty()) return std::nullopt;
  return fault(MalformedReason::value, "grammar " + std::to_string(kind) + " with " +
                                           std::to_string(x.grammar_text.size()) +
                                           " bytes of text");
}

std::optional<Malformed> find_sampling_fault(const Sampling& s) {
  const auto in = [](float value, float low, float high) { return value >= low && value <= high; };
  if (!in(s.temperature, 0, 1e6f)) return bad_value("temperature", s.temperature);
  if (!in(s.top_p, 0, 1)) return bad_value("top_p", s.top_p);
  if (!in(s.min_p, 0, 1)) return bad_value("min_p", s.min_p);
  if (!in(s.frequency_penalty, -100, 100)) {
    return bad_value("frequency_penalty", s.frequency_penalty);
  }
  if (!in(s.presence_penalty, -100, 100)) return bad_value("presence_penalty", s.presence_penalty);
  if (!in(s.repetition_penalty, 1e-6f, 1e6f)) {
    return bad_value("repetition_penalty", s.repetition_penalty);
  }
  if (s.top_k < 0) return bad_value("top_k", s.top_k);
  for (const LogitBias bias : s.logit_bias) {
    if (!std::isfinite(bias.bias)) return bad_value("logit bias", bias.bias);
  }
  return std::nullopt;
}

}  // namespace

std::optional<Malformed> find_value_fault(const Hello& x) {
  const auto role = static_cast<std::uint16_t>(x.role);
  if (role < 1 || role > 4) return bad_value("role", role);
  if (x.protocol_min == 0 || x.protocol_min > x.protocol_max) {
    return fault(MalformedReason::value, "protocol range " + std::to_string(x.protocol_min) +
                                             " to " + std::to_string(x.protocol_max));
  }
  return std::nullopt;
}
std::optional<Malformed> find_value_fault(const Goodbye&) { return std::nullopt; }
std::optional<Malformed> find_value_fault(const Cancel&) { return std::nullopt; }
std::optional<Malformed> find_value_fault(const Lease&) { return std::nullopt; }
std::optional<Malformed> find_value_fault(const Failed&) { return std::nullopt; }
std::optional<Malformed> find_value_fault(const Rows&) { return std::nullopt; }
std::optional<Malformed> find_value_fault(const Combined&) { return std::nullopt; }

std::optional<Malformed> find_value_fault(const Submit& x) {
  if (x.request_id.empty()) return fault(MalformedReason::value, "the request id is empty");
  if (x.token_ids.empty()) return fault(MalformedReason::value, "there are no token ids");
  if (x.prompt_tokens == 0 || x.prompt_tokens > x.token_ids.size()) {
    return fault(MalformedReason::value, std::to_string(x.prompt_tokens) + " prompt tokens of " +
                                             std::to_string(x.token_ids.size()) + " token ids");
  }
  if ((x.flags & ~std::uint32_t{kSubmitFlagsAll}) != 0) return bad_value("flags", x.flags);
  const auto counts = [](std::int32_t alternatives) {
    return alternatives >= -1 && alternatives <= static_cast<std::int32_t>(kTopLogprobsMax);
  };
  if (!counts(x.logprobs)) return bad_value("logprobs", x.logprobs);
  if (!counts(x.prompt_logprobs)) return bad_value("prompt_logprobs", x.prompt_logprobs);
  if (x.choices == 0 || x.choices > kChoicesMax) return bad_value("choices", x.choices);
  if (x.sampling.choice >= x.choices) return bad_value("choice", x.sampling.choice);
  if (auto found = find_grammar_fault(x)) return found;
  return find_sampling_fault(x.sampling);
}

std::optional<Malformed> find_value_fault(const Tokens& x) {
  if (static_cast<std::uint16_t>(x.finish) > 4) {
    return bad_value("finish reason", static_cast<std::uint16_t>(x.finish));
  }
  if (x.top.size() != x.entries.size() * x.top_count) {
    return fault(MalformedReason::value, std::to_string(x.top.size()) + " alternatives for " +
                                             std::to_string(x.entries.size()) + " tokens of " +
                                             std::to_string(x.top_count));
  }
  return std::nullopt;
}

std::optional<Malformed> find_value_fault(const PromptLogprobs& x) {
  if (x.entries.empty() || x.first_position == 0) {
    return fault(MalformedReason::value, std::to_string(x.entries.size()) +
                                             " logprobs from prompt position " +
                                             std::to_string(x.first_position) + " on");
  }
  if (x.top.size() != x.entries.size() * x.top_count) {
    return fault(MalformedReason::value, std::to_string(x.top.size()) + " alternatives for " +
                                             std::to_string(x.entries.size()) + " positions of " +
                                             std::to_string(x.top_count));
  }
  if (!x.ranks.empty() && x.ranks.size() != x.entries.size()) {
    return fault(MalformedReason::value, std::to_string(x.ranks.size()) + " ranks for " +
                                             std::to_string(x.entries.size()) + " positions");
  }
  for (const std::uint32_t rank : x.ranks)
    if (rank == 0 || rank > kVocabMax) return bad_value("rank", rank);
  return std::nullopt;
}

std::optional<Malformed> find_value_fault(const ExpertRows& x) {
  if (x.pairs.empty()) return fault(MalformedReason::value, "there are no pairs");
  return find_pair_fault(x.pairs, x.rows.rows);
}

std::optional<Malformed> find_value_fault(const ExpertReply& x) {
  if (x.pairs.empty()) return fault(MalformedReason::value, "there are no pairs");
  if (auto found = find_pair_fault(x.pairs, kRowsMax)) return found;
  std::size_t ok = 0;
  for (const ReplyPair pair : x.pairs) {
    if (pair.reserved != 0) return fault(MalformedReason::reserved, "reserved bytes of a pair");
    if (pair.status > 2) return bad_value("pair status", pair.status);
    ok += pair.status == 0 ? 1 : 0;
  }
  if (ok == x.rows.rows) return std::nullopt;
  return fault(MalformedReason::value, std::to_string(x.rows.rows) + " rows for " +
                                           std::to_string(ok) + " pairs that are ok");
}

std::optional<Malformed> find_value_fault(const Logits& x) {
  if (x.source == 0 || x.source > 3) return bad_value("source of logits", x.source);
  if (x.positions.empty() || x.vocab == 0) {
    return fault(MalformedReason::value, "logits of " + std::to_string(x.positions.size()) +
                                             " rows x " + std::to_string(x.vocab));
  }
  return std::nullopt;
}

}  // namespace detail
}  // namespace troupe::proto
