// Pages from the pool, the prefix cache, or nobody.
#include "actors/attention/sequence_pages.hpp"

namespace troupe::actors {

model::PrefixCache::Known SequencePages::known(const Sequence& sequence) const {
  if (!settings_.prefix_cache) return {};
  return cache_.known(sequence.asked.cache_salt, sequence.reusable());
}

void SequencePages::find(Sequence& sequence) {
  TROUPE_CHECK(sequence.pages.empty(), "who waits has no pages");
  const auto salt = sequence.asked.cache_salt;
  sequence.shared = settings_.prefix_cache ? cache_.enter(salt, sequence.reusable(), sequence.pages)
                                           : cache_.enter(salt);
  sequence.computed = sequence.shared.pages * kernels::kPageTokens;
}

bool SequencePages::grow(Sequence& sequence) {
  auto page = pool_.allocate();
  while (!page && cache_.evict()) page = pool_.allocate();
  if (!page) return false;
  sequence.pages.push_back(*page);
  return true;
}

void SequencePages::share(Sequence& sequence) {
  if (!settings_.prefix_cache) return;
  while ((sequence.shared.pages + 1) * kernels::kPageTokens <= sequence.computed) {
    const auto index = static_cast<std::size_t>(sequence.shared.pages);
    const auto tokens = std::span<const std::int32_t>(sequence.asked.tokens)
                            .subspan(index * kernels::kPageTokens, kernels::kPageTokens);
    sequence.pages[index] = cache_.add(sequence.shared, tokens, sequence.pages[index]);
  }
}

void SequencePages::release(Sequence& sequence) {
  for (auto i = static_cast<std::size_t>(sequence.shared.pages); i < sequence.pages.size(); ++i)
    pool_.release(sequence.pages[i]);
  cache_.leave(sequence.shared);
  sequence.pages.clear();
  sequence.computed = 0;
}

}  // namespace troupe::actors
