// One function per state and kind of input; what a call's head turns out to be decides its text.
#include "model/chat/answer/answer_parser.hpp"

#include <algorithm>
#include <utility>

namespace troupe::model {
namespace {

constexpr std::string_view kSpace = " \t\r\n";
constexpr std::string_view kFence = "```";

std::string_view trimmed(std::string_view text) {
  const std::size_t first = std::min(text.find_first_not_of(kSpace), text.size());
  text.remove_prefix(first);
  return text.substr(0, text.find_last_not_of(kSpace) + 1);
}

enum class Opening : std::uint8_t { complete, possible, impossible };

/// Whether `text` is white space, ``` with or without "json", and the end of that line.
Opening opening_fence(std::string_view text) {
  constexpr std::size_t kSpaceMax = 16;
  const std::size_t begin = std::min(text.find_first_not_of(kSpace), text.size());
  if (begin > kSpaceMax) return Opening::impossible;
  text.remove_prefix(begin);
  if (text.size() <= kFence.size())
    return kFence.starts_with(text) ? Opening::possible : Opening::impossible;
  if (!text.starts_with(kFence)) return Opening::impossible;
  text.remove_prefix(kFence.size());
  constexpr std::string_view kLanguage = "json";
  if (text.size() <= kLanguage.size() && kLanguage.starts_with(text)) return Opening::possible;
  if (text.starts_with(kLanguage)) text.remove_prefix(kLanguage.size());
  const std::size_t end = std::min(text.find_first_not_of(" \t\r"), text.size());
  if (end > kSpaceMax) return Opening::impossible;
  if (end == text.size()) return Opening::possible;
  return text[end] == '\n' ? Opening::complete : Opening::impossible;
}

/// Bytes at the end of `text` that may be the closing fence: a line end, ``` and white space, or
/// what has come of that. At most kTailMax.
std::size_t closing_fence(std::string_view text) {
  constexpr std::size_t kTailMax = 24;
  const std::size_t begin = text.size() - std::min(text.size(), kTailMax);
  for (std::size_t at = begin; at < text.size(); ++at) {
    if (text[at] != '\n') continue;
    std::string_view tail = text.substr(at + 1);
    if (kFence.starts_with(tail)) return text.size() - at;
    if (!tail.starts_with(kFence)) continue;
    tail.remove_prefix(kFence.size());
    if (tail.find_first_not_of(kSpace) == tail.npos) return text.size() - at;
  }
  return 0;
}

bool is_whole_fence(std::string_view text) {
  return text.size() > kFence.size() && text.substr(1).starts_with(kFence);
}

}  // namespace

AnswerParser::AnswerParser(AnswerOptions options) : options_(options) {
  if (options_.starts_in_reasoning && options_.format.reasoning) {
    state_ = State::reasoning;
    reasoned_ = true;
  }
}

std::vector<AnswerEvent> AnswerParser::feed(std::string_view text, bool added_token) {
  if (added_token) {
    const auto marker = marker_of(text);
    if (const std::string before = finder_.release(); !before.empty()) on_text(before);
    if (marker && (markers_here() & bit(*marker))) {
      on_marker(*marker);
    } else {
      on_text(text);
    }
    return std::exchange(events_, {});
  }
  while (!text.empty()) {
    const auto found = finder_.next(text, markers_here() & options_.spelled);
    if (!found.text.empty()) on_text(found.text);
    if (!found.marker) continue;
    // The text before it may have led to a state where this is no marker; never to one where more
    // are, so that the cut of the pieces does not matter.
    if (markers_here() & bit(*found.marker)) {
      on_marker(*found.marker);
    } else {
      on_text(text_of(*found.marker));
    }
  }
  return std::exchange(events_, {});
}

std::vector<AnswerEvent> AnswerParser::finish() {
  if (const std::string before = finder_.release(); !before.empty()) on_text(before);
  switch (state_) {
    case State::calls:
      if (!trimmed(raw_).empty()) no_call();
      break;
    case State::head: no_call(); break;
    case State::fence:
    case State::arguments: end_call(); break;
    default: break;
  }
  state_ = State::content;
  raw_.clear();
  return std::exchange(events_, {});
}

MarkerSet AnswerParser::markers_here() const {
  const bool calls = options_.format.tool_calls != ToolCallFormat::none;
  const MarkerSet begins = calls ? bit(Marker::calls_begin) | bit(Marker::call_begin) : 0;
  const MarkerSet ends = bit(Marker::call_end) | bit(Marker::calls_end);
  switch (state_) {
    case State::content:
      return begins | (options_.format.reasoning && !reasoned_ ? bit(Marker::think_begin) : 0);
    case State::reasoning: return begins | bit(Marker::think_end);
    case State::calls: return begins | bit(Marker::calls_end);
    case State::head: return begins | ends | bit(Marker::separator);
    case State::fence:
    case State::arguments: return begins | ends;
  }
  return 0;
}

void AnswerParser::emit(AnswerEvent::Kind kind, std::string_view text) {
  if (kind == AnswerEvent::Kind::tool_call_arguments && !text.empty()) argued_ = true;
  const bool part = kind == AnswerEvent::Kind::content || kind == AnswerEvent::Kind::reasoning ||
                    kind == AnswerEvent::Kind::tool_call_arguments;
  if (part && text.empty()) return;
  const bool of_call = kind != AnswerEvent::Kind::content && kind != AnswerEvent::Kind::reasoning;
  if (part && !events_.empty() && events_.back().kind == kind) {
    events_.back().text += text;
  } else {
    events_.push_back({kind, of_call ? call_ : -1, std::string(text)});
  }
}

void AnswerParser::on_text(std::string_view text) {
  switch (state_) {
    case State::content:
      if (text.find_first_not_of(kSpace) != text.npos) reasoned_ = true;
      emit(AnswerEvent::Kind::content, text);
      break;
    case State::reasoning: emit(AnswerEvent::Kind::reasoning, text); break;
    case State::calls: between_calls(text); break;
    case State::head: on_head(text); break;
    case State::fence: on_fence(text); break;
    case State::arguments: on_arguments(text); break;
  }
}

void AnswerParser::on_marker(Marker marker) {
  switch (state_) {
    case State::head: on_head_marker(marker); return;
    case State::fence:
    case State::arguments: end_call(); break;
    case State::reasoning:
      if (marker == Marker::think_end) {
        state_ = State::content;
        return;
      }
      break;
    case State::content:
      if (marker == Marker::think_begin) {
        state_ = State::reasoning;
        reasoned_ = true;
        return;
      }
      break;
    case State::calls: break;
  }
  on_region_marker(marker);
}

void AnswerParser::on_region_marker(Marker marker) {
  reasoned_ = true;
  switch (marker) {
    case Marker::calls_begin:
      if (state_ == State::calls && !trimmed(raw_).empty()) no_call();
      raw_ = text_of(marker);
      state_ = State::calls;
      break;
    case Marker::call_begin:
      raw_ += text_of(marker);
      head_begin_ = raw_.size();
      name_begin_ = 0;
      state_ = State::head;
      break;
    case Marker::calls_end:
      if (state_ == State::calls && !trimmed(raw_).empty()) {  // a region without a call
        raw_ += text_of(marker);
        no_call();
      }
      raw_.clear();
      state_ = State::content;
      break;
    default: break;  // call_end: the call has ended before
  }
}

// White space, or what belongs to no call.
void AnswerParser::between_calls(std::string_view text) {
  for (std::size_t at = 0; at < text.size(); ++at) {
    raw_ += text[at];
    if (kSpace.find(text[at]) != kSpace.npos && raw_.size() < kHeadBytesMax) continue;
    no_call();
    if (at + 1 < text.size()) on_text(text.substr(at + 1));
    return;
  }
}

void AnswerParser::no_call() {
  emit(AnswerEvent::Kind::content, std::exchange(raw_, {}));
  state_ = State::content;
}

// type<sep>name\n, or name<sep>.
void AnswerParser::on_head(std::string_view text) {
  for (std::size_t at = 0; at < text.size(); ++at) {
    raw_ += text[at];
    if (name_begin_ > 0 && text[at] == '\n') {
      const std::string_view name = trimmed(std::string_view(raw_).substr(name_begin_));
      if (name.empty()) continue;
      begin_call(name);
      if (at + 1 < text.size()) on_text(text.substr(at + 1));
      return;
    }
    if (raw_.size() - head_begin_ > kHeadBytesMax) {
      no_call();
      if (at + 1 < text.size()) on_text(text.substr(at + 1));
      return;
    }
  }
}

void AnswerParser::on_head_marker(Marker marker) {
  const bool v3 = options_.format.tool_calls == ToolCallFormat::deepseek_v3;
  if (marker == Marker::separator && name_begin_ == 0) {
    const std::string_view before = trimmed(std::string_view(raw_).substr(head_begin_));
    if (v3) {
      raw_ += text_of(marker);
      name_begin_ = raw_.size();
      return;
    }
    if (!before.empty()) {
      begin_call(std::string(before));
      return;
    }
  } else if (marker == Marker::call_end && name_begin_ > 0) {  // a name and nothing else
    const std::string name(trimmed(std::string_view(raw_).substr(name_begin_)));
    if (!name.empty()) {
      begin_call(name);
      end_call();
      return;
    }
  }
  if (marker == Marker::calls_begin || marker == Marker::call_begin) {
    no_call();
    on_marker(marker);
    return;
  }
  raw_ += text_of(marker);
  no_call();
}

void AnswerParser::begin_call(std::string_view name) {
  ++call_;
  emit(AnswerEvent::Kind::tool_call_begin, name);
  raw_.clear();
  held_.clear();
  fenced_ = false;
  argued_ = false;
  state_ = State::fence;
}

void AnswerParser::on_fence(std::string_view text) {
  for (std::size_t at = 0; at < text.size(); ++at) {
    held_ += text[at];
    const Opening opening = opening_fence(held_);
    if (opening == Opening::possible) continue;
    fenced_ = opening == Opening::complete;
    state_ = State::arguments;
    const std::string before = std::exchange(held_, {});
    if (!fenced_) on_arguments(before);
    if (at + 1 < text.size()) on_arguments(text.substr(at + 1));
    return;
  }
}

void AnswerParser::on_arguments(std::string_view text) {
  if (!fenced_) {
    emit(AnswerEvent::Kind::tool_call_arguments, text);
    return;
  }
  // Byte by byte, so that what is held depends on the text alone and not on its pieces.
  for (const char byte : text) {
    held_ += byte;
    const std::size_t free = held_.size() - closing_fence(held_);
    emit(AnswerEvent::Kind::tool_call_arguments, std::string_view(held_).substr(0, free));
    held_.erase(0, free);
  }
}

void AnswerParser::end_call() {
  if (state_ == State::fence || !is_whole_fence(held_))
    emit(AnswerEvent::Kind::tool_call_arguments, held_);
  held_.clear();
  if (!argued_) emit(AnswerEvent::Kind::tool_call_arguments, "{}");
  emit(AnswerEvent::Kind::tool_call_end, {});
  raw_.clear();
  state_ = State::calls;
}

}  // namespace troupe::model
