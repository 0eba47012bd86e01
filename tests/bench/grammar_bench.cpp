// What structured output costs: compiling a grammar, the mask of a state when it is first met and
// when it is known, taking a token.
//   TROUPE_BENCH_TOKENIZER=DIR bench_grammar        (DIR with tokenizer.json)
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>

#include "core/check.hpp"
#include "model/grammar/grammar.hpp"

namespace troupe::model {
namespace {

struct Example {
  const char* name;
  GrammarSpec spec;
  const char* text;  // one that fits, taken byte by byte
};

std::vector<Example> examples() {
  using Kind = GrammarSpec::Kind;
  return {{"json_object", {Kind::json_object, ""}, R"({"name": "Ada", "tags": [1, {"x": null}]})"},
          {"person",
           {Kind::json_schema, R"({"type": "object", "properties": {"name": {"type": "string"},
          "age": {"type": "integer", "minimum": 0, "maximum": 150},
          "mail": {"type": "string", "format": "email"},
          "tags": {"type": "array", "items": {"enum": ["red", "green", "blue"]}, "maxItems": 5}},
          "required": ["name", "age", "mail", "tags"], "additionalProperties": false})"},
           R"({"name": "Ada", "age": 36, "mail": "ada@example.org", "tags": ["red", "blue"]})"},
          {"tree",
           {Kind::json_schema, R"({"$defs": {"n": {"type": "object", "properties": {
          "value": {"type": "string", "maxLength": 200},
          "children": {"type": "array", "items": {"$ref": "#/$defs/n"}}},
          "required": ["value", "children"]}}, "$ref": "#/$defs/n"})"},
           R"({"value": "root", "children": [{"value": "leaf", "children": []}]})"},
          {"regex",
           {Kind::regex, "(\\d{3}-){2}\\d{4}( [A-Za-z]{1,20}){1,3}"},
           "555-123-4567 Ada Byron"}};
}

std::shared_ptr<const TokenTable> table() {
  static const auto shared = [] {
    const char* dir = std::getenv("TROUPE_BENCH_TOKENIZER");
    TROUPE_CHECK(dir != nullptr, "TROUPE_BENCH_TOKENIZER names no directory");
    return std::make_shared<const TokenTable>(Tokenizer::load(dir).value());
  }();
  return shared;
}

std::vector<GrammarState> states_of(const std::shared_ptr<const Grammar>& grammar,
                                    std::string_view text) {
  std::vector<GrammarState> states{GrammarState(grammar)};
  for (const char byte : text) {
    GrammarState next = states.back();
    for (std::int32_t id = 0; id < table()->size(); ++id) {
      if (table()->bytes_of(id) == std::string_view(&byte, 1)) {
        TROUPE_CHECK(next.advance(id), text);
        break;
      }
    }
    states.push_back(next);
  }
  TROUPE_CHECK(states.back().complete(), text);
  return states;
}

void compiles(benchmark::State& bench, const Example& example) {
  for (auto _ : bench) benchmark::DoNotOptimize(Grammar::compile(example.spec, table()));
}

// Masks of all states along the text, by a grammar that has just been compiled.
void first_masks(benchmark::State& bench, const Example& example) {
  std::vector<std::uint64_t> allowed(2020);
  std::size_t masks = 0;
  for (auto _ : bench) {
    bench.PauseTiming();
    const auto states = states_of(Grammar::compile(example.spec, table()).value(), example.text);
    bench.ResumeTiming();
    for (const auto& state : states) state.mask(allowed, {});
    masks += states.size();
  }
  bench.counters["per mask"] = benchmark::Counter(
      static_cast<double>(masks), benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void slowest_first_mask(benchmark::State& bench, const Example& example) {
  std::vector<std::uint64_t> allowed(2020);
  double slowest = 0;
  for (auto _ : bench) {
    bench.PauseTiming();
    const auto states = states_of(Grammar::compile(example.spec, table()).value(), example.text);
    bench.ResumeTiming();
    for (const auto& state : states) {
      const auto begin = std::chrono::steady_clock::now();
      state.mask(allowed, {});
      const std::chrono::duration<double, std::micro> took =
          std::chrono::steady_clock::now() - begin;
      slowest = std::max(slowest, took.count());
    }
  }
  bench.counters["slowest us"] = slowest;
}

void known_masks(benchmark::State& bench, const Example& example) {
  const auto states = states_of(Grammar::compile(example.spec, table()).value(), example.text);
  std::vector<std::uint64_t> allowed(2020);
  for (const auto& state : states) state.mask(allowed, {});
  std::size_t masks = 0;
  for (auto _ : bench) {
    for (const auto& state : states) state.mask(allowed, {});
    masks += states.size();
  }
  bench.counters["per mask"] = benchmark::Counter(
      static_cast<double>(masks), benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

}  // namespace
}  // namespace troupe::model

int main(int argc, char** argv) {
  using namespace troupe::model;
  table();  // loading it is no part of what is measured
  for (const Example& example : examples()) {
    const std::string name = example.name;
    const auto add = [&](const char* what, void (*run)(benchmark::State&, const Example&)) {
      return benchmark::RegisterBenchmark((what + ("/" + name)).c_str(),
                                          [=](benchmark::State& bench) { run(bench, example); });
    };
    add("compile", compiles)->Unit(benchmark::kMillisecond);
    add("first_mask", first_masks)->Unit(benchmark::kMillisecond);
    add("slowest_first_mask", slowest_first_mask)->Unit(benchmark::kMillisecond);
    add("known_mask", known_masks)->Unit(benchmark::kMicrosecond);
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
