// Builds the byte alphabet once: 188 bytes stand for themselves, 68 are moved to U+0100..U+0143.
#include "model/tokenizer/byte_alphabet.hpp"

#include <array>

#include "model/tokenizer/utf8.hpp"

namespace troupe::model {
namespace {

constexpr int kCharEnd = 0x144;  // 256 + 68, one past the last character of the alphabet

constexpr bool stands_for_itself(int byte) {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

struct Alphabet {
  std::array<std::uint16_t, 256> to_char{};
  std::array<std::int16_t, kCharEnd> to_byte{};

  constexpr Alphabet() {
    to_byte.fill(-1);
    int moved = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      const int spelled = stands_for_itself(byte) ? byte : moved++;
      to_char[byte] = static_cast<std::uint16_t>(spelled);
      to_byte[spelled] = static_cast<std::int16_t>(byte);
    }
  }
};

constexpr Alphabet kAlphabet;
static_assert(kAlphabet.to_char[' '] == 0x120 && kAlphabet.to_char[0xad] == kCharEnd - 1);

}  // namespace

char32_t char_of_byte(std::uint8_t byte) { return kAlphabet.to_char[byte]; }

std::optional<std::string> bytes_of_token_text(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint spelled = code_point_at(text, at);
    if (spelled.value >= kCharEnd || kAlphabet.to_byte[spelled.value] < 0) return std::nullopt;
    bytes += static_cast<char>(kAlphabet.to_byte[spelled.value]);
    at += spelled.bytes;
  }
  return bytes;
}

}  // namespace troupe::model
