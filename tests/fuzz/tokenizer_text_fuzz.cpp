// Any bytes as text are refused as not UTF-8 or come back from their ids, whole and in segments.
#include <filesystem>

#include "core/check.hpp"
#include "model/tokenizer/detokenizer.hpp"
#include "model/tokenizer/tokenizer.hpp"
#include "model/tokenizer/utf8.hpp"
#include "tests/fuzz/fuzz_target.hpp"
#include "tests/support/source_dir.hpp"

using namespace troupe::model;

std::vector<std::string> fuzz_seeds() {
  return {"Hello, world! 12345 <｜User｜>hi<think>\n\n  x", "中文かな 한국어\r\n\t \u3000e\u0301",
          "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜", "\u180e\u0378\u200b \U0001f600\U0010ffff",
          std::string(300, 'a') + std::string(100, ' ')};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Tokenizer tokenizer =
      Tokenizer::load(std::filesystem::path(troupe::kSourceDir) / "examples/troupe-tiny").value();
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto ids = tokenizer.encode(text);
  const auto plain = tokenizer.encode(text, {.recognize_added_tokens = false});
  TROUPE_CHECK(ids.has_value() == !first_invalid_utf8(text), text);
  TROUPE_CHECK(ids.has_value() == plain.has_value(), text);
  std::string assembled;
  Utf8Assembler assembler;
  for (const char byte : text) assembler.push({&byte, 1}, assembled);
  assembler.finish(assembled);
  TROUPE_CHECK(!first_invalid_utf8(assembled), text);
  if (!ids) return 0;
  TROUPE_CHECK(assembled == text, text);
  TROUPE_CHECK(tokenizer.decode(*ids) == text, text);
  TROUPE_CHECK(tokenizer.decode(*plain) == text, text);
  const std::size_t cut = size / 3;
  const std::string_view view(text);
  const Segment segments[] = {{view.substr(0, cut), true}, {view.substr(cut), true}};
  TROUPE_CHECK(tokenizer.encode_segments(segments).value() == *ids, text);
  const Segment stranger[] = {{view.substr(0, cut), false}, {view.substr(cut), false}};
  TROUPE_CHECK(tokenizer.encode_segments(stranger).value() == *plain, text);
  return 0;
}
