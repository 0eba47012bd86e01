// Any bytes as a configuration file: refused with the line that is wrong, or values that their
// keys take.
#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>

#include "core/check.hpp"
#include "services/runtime/config/config_file.hpp"
#include "services/runtime/config/config_keys.hpp"
#include "tests/fuzz/fuzz_target.hpp"

using namespace troupe::services;

namespace {

constexpr std::string_view kName = "x.yaml:";

/// "x.yaml:3: what": the third line of a text that has three.
void check_place(const ConfigProblem& problem, std::string_view text) {
  std::string_view said = problem.text;
  TROUPE_CHECK(said.starts_with(kName), said);
  said.remove_prefix(kName.size());
  std::ptrdiff_t line = 0;
  const auto parsed = std::from_chars(said.data(), said.data() + said.size(), line);
  // yaml-cpp counts a lone carriage return as the end of a line, too; the end of the text is a
  // place behind the last line.
  const auto lines =
      2 + std::count_if(text.begin(), text.end(), [](char c) { return c == '\n' || c == '\r'; });
  TROUPE_CHECK(parsed.ec == std::errc{} && line >= 1 && line <= lines, problem.text);
  said.remove_prefix(static_cast<std::size_t>(parsed.ptr - said.data()));
  TROUPE_CHECK(said.starts_with(": ") && said.size() > 2, problem.text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  FileValues values;
  if (const auto problem = parse_config_text("x.yaml", text, values)) {
    check_place(*problem, text);
    return 0;
  }
  ServiceConfig config;
  for (const auto& [path, value] : values) {
    const ConfigKey* key = find_config_key(path);
    TROUPE_CHECK(key != nullptr && value.line >= 1, path);
    TROUPE_CHECK(key->assign(config, value.text).has_value(), path);
  }
  return 0;
}

std::vector<std::string> fuzz_seeds() {
  return {
      "cluster:\n  name: a\n  routers: [127.0.0.1:7400, \"[::1]:7401\"]\n  lost_after_ms: 3000\n",
      "expert:\n  rank: 1\n  ranks: 2\nrouter: {placement: colocated, index: 0}\n# end\n",
      "engine:\n  threads: 4\n  mode: f32\ntransport:\n  ucx_options:\n    - TLS=tcp\n    - A=b\n",
      "log: {format: json}\nlog.level: debug\nexpret:\n  rank: 0\n",
      "---\nops: &a\n  listen: 0.0.0.0:9090\nadmin: *a\n",
      "expert:\n\trank: 1\n",
      "expert:\n  rank: 1\n}\n",
      "a: [[[[{b: ? c}]]]]\n--- |\n  text\n",
  };
}
