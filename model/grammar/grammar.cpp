// From a spec to its automaton, and one sequence's way through it.
#include "model/grammar/grammar.hpp"

#include <algorithm>
#include <mutex>
#include <string>

#include "model/grammar/automaton.hpp"
#include "model/grammar/call_language.hpp"
#include "model/grammar/configurations.hpp"
#include "model/grammar/regex.hpp"
#include "model/grammar/schema.hpp"

namespace troupe::model {
namespace {

Expected<void> write_spec(grammar::Nfa& nfa, const GrammarSpec& spec, const TokenTable& tokens,
                          const GrammarLimits& limits) {
  if (spec.text.size() > limits.spec_bytes_max) {
    return unexpected(Errc::resource_exhausted,
                      "the grammar has " + std::to_string(spec.text.size()) +
                          " bytes, the limit is " + std::to_string(limits.spec_bytes_max));
  }
  if (spec.kind == GrammarSpec::Kind::json_object) return grammar::write_json_object(nfa);
  if (spec.kind == GrammarSpec::Kind::json_schema)
    return grammar::write_schema(nfa, spec.text, limits);
  if (spec.kind == GrammarSpec::Kind::tool_calls)
    return grammar::write_tool_calls(nfa, spec.text, tokens, limits);
  if (spec.kind != GrammarSpec::Kind::regex)
    return unexpected(Errc::invalid_argument, "no grammar was asked for");
  const auto regex = grammar::parse_regex(spec.text, grammar::Anchoring::whole, limits);
  if (!regex) return unexpected(regex.error());
  const grammar::RuleId rule = nfa.add_rule();
  nfa.epsilon(grammar::write_regex(nfa, nfa.rule_begin(rule), *regex, grammar::Spelling::plain),
              nfa.rule_end(rule));
  return {};
}

std::array<bool, 256> usable_bytes(const TokenTable& tokens) {
  std::array<bool, 256> usable{};
  for (std::size_t byte = 0; byte < usable.size(); ++byte)
    usable[byte] = tokens.has_byte(static_cast<std::uint8_t>(byte));
  return usable;
}

void clear_bit(std::span<std::uint64_t> bits, std::int32_t id) {
  const auto index = static_cast<std::size_t>(id);
  if (id >= 0 && index / 64 < bits.size()) bits[index / 64] &= ~(1ull << (index % 64));
}

void set_bit(std::span<std::uint64_t> bits, std::int32_t id) {
  const auto index = static_cast<std::size_t>(id);
  if (id >= 0 && index / 64 < bits.size()) bits[index / 64] |= 1ull << (index % 64);
}

void allow_below(std::span<std::uint64_t> bits, std::int32_t end) {
  const auto ids = static_cast<std::size_t>(end);
  for (std::size_t word = 0; word < bits.size() && word * 64 < ids; ++word) {
    const std::size_t rest = ids - word * 64;
    bits[word] = rest >= 64 ? ~0ull : (1ull << rest) - 1;
  }
}

bool any_bit(std::span<const std::uint64_t> bits) {
  return std::any_of(bits.begin(), bits.end(), [](std::uint64_t word) { return word != 0; });
}

}  // namespace

struct Grammar::Machine {
  Machine(grammar::Automaton automaton, const GrammarLimits& limits,
          std::shared_ptr<const TokenTable> table)
      : tokens(std::move(table)), configurations(std::move(automaton), limits) {}

  std::shared_ptr<const TokenTable> tokens;
  std::mutex mutex;  // guards configurations
  grammar::Configurations configurations;
};

Grammar::Grammar(std::unique_ptr<Machine> machine) : machine_(std::move(machine)) {}
Grammar::~Grammar() = default;

std::size_t Grammar::bytes() const {
  const std::lock_guard lock(machine_->mutex);
  return sizeof(*this) + sizeof(Machine) + machine_->configurations.bytes();
}

Expected<std::shared_ptr<const Grammar>> Grammar::compile(const GrammarSpec& spec,
                                                          std::shared_ptr<const TokenTable> tokens,
                                                          const GrammarLimits& limits) {
  grammar::Nfa nfa(limits.nfa_states_max);
  if (auto written = write_spec(nfa, spec, *tokens, limits); !written)
    return unexpected(written.error());
  auto automaton = grammar::make_automaton(nfa, usable_bytes(*tokens), limits);
  if (!automaton) return unexpected(automaton.error());
  auto machine = std::make_unique<Machine>(std::move(*automaton), limits, std::move(tokens));
  return std::shared_ptr<const Grammar>(new Grammar(std::move(machine)));
}

GrammarState::GrammarState(std::shared_ptr<const Grammar> grammar, std::int32_t begin_after)
    : grammar_(std::move(grammar)),
      at_(grammar_->machine_->configurations.start()),
      begin_after_(begin_after) {}

bool GrammarState::advance(std::int32_t token) {
  Grammar::Machine& machine = *grammar_->machine_;
  if (begin_after_ >= 0) {
    const auto markers = machine.tokens->call_markers();
    if (std::find(markers.begin(), markers.end(), token) != markers.end()) return false;
    if (token == begin_after_) begin_after_ = -1;
    return true;
  }
  const std::string_view text = machine.tokens->bytes_of(token);
  if (text.empty()) return false;
  const std::lock_guard lock(machine.mutex);
  auto next = machine.configurations.after(at_, text);
  if (next == nullptr) return false;
  at_ = std::move(next);
  return true;
}

void GrammarState::mask(std::span<std::uint64_t> allowed,
                        std::span<const std::int32_t> stop_ids) const {
  std::fill(allowed.begin(), allowed.end(), 0);
  Grammar::Machine& machine = *grammar_->machine_;
  if (begin_after_ >= 0) {
    allow_below(allowed, std::max(machine.tokens->size(), begin_after_ + 1));
    for (const std::int32_t id : stop_ids) clear_bit(allowed, id);
    for (const std::int32_t id : machine.tokens->call_markers()) clear_bit(allowed, id);
    set_bit(allowed, begin_after_);
    return;
  }
  {
    const std::lock_guard lock(machine.mutex);
    machine.configurations.add_allowed(at_, *machine.tokens, allowed);
  }
  if (complete()) {
    for (const std::int32_t id : stop_ids) set_bit(allowed, id);
    return;
  }
  std::vector<std::int32_t> cleared;
  for (const std::int32_t id : stop_ids) {
    const auto index = static_cast<std::size_t>(id);
    if (id < 0 || index / 64 >= allowed.size() || (allowed[index / 64] >> (index % 64) & 1) == 0)
      continue;
    clear_bit(allowed, id);
    cleared.push_back(id);
  }
  if (cleared.empty() || any_bit(allowed)) return;
  for (const std::int32_t id : cleared) set_bit(allowed, id);
}

bool GrammarState::complete() const { return begin_after_ < 0 && at_->complete; }
bool GrammarState::ended() const { return complete() && at_->stacks.empty(); }

}  // namespace troupe::model
