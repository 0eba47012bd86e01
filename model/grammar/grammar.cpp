// Compiling is being written: until then every spec is refused.
#include "model/grammar/grammar.hpp"

namespace troupe::model {

struct Configuration {};
struct Grammar::Machine {};

Grammar::Grammar(std::unique_ptr<Machine> machine) : machine_(std::move(machine)) {}
Grammar::~Grammar() = default;
std::size_t Grammar::bytes() const { return sizeof(*this); }

Expected<std::shared_ptr<const Grammar>> Grammar::compile(const GrammarSpec&,
                                                          std::shared_ptr<const TokenTable>,
                                                          const GrammarLimits&) {
  return unexpected(Errc::unsupported, "structured output is not there yet");
}

GrammarState::GrammarState(std::shared_ptr<const Grammar> grammar, std::int32_t begin_after)
    : grammar_(std::move(grammar)), begin_after_(begin_after) {}
bool GrammarState::advance(std::int32_t) { return false; }
void GrammarState::mask(std::span<std::uint64_t>, std::span<const std::int32_t>) const {}
bool GrammarState::complete() const { return false; }
bool GrammarState::ended() const { return false; }

}  // namespace troupe::model
