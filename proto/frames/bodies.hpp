// What each kind of frame says. The same structs are given to `encode` and come out of `decode`.
//
// Arrays, texts and rows are views: of the sender's memory when encoding, of the received bytes
// when decoded. Both must outlive the struct.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <variant>

#include "proto/frames/header.hpp"
#include "proto/frames/packed_array.hpp"

namespace troupe::proto {

/// Roles of a service. Values travel: append only.
enum class Role : std::uint16_t { gateway = 1, attention = 2, router = 3, expert = 4 };
std::string_view to_string(Role role);

/// How rows lie in a frame. Values travel: append only.
enum class WireDtype : std::uint16_t {
  f32 = 0,
  bf16 = 1,
  e4m3_block128 = 2,  // codes [rows, width], zeros up to a multiple of 4 bytes, then F32 scales
                      // [rows, ceil(width / 128)]
};

/// Bytes of `rows` rows of `width` elements as a frame holds them.
std::size_t row_block_bytes(std::uint32_t rows, std::uint32_t width, WireDtype dtype);
/// Where the scales of e4m3_block128 rows start, from their first code.
std::size_t scales_offset(std::uint32_t rows, std::uint32_t width);

/// *Shapes*: `data` is [rows, width] in `dtype`, row_block_bytes() long. Starts at a multiple of
/// kRowAlignment from the frame's first byte, so it is aligned where the frame's buffer is.
struct RowBlock {
  std::uint32_t rows = 0;
  std::uint32_t width = 0;  // elements of one row
  WireDtype dtype = WireDtype::bf16;
  std::span<const std::byte> data;
};

// --- Saying hello. The header's incarnation and numerics id are those of the speaker. ----------

/// First frame of a connection, in the *oldest* protocol version its sender speaks.
struct Hello {
  Role role = Role::gateway;
  std::uint32_t index = 0;  // among the services of its role, from 0
  std::uint16_t protocol_min = kProtocolVersionOldest;
  std::uint16_t protocol_max = kProtocolVersion;
  std::uint32_t decode_rows = 0;   // rows the peer may have under way toward the speaker that only
  std::uint32_t prefill_rows = 0;  // decode may use, and rows that both lanes may use
  std::array<std::byte, kJoinTokenBytes> join_token{};
};
/// The answer to it.
struct HelloAck : Hello {};

/// The speaker leaves in good order; nothing follows.
struct Goodbye {
  std::uint16_t error = 0;  // troupe::Errc; 0 when all is well
  std::string_view detail;
};

// --- Gateway and attention shard. header.work_id names the request, attempt its replay. --------

struct LogitBias {
  std::int32_t token = 0;
  float bias = 0;
  friend bool operator==(const LogitBias&, const LogitBias&) = default;
};

/// How tokens are drawn (design 7). Defaults change nothing.
struct Sampling {
  std::uint64_t seed = 0;  // drawn once by the gateway
  float temperature = 1;   // 0: greedy
  float top_p = 1;
  float min_p = 0;
  float frequency_penalty = 0;
  float presence_penalty = 0;
  float repetition_penalty = 1;
  std::int32_t top_k = 0;    // 0: all
  std::uint32_t choice = 0;  // which of the `n` choices of a request this is
  PackedArray<LogitBias> logit_bias;
};

/// Flags of Submit; others must be 0.
enum SubmitFlags : std::uint32_t {
  kWantPromptLogits = 1,     // Logits frames for each prompt position
  kWantGeneratedLogits = 2,  // Logits frames for each position a token is drawn from
  kIgnoreEos = 4,            // end-of-sequence tokens do not end the request
  kWantPromptRanks = 8,      // PromptLogprobs frames have ranks
};
inline constexpr std::uint32_t kSubmitFlagsAll = 15;

/// What the generated text has to match. Values travel: append only.
enum class GrammarKind : std::uint16_t {
  none = 0,
  json_object = 1,
  json_schema = 2,
  regex = 3,
  tool_calls = 4
};

/// A request to continue `token_ids`.
struct Submit {
  std::string_view request_id;          // for people and logs; 1 to 64 bytes
  PackedArray<std::int32_t> token_ids;  // prompt, then what was generated before (a replay)
  std::uint32_t prompt_tokens = 0;  // how many of them are the prompt; the next position to draw
                                    // is token_ids.size()
  Sampling sampling;
  std::uint32_t max_tokens = 0;   // generated tokens in all, replayed ones included
  std::uint32_t min_tokens = 0;   // stop ids and EOS are not drawn before
  std::uint32_t valid_vocab = 0;  // ids at or beyond are never drawn; 0: the model's vocabulary
  std::int32_t logprobs = -1;     // alternatives wanted with each token; -1: no logprobs at all
  std::int32_t priority = 0;      // higher goes first
  std::uint32_t flags = 0;        // SubmitFlags
  PackedArray<std::int32_t> stop_ids;
  PackedArray<std::int32_t> allowed_ids;  // others are never drawn; empty: all may be
  PackedArray<std::int32_t> bad_words;    // ids that never follow each other, -1 behind each list
  std::uint64_t tenant = 0;           // requests of equal ones share that tenant's part
  std::uint64_t cache_salt = 0;       // cached prompts are shared among equal ones only
  std::uint32_t choices = 1;          // siblings with this prompt, itself included
  std::int32_t prompt_logprobs = -1;  // alternatives for each prompt position; -1: none at all
  GrammarKind grammar = GrammarKind::none;
  std::string_view grammar_text;    // empty where the kind needs none
  std::int32_t grammar_after = -1;  // the token it begins after; -1: the first one obeys it
};

/// header.work_id is no longer wanted.
struct Cancel {
  std::uint16_t error = 0;  // troupe::Errc, why
};

/// The gateway still wants these requests. The shard's echo names those it still has, and how busy
/// it is with those of all gateways.
struct Lease {
  std::uint64_t duration_us = 0;  // from arrival
  PackedArray<std::uint64_t> work_ids;
  std::uint32_t open_tokens = 0;  // of all requests on the shard; 0 from a gateway
};

/// Why a request ended. Values travel: append only.
enum class Finish : std::uint16_t { none = 0, stop = 1, length = 2, cancelled = 3, error = 4 };

struct TokenEntry {
  std::uint32_t position = 0;  // in the sequence, prompt included, from 0
  std::int32_t token = 0;
  float logprob = 0;  // natural logarithm, of raw logits over valid ids; 0 where not wanted
  friend bool operator==(const TokenEntry&, const TokenEntry&) = default;
};
struct TokenLogprob {
  std::int32_t token = 0;
  float logprob = 0;
  friend bool operator==(const TokenLogprob&, const TokenLogprob&) = default;
};

/// Generated tokens of header.work_id; the last frame of a request names a finish reason.
struct Tokens {
  PackedArray<TokenEntry> entries;
  std::uint16_t top_count = 0;      // alternatives of each entry
  PackedArray<TokenLogprob> top;    // [entries, top_count], best first
  std::uint32_t cached_tokens = 0;  // prompt tokens that were not computed again
  std::uint32_t prompt_done = 0;    // prompt tokens whose computation is done, cached ones included
  Finish finish = Finish::none;
  std::uint16_t error = 0;  // troupe::Errc where finish is `error`
  std::string_view detail;
  std::uint64_t queue_us = 0;  // that the request waited on the shard before its first step
};

/// Logprobs of consecutive prompt positions; a request may get several frames, in order.
struct PromptLogprobs {
  std::uint32_t first_position = 1;   // of the first entry; position 0 has none
  std::uint16_t top_count = 0;        // alternatives of each entry
  PackedArray<TokenLogprob> entries;  // the prompt's own tokens
  PackedArray<TokenLogprob> top;      // [entries, top_count], best first
  PackedArray<std::uint32_t> ranks;   // of the entries, 1 the likeliest id; empty: not wanted
};

/// Values travel as bits. A row that is both (the last prompt position) has both.
enum LogitsSource : std::uint32_t { kPromptLogits = 1, kGeneratedLogits = 2 };

/// Raw F32 logits. The rows of one request may come in several frames.
/// *Shapes*: positions [rows]; data [rows, vocab] F32, at a multiple of kRowAlignment.
struct Logits {
  std::uint32_t source = 0;  // LogitsSource bits, for all rows of the frame
  std::uint32_t vocab = 0;
  PackedArray<std::uint32_t> positions;  // of the token each row was computed from
  std::span<const std::byte> data;
};

// --- Attention shard, router and expert shard. header.work_id names the work item. -------------

/// Rows of one MoE layer on their way to the router.
struct Rows {
  std::uint32_t micro_batch = 0;
  RowBlock rows;
};

/// The combined rows on their way back, in the order of the Rows frame.
struct Combined {
  std::uint32_t micro_batch = 0;
  RowBlock rows;
};

struct ExpertPair {
  std::uint32_t row = 0;  // of this frame's rows
  std::uint32_t expert = 0;
  friend auto operator<=>(const ExpertPair&, const ExpertPair&) = default;
};

/// Unique rows, each once, and which experts each is for.
struct ExpertRows {
  std::uint32_t micro_batch = 0;
  PackedArray<ExpertPair> pairs;  // strictly ascending by (expert, row)
  RowBlock rows;
};

/// Values travel: append only.
enum class PairStatus : std::uint16_t { ok = 0, not_resident = 1, overloaded = 2 };

struct ReplyPair {
  std::uint32_t row = 0;  // as in the request
  std::uint32_t expert = 0;
  std::uint16_t status = 0;  // PairStatus
  std::uint16_t reserved = 0;
  friend bool operator==(const ReplyPair&, const ReplyPair&) = default;
};

/// One row for each pair whose status is ok, in the order of `pairs`. A request's pairs may be
/// answered in several frames.
struct ExpertReply {
  std::uint32_t micro_batch = 0;
  std::uint64_t newest_term = 0;   // the newest placement the shard knows: what `not_resident`
  std::uint64_t newest_epoch = 0;  // says to look for
  PackedArray<ReplyPair> pairs;    // strictly ascending by (expert, row)
  RowBlock rows;
};

/// The work item (or request) of the header will not be done; nothing else follows for it.
struct Failed {
  std::uint16_t error = 0;           // troupe::Errc
  std::uint32_t retry_after_ms = 0;  // 0: no advice
  std::string_view detail;
};

using Body = std::variant<Hello, HelloAck, Goodbye, Submit, Cancel, Lease, Tokens, Rows, ExpertRows,
                          ExpertReply, Combined, Logits, Failed, PromptLogprobs>;

template <class X>
inline constexpr FrameKind kKindOf = FrameKind{};
template <>
inline constexpr FrameKind kKindOf<Hello> = FrameKind::hello;
template <>
inline constexpr FrameKind kKindOf<HelloAck> = FrameKind::hello_ack;
template <>
inline constexpr FrameKind kKindOf<Goodbye> = FrameKind::goodbye;
template <>
inline constexpr FrameKind kKindOf<Submit> = FrameKind::submit;
template <>
inline constexpr FrameKind kKindOf<Cancel> = FrameKind::cancel;
template <>
inline constexpr FrameKind kKindOf<Lease> = FrameKind::lease;
template <>
inline constexpr FrameKind kKindOf<Tokens> = FrameKind::tokens;
template <>
inline constexpr FrameKind kKindOf<Rows> = FrameKind::rows;
template <>
inline constexpr FrameKind kKindOf<ExpertRows> = FrameKind::expert_rows;
template <>
inline constexpr FrameKind kKindOf<ExpertReply> = FrameKind::expert_reply;
template <>
inline constexpr FrameKind kKindOf<Combined> = FrameKind::combined;
template <>
inline constexpr FrameKind kKindOf<Logits> = FrameKind::logits;
template <>
inline constexpr FrameKind kKindOf<Failed> = FrameKind::failed;
template <>
inline constexpr FrameKind kKindOf<PromptLogprobs> = FrameKind::prompt_logprobs;

}  // namespace troupe::proto
