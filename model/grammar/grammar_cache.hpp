// Compiled grammars of recent requests, so that equal specs are compiled once.
#pragma once
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>

#include "core/expected.hpp"
#include "model/grammar/grammar.hpp"

namespace troupe::model {

/// Least recently used grammars go when there are too many or they hold too many bytes; whoever
/// still uses one keeps it alive. Refusals are not kept.
/// *Threading*: any thread. Compiling happens outside the lock, in the thread that asks.
class GrammarCache {
 public:
  struct Limits {
    std::size_t grammars_max = 64;
    std::size_t bytes_max = 256 << 20;
    GrammarLimits grammar;
  };
  GrammarCache(std::shared_ptr<const TokenTable> tokens, Limits limits);
  explicit GrammarCache(std::shared_ptr<const TokenTable> tokens)
      : GrammarCache(std::move(tokens), Limits{}) {}

  /// *Errors*: as Grammar::compile.
  Expected<std::shared_ptr<const Grammar>> get(const GrammarSpec& spec);

 private:
  struct Entry {
    GrammarSpec spec;
    std::shared_ptr<const Grammar> grammar;
  };
  std::shared_ptr<const Grammar> find(const GrammarSpec& spec);
  void keep(const GrammarSpec& spec, std::shared_ptr<const Grammar> grammar);

  std::shared_ptr<const TokenTable> tokens_;
  Limits limits_;
  std::mutex mutex_;
  std::list<Entry> entries_;  // most recently used first
};

}  // namespace troupe::model
