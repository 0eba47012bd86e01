// PreTokenizer on PCRE2: compiled once with the JIT where the machine allows it, bounded per match.
#define PCRE2_CODE_UNIT_WIDTH 8
#include "model/tokenizer/pre_tokenizer.hpp"

#include <pcre2.h>

#include <algorithm>
#include <limits>

#include "model/tokenizer/split_pattern.hpp"
#include "model/tokenizer/utf8.hpp"

namespace troupe::model {
namespace {

constexpr std::uint32_t kHeapKib = 512 * 1024;  // the interpreter's backtracking frames: 512 MiB
constexpr std::size_t kStepsBase = 100'000;     // see split(): a run of n spaces needs about 2 n
constexpr std::size_t kStepsPerByte = 16;

// The pattern that ByteLevel itself applies with use_regex.
// Source: GPT-2 (Radford et al. 2019), encoder.py; the same in Hugging Face `tokenizers`.
constexpr std::string_view kByteLevelPattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

std::string pcre2_message(int code) {
  PCRE2_UCHAR text[256];
  if (pcre2_get_error_message(code, text, sizeof text) < 0) return "error " + std::to_string(code);
  return reinterpret_cast<const char*>(text);
}

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeMatchData {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
struct FreeMatchContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};
struct FreeCompileContext {
  void operator()(pcre2_compile_context* context) const { pcre2_compile_context_free(context); }
};

}  // namespace

struct PreTokenizer::Code {
  std::unique_ptr<pcre2_code, FreeCode> compiled;
};

struct PreTokenizer::Scratch {
  std::unique_ptr<pcre2_match_data, FreeMatchData> data{pcre2_match_data_create(1, nullptr)};
  std::unique_ptr<pcre2_match_context, FreeMatchContext> context{
      pcre2_match_context_create(nullptr)};

  /// The next match in `piece` from `from`, or an empty optional.
  Expected<bool> search(const Code& code, std::string_view piece, std::size_t from) {
    const std::size_t steps = kStepsBase + kStepsPerByte * piece.size();
    pcre2_set_match_limit(context.get(), static_cast<std::uint32_t>(std::min<std::size_t>(
                                             steps, std::numeric_limits<std::uint32_t>::max())));
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(piece.data());
    int found = pcre2_match(code.compiled.get(), subject, piece.size(), from, PCRE2_NO_UTF_CHECK,
                            data.get(), context.get());
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) {  // deep backtracking: the interpreter has a heap
      found = pcre2_match(code.compiled.get(), subject, piece.size(), from,
                          PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data.get(), context.get());
    }
    if (found == PCRE2_ERROR_NOMATCH) return false;
    if (found < 0) {
      return unexpected(Errc::resource_exhausted,
                        "a split pattern of tokenizer.json gave up on a piece of " +
                            std::to_string(piece.size()) + " bytes: " + pcre2_message(found) +
                            "; shorten the text");
    }
    const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(data.get());
    begin = offsets[0];
    end = offsets[1];
    return true;
  }

  std::size_t begin = 0;  // of the last match
  std::size_t end = 0;
};

PreTokenizer::PreTokenizer() = default;
PreTokenizer::PreTokenizer(PreTokenizer&&) noexcept = default;
PreTokenizer& PreTokenizer::operator=(PreTokenizer&&) noexcept = default;
PreTokenizer::~PreTokenizer() = default;

Expected<PreTokenizer> PreTokenizer::build(const PreTokenizerSpec& spec) {
  PreTokenizer result;
  std::vector<std::string> patterns = spec.patterns;
  result.prefix_step_ = patterns.size();
  result.add_prefix_space_ = spec.add_prefix_space;
  if (spec.use_regex) patterns.push_back(*translate_split_pattern(kByteLevelPattern));
  const std::unique_ptr<pcre2_compile_context, FreeCompileContext> context(
      pcre2_compile_context_create(nullptr));
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);  // `.` leaves out \n only, as in Oniguruma
  for (std::size_t i = 0; i < patterns.size(); ++i) {
    int error = 0;
    PCRE2_SIZE offset = 0;
    pcre2_code* code =
        pcre2_compile(reinterpret_cast<PCRE2_SPTR>(patterns[i].data()), patterns[i].size(),
                      PCRE2_UTF | PCRE2_UCP, &error, &offset, context.get());
    if (code == nullptr) {
      return unexpected(Errc::unsupported, "split pattern " + std::to_string(i) +
                                               ": PCRE2 says \"" + pcre2_message(error) +
                                               "\" at byte " + std::to_string(offset) + " of " +
                                               patterns[i]);
    }
    result.codes_.push_back({std::unique_ptr<pcre2_code, FreeCode>(code)});
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // without a JIT the interpreter gives the same
  }
  return result;
}

Expected<void> PreTokenizer::split(std::string_view text, const Emit& emit) const {
  Scratch scratch;
  if (scratch.data == nullptr || scratch.context == nullptr) {
    return unexpected(Errc::resource_exhausted, "no memory to match split patterns");
  }
  pcre2_set_heap_limit(scratch.context.get(), kHeapKib);
  if (text.empty()) return {};
  return run(0, text, scratch, emit);
}

/// Hands `piece` (not empty) through the splits from `step` on.
Expected<void> PreTokenizer::run(std::size_t step, std::string_view piece, Scratch& scratch,
                                 const Emit& emit) const {
  if (add_prefix_space_ && step == prefix_step_ && piece.front() != ' ') {
    std::string prefixed(1, ' ');
    prefixed += piece;
    return run(step, prefixed, scratch, emit);
  }
  if (step == codes_.size()) {
    emit(piece);
    return {};
  }
  const auto next = [&](std::size_t begin, std::size_t end) -> Expected<void> {
    if (begin == end) return {};
    return run(step + 1, piece.substr(begin, end - begin), scratch, emit);
  };
  std::size_t done = 0;                           // up to here pieces are handed on
  std::size_t from = 0;                           // where the next search starts
  std::size_t last_end = std::string_view::npos;  // an empty match there is not a new one
  while (from <= piece.size()) {
    const auto found = scratch.search(codes_[step], piece, from);
    if (!found) return unexpected(found.error());
    if (!*found) break;
    const std::size_t begin = scratch.begin;  // the recursion below overwrites them
    const std::size_t end = scratch.end;
    if (begin == end && end == last_end) {
      if (end == piece.size()) break;
      from = end + code_point_at(piece, end).bytes;
      continue;
    }
    if (auto sent = next(done, begin); !sent) return sent;
    if (auto sent = next(begin, end); !sent) return sent;
    done = from = last_end = end;
  }
  return next(done, piece.size());
}

}  // namespace troupe::model
