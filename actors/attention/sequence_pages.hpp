// The cache pages of sequences: taken as they are needed, shared where prompts begin alike.
#pragma once
#include <cstdint>

#include "actors/attention/sequence.hpp"
#include "model/kv_pages.hpp"
#include "model/prefix_cache.hpp"

namespace troupe::actors {

/// Moves pages between the pool, the prefix cache and sequences.
/// *Threading*: one thread; not while a step computes with the sequence's pages.
class SequencePages {
 public:
  struct Settings {
    bool prefix_cache = true;
    std::int64_t idle_pages_max = 0;  // kept for later though no sequence uses them
  };
  SequencePages(model::KvPool& pool, Settings settings)
      : pool_(pool), settings_(settings), cache_(pool, settings.idle_pages_max) {}

  /// What of `sequence.reusable()` is computed already.
  model::PrefixCache::Known known(const Sequence& sequence) const;
  /// Gives a sequence without pages those that are known.
  void find(Sequence& sequence);
  /// One page more for it; false when all are in use.
  bool grow(Sequence& sequence);
  /// After `computed` has grown: full pages can be found by others from now on.
  void share(Sequence& sequence);
  /// Takes all of its pages from it.
  void release(Sequence& sequence);

  /// Pages that nobody uses, those kept for later included.
  std::int64_t available() const { return pool_.shape().pages_max - used(); }
  std::int64_t used() const { return pool_.pages_used() - cache_.idle(); }
  std::int64_t idle() const { return cache_.idle(); }
  std::int64_t pages_max() const { return pool_.shape().pages_max; }
  bool shares() const { return settings_.prefix_cache; }

 private:
  model::KvPool& pool_;
  Settings settings_;
  model::PrefixCache cache_;
};

}  // namespace troupe::actors
