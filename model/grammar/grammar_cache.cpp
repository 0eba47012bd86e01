// A list in order of use; it is short, so finding is a walk.
#include "model/grammar/grammar_cache.hpp"

namespace troupe::model {

GrammarCache::GrammarCache(std::shared_ptr<const TokenTable> tokens, Limits limits)
    : tokens_(std::move(tokens)), limits_(limits) {}

Expected<std::shared_ptr<const Grammar>> GrammarCache::get(const GrammarSpec& spec) {
  if (auto grammar = find(spec)) return grammar;
  auto compiled = Grammar::compile(spec, tokens_, limits_.grammar);
  if (compiled) keep(spec, *compiled);
  return compiled;
}

std::shared_ptr<const Grammar> GrammarCache::find(const GrammarSpec& spec) {
  const std::lock_guard lock(mutex_);
  for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
    if (entry->spec != spec) continue;
    entries_.splice(entries_.begin(), entries_, entry);
    return entry->grammar;
  }
  return nullptr;
}

void GrammarCache::keep(const GrammarSpec& spec, std::shared_ptr<const Grammar> grammar) {
  const std::lock_guard lock(mutex_);
  entries_.push_front({spec, std::move(grammar)});
  std::size_t bytes = 0;
  std::size_t kept = 0;
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    bytes += entry->grammar->bytes();
    const bool fits = kept == 0 || (kept < limits_.grammars_max && bytes <= limits_.bytes_max);
    ++kept;
    entry = fits ? std::next(entry) : entries_.erase(entry);
  }
}

}  // namespace troupe::model
