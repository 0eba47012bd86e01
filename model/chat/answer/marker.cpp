// A few short strings: every byte is tried against each of them.
#include "model/chat/answer/marker.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace troupe::model {
namespace {

constexpr std::array<std::string_view, kMarkers> kTexts{"<think>",
                                                        "</think>",
                                                        "<｜tool▁calls▁begin｜>",
                                                        "<｜tool▁calls▁end｜>",
                                                        "<｜tool▁call▁begin｜>",
                                                        "<｜tool▁call▁end｜>",
                                                        "<｜tool▁sep｜>"};

}  // namespace

std::string_view text_of(Marker marker) { return kTexts[static_cast<std::size_t>(marker)]; }

std::optional<Marker> marker_of(std::string_view text) {
  const auto found = std::find(kTexts.begin(), kTexts.end(), text);
  if (found == kTexts.end()) return std::nullopt;
  return static_cast<Marker>(found - kTexts.begin());
}

MarkerSet spelled_markers(const Tokenizer& tokenizer) {
  MarkerSet spelled = 0;
  for (std::size_t i = 0; i < kMarkers; ++i) {
    const auto id = tokenizer.id_of(kTexts[i]);
    if (!id || !tokenizer.is_added(*id)) spelled |= bit(static_cast<Marker>(i));
  }
  return spelled;
}

MarkerFinder::Found MarkerFinder::next(std::string_view& text, MarkerSet sought) {
  Found found;
  // The markers begin with "<" and contain no other, so a candidate that fails is text up to the
  // byte that failed, which may begin the next candidate.
  while (!held_.empty() || !text.empty()) {
    bool open = held_.empty();
    if (!held_.empty()) {
      for (std::size_t i = 0; i < kMarkers; ++i) {
        if ((sought & bit(static_cast<Marker>(i))) == 0) continue;
        if (kTexts[i] == held_) {
          held_.clear();
          found.marker = static_cast<Marker>(i);
          return found;
        }
        open = open || kTexts[i].starts_with(held_);
      }
    }
    if (!open) {
      const char last = held_.back();
      const bool begins = held_.size() > 1 && last == '<';
      found.text.append(held_, 0, held_.size() - (begins ? 1 : 0));
      held_ = begins ? "<" : "";
      continue;
    }
    if (text.empty()) return found;
    if (held_.empty() && text.front() != '<') {
      const std::size_t end = std::min(text.find('<'), text.size());
      found.text.append(text.substr(0, end));
      text.remove_prefix(end);
      continue;
    }
    held_ += text.front();
    text.remove_prefix(1);
  }
  return found;
}

std::string MarkerFinder::release() { return std::exchange(held_, {}); }

}  // namespace troupe::model
