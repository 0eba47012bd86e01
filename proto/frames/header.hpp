// The 80 bytes every frame starts with: what it is, how long, and which question it belongs to.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace troupe::proto {

/// The protocol this build speaks, and the oldest one it still understands (N and N-1; 1 is the
/// first, so there is no older one yet).
inline constexpr std::uint16_t kProtocolVersion = 1;
inline constexpr std::uint16_t kProtocolVersionOldest = 1;

inline constexpr std::uint32_t kFrameMagic = 0x50555254;  // "TRUP" in memory order

/// What follows the header. Values travel: append only, never renumber.
enum class FrameKind : std::uint16_t {
  hello = 1,
  hello_ack = 2,
  goodbye = 3,
  submit = 4,
  cancel = 5,
  lease = 6,
  tokens = 7,
  rows = 8,
  expert_rows = 9,
  expert_reply = 10,
  combined = 11,
  logits = 12,
  failed = 13,
  prompt_logprobs = 14,
};
inline constexpr std::uint16_t kFrameKindMax = 14;

/// Short stable name, as logs and metrics spell it.
std::string_view to_string(FrameKind kind);

/// Decode goes before prefill wherever both wait. Values travel.
enum class Lane : std::uint16_t { decode = 0, prefill = 1 };
inline constexpr std::size_t kLanes = 2;

// Bounds of what a frame may say; the decoder refuses anything beyond them before it allocates.
// 128 MiB holds the largest honest frame: 512 rows x 8 experts x 7168 x 4 B = 117.4 MB (mode f32).
inline constexpr std::uint32_t kFrameBytesMax = 128u << 20;
inline constexpr std::uint32_t kRowsMax = 512;  // unique rows of one frame
inline constexpr std::uint32_t kPairsMax =
    kRowsMax * 16;                                   // (row, expert) pairs: 16 experts for each row
inline constexpr std::uint32_t kWidthMax = 65536;    // elements of a row; published models: 7168
inline constexpr std::uint32_t kExpertsMax = 65536;  // expert ids are below this
inline constexpr std::uint32_t kVocabMax = 1u << 20;  // logits of a row; published models: 163840
inline constexpr std::uint32_t kSubmitTokensMax = 1u << 20;  // prompt + replayed tokens
inline constexpr std::uint32_t kLogitBiasMax = 4096;
inline constexpr std::uint32_t kStopIdsMax = 2048;  // the API's 1024, and those of the model
inline constexpr std::uint32_t kAllowedIdsMax = kVocabMax;
inline constexpr std::uint32_t kBadWordIdsMax = 65535;         // ends of words included
inline constexpr std::uint32_t kTokensMax = 1024;              // entries of one Tokens frame
inline constexpr std::uint32_t kTopLogprobsMax = 20;           // alternatives for each of them
inline constexpr std::uint32_t kChoicesMax = 128;              // siblings with one prompt
inline constexpr std::uint32_t kGrammarBytesMax = 256u << 10;  // a JSON schema or an expression
inline constexpr std::uint32_t kLeasesMax = 4096;
inline constexpr std::size_t kRequestIdBytesMax = 64;
inline constexpr std::size_t kDetailBytesMax = 512;
inline constexpr std::size_t kJoinTokenBytes = 32;
/// Row bytes start at a multiple of this from the frame's first byte.
inline constexpr std::size_t kRowAlignment = 64;

/// Little-endian, fixed width, in this order. `encode` fills `magic`, `kind` and `total_bytes`.
/// A reply repeats work_id, attempt, layer, term and epoch of its request (proto/identity.hpp).
struct FrameHeader {
  std::uint32_t magic = kFrameMagic;
  std::uint16_t version = kProtocolVersion;
  std::uint16_t kind = 0;                // FrameKind
  std::uint32_t total_bytes = 0;         // of the whole frame, this header included
  std::uint16_t lane = 0;                // Lane
  std::uint16_t reserved = 0;            // 0
  std::uint64_t cluster_id = 0;          // one number for each cluster; others are not talked to
  std::uint64_t numerics_id = 0;         // equal ids give equal bits (design 7)
  std::uint64_t sender_incarnation = 0;  // random, drawn at each start of the sending process
  std::uint64_t work_id = 0;  // one work item of its asker, never reused; 0 where there is none
  std::uint32_t attempt = 0;  // counts how often the work item was asked, from 0
  std::int32_t layer = -1;    // decoder layer, from 0; -1 where the frame has none
  std::uint64_t term = 0;     // term and epoch of the placement the request was planned with
  std::uint64_t epoch = 0;
  std::uint64_t remaining_us =
      0;  // microseconds of the hop's budget left when it was sent; 0: none

  friend bool operator==(const FrameHeader&, const FrameHeader&) = default;
};

static_assert(std::is_trivially_copyable_v<FrameHeader>);
static_assert(sizeof(FrameHeader) == 80 && alignof(FrameHeader) == 8);
static_assert(offsetof(FrameHeader, version) == 4 && offsetof(FrameHeader, kind) == 6);
static_assert(offsetof(FrameHeader, total_bytes) == 8 && offsetof(FrameHeader, lane) == 12);
static_assert(offsetof(FrameHeader, cluster_id) == 16 && offsetof(FrameHeader, numerics_id) == 24);
static_assert(offsetof(FrameHeader, sender_incarnation) == 32);
static_assert(offsetof(FrameHeader, work_id) == 40 && offsetof(FrameHeader, attempt) == 48);
static_assert(offsetof(FrameHeader, layer) == 52 && offsetof(FrameHeader, term) == 56);
static_assert(offsetof(FrameHeader, epoch) == 64 && offsetof(FrameHeader, remaining_us) == 72);

inline constexpr std::size_t kHeaderBytes = sizeof(FrameHeader);

}  // namespace troupe::proto
