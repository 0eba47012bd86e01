// The tokenizer, the grammars, and who waits for one.
#include "actors/attention/grammar_desk.hpp"

#include <string>

#include "model/tokenizer/tokenizer.hpp"

namespace troupe::actors {

Expected<model::GrammarCache*> GrammarDesk::grammars() {
  const std::lock_guard lock(mutex_);
  if (grammars_) return grammars_.get();
  if (directory_.empty())
    return unexpected(
        Errc::unsupported,
        "this attention shard was started without a tokenizer, so it cannot constrain "
        "text by a grammar; ask without one");
  const auto tokenizer = model::Tokenizer::load(directory_);
  if (!tokenizer)
    return unexpected(Errc::unsupported,
                      "a grammar needs the model's tokenizer.json (tokenizer_missing): " +
                          tokenizer.error().detail);
  grammars_ =
      std::make_unique<model::GrammarCache>(std::make_shared<const model::TokenTable>(*tokenizer));
  return grammars_.get();
}

Expected<std::shared_ptr<model::GrammarState>> GrammarDesk::state_for(
    const SequenceRequest& request) {
  auto cache = grammars();
  if (!cache) return unexpected(std::move(cache).error());
  auto grammar = (*cache)->get(request.grammar);
  if (!grammar) return unexpected(std::move(grammar).error());
  auto state = std::make_shared<model::GrammarState>(*std::move(grammar), request.grammar_after);
  for (auto i = static_cast<std::size_t>(request.prompt_tokens); i < request.tokens.size(); ++i)
    if (!state->advance(request.tokens[i]))
      return unexpected(Errc::invalid_argument,
                        "generated token " + std::to_string(request.tokens[i]) + " at position " +
                            std::to_string(i) +
                            " does not follow the grammar; were all services started with the same "
                            "tokenizer.json?");
  return state;
}

void GrammarDesk::open(const SequenceRequest& request) {
  open_[{request.gateway, request.request}] = {request.attempt, request.arrived};
}

bool GrammarDesk::close(const SequenceRequest& request) {
  const auto entry = open_.find({request.gateway, request.request});
  if (entry == open_.end() || entry->second.attempt != request.attempt) return false;
  open_.erase(entry);
  return true;
}

void GrammarDesk::withdraw_all(GatewayIndex gateway) {
  std::erase_if(open_, [gateway](const auto& entry) { return entry.first.first == gateway; });
}

std::optional<TimePoint> GrammarDesk::oldest() const {
  std::optional<TimePoint> oldest;
  for (const auto& [key, open] : open_)
    if (!oldest || open.arrived < *oldest) oldest = open.arrived;
  return oldest;
}

}  // namespace troupe::actors
