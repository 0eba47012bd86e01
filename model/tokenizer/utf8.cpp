// UTF-8 by table 3-7 of the Unicode standard: a lead byte gives length and bounds of the next byte.
#include "model/tokenizer/utf8.hpp"

#include <algorithm>
#include <cstring>

namespace troupe::model {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD

struct Lead {
  std::size_t missing_bytes = 0;  // 0 with a byte >= 80: no sequence starts with it
  std::uint8_t low = 0x80;
  std::uint8_t high = 0xbf;
};

Lead classify(std::uint8_t byte) {
  if (byte >= 0xc2 && byte <= 0xdf) return {1, 0x80, 0xbf};
  if (byte == 0xe0) return {2, 0xa0, 0xbf};
  if (byte == 0xed) return {2, 0x80, 0x9f};
  if (byte >= 0xe1 && byte <= 0xef) return {2, 0x80, 0xbf};
  if (byte == 0xf0) return {3, 0x90, 0xbf};
  if (byte >= 0xf1 && byte <= 0xf3) return {3, 0x80, 0xbf};
  if (byte == 0xf4) return {3, 0x80, 0x8f};
  return {};
}

/// Bytes of `text` from `at` that are ASCII, found eight at a time.
std::size_t ascii_run(std::string_view text, std::size_t at) {
  const std::size_t start = at;
  for (; at + 8 <= text.size(); at += 8) {
    std::uint64_t word;
    std::memcpy(&word, text.data() + at, sizeof word);
    if ((word & 0x8080808080808080u) != 0) break;
  }
  while (at < text.size() && static_cast<std::uint8_t>(text[at]) < 0x80) ++at;
  return at - start;
}

}  // namespace

std::optional<std::size_t> first_invalid_utf8(std::string_view text) {
  std::size_t at = 0;
  while ((at += ascii_run(text, at)) < text.size()) {
    Lead lead = classify(static_cast<std::uint8_t>(text[at]));
    if (lead.missing_bytes == 0 || text.size() - at <= lead.missing_bytes) return at;
    for (std::size_t i = 1; i <= lead.missing_bytes; ++i) {
      const auto byte = static_cast<std::uint8_t>(text[at + i]);
      if (byte < lead.low || byte > lead.high) return at;
      lead.low = 0x80;
      lead.high = 0xbf;
    }
    at += lead.missing_bytes + 1;
  }
  return std::nullopt;
}

std::string utf8_prefix(std::string_view text, std::size_t bytes_max) {
  std::size_t end = std::min(bytes_max, text.size());
  const auto continues = [text](std::size_t at) {
    return at < text.size() && (static_cast<std::uint8_t>(text[at]) & 0xc0) == 0x80;
  };
  while (end > 0 && continues(end)) --end;
  return std::string(text.substr(0, end));
}

std::string utf8_of(char32_t code_point) {
  std::string out;
  const auto continuation = [&](int shift) {
    out += static_cast<char>(0x80 | ((code_point >> shift) & 0x3f));
  };
  if (code_point < 0x80) {
    out += static_cast<char>(code_point);
  } else if (code_point < 0x800) {
    out += static_cast<char>(0xc0 | (code_point >> 6));
    continuation(0);
  } else if (code_point < 0x10000) {
    out += static_cast<char>(0xe0 | (code_point >> 12));
    continuation(6);
    continuation(0);
  } else {
    out += static_cast<char>(0xf0 | (code_point >> 18));
    continuation(12);
    continuation(6);
    continuation(0);
  }
  return out;
}

CodePoint code_point_at(std::string_view text, std::size_t at) {
  const auto lead = static_cast<std::uint8_t>(text[at]);
  if (lead < 0x80) return {lead, 1};
  const std::size_t missing = classify(lead).missing_bytes;
  char32_t value = lead & (0x3fu >> missing);
  for (std::size_t i = 1; i <= missing; ++i) {
    value = (value << 6) | (static_cast<std::uint8_t>(text[at + i]) & 0x3f);
  }
  return {value, missing + 1};
}

void Utf8Assembler::push(std::string_view bytes, std::string& out) {
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    if (pending_bytes_ == 0) {
      const std::size_t run = ascii_run(bytes, at);
      out.append(bytes, at, run);
      at += run;
      if (at == bytes.size()) return;
    }
    push_byte(static_cast<std::uint8_t>(bytes[at]), out);
  }
}

void Utf8Assembler::push_byte(std::uint8_t byte, std::string& out) {
  if (pending_bytes_ > 0) {
    if (byte < next_low_ || byte > next_high_) {
      finish(out);
    } else {
      pending_[pending_bytes_++] = static_cast<char>(byte);
      next_low_ = 0x80;
      next_high_ = 0xbf;
      if (--missing_bytes_ > 0) return;
      if (holds_surrogate()) return finish(out);
      out.append(pending_.data(), pending_bytes_);
      pending_bytes_ = 0;
      return;
    }
  }
  const Lead lead = classify(byte);
  if (byte < 0x80) {
    out += static_cast<char>(byte);
  } else if (lead.missing_bytes == 0) {
    out += kReplacement;
  } else {
    pending_[0] = static_cast<char>(byte);
    pending_bytes_ = 1;
    missing_bytes_ = lead.missing_bytes;
    next_low_ = lead.low;
    next_high_ = byte == 0xed ? 0xbf : lead.high;
  }
}

bool Utf8Assembler::holds_surrogate() const {
  return pending_bytes_ > 1 && pending_[0] == '\xed' &&
         static_cast<std::uint8_t>(pending_[1]) >= 0xa0;
}

void Utf8Assembler::finish(std::string& out) {
  const std::size_t characters =
      holds_surrogate() ? pending_bytes_ : std::min<std::size_t>(pending_bytes_, 1);
  for (std::size_t i = 0; i < characters; ++i) out += kReplacement;
  pending_bytes_ = 0;
  missing_bytes_ = 0;
}

}  // namespace troupe::model
