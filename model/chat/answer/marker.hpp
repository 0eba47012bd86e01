// The markers that structure DeepSeek's answers, and finding them in plain text.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "model/tokenizer/tokenizer.hpp"

namespace troupe::model {

enum class Marker : std::uint8_t {
  think_begin,
  think_end,
  calls_begin,
  calls_end,
  call_begin,
  call_end,
  separator
};
inline constexpr std::size_t kMarkers = 7;

/// Bit per Marker.
using MarkerSet = std::uint8_t;
constexpr MarkerSet bit(Marker marker) {
  return static_cast<MarkerSet>(1u << static_cast<unsigned>(marker));
}

/// "<think>", "<｜tool▁calls▁begin｜>", ... *Source*: specification 7.2.
std::string_view text_of(Marker marker);
/// The marker that is spelled exactly so.
std::optional<Marker> marker_of(std::string_view text);

/// The markers that are not added tokens of this tokenizer: models over it spell them in text.
MarkerSet spelled_markers(const Tokenizer& tokenizer);

/// Cuts a text into markers and what is between them, holding back the longest end that can still
/// become a marker.
class MarkerFinder {
 public:
  struct Found {
    std::string text;              // before the marker
    std::optional<Marker> marker;  // nothing: the text goes on
  };
  /// Takes text up to the first of `sought`; what follows it is left in `text`. The markers sought
  /// may change from call to call.
  Found next(std::string_view& text, MarkerSet sought);
  /// What is held back, which will not become a marker.
  std::string release();

 private:
  std::string held_;
};

}  // namespace troupe::model
