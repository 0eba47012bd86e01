// Structured output: which tokens may come next so that the whole answer fits a grammar.
#pragma once
#include <cstdint>
#include <memory>
#include <span>

#include "core/expected.hpp"
#include "model/grammar/grammar_spec.hpp"
#include "model/grammar/limits.hpp"
#include "model/grammar/token_table.hpp"

namespace troupe::model {

/// A compiled GrammarSpec for one vocabulary. What is taken: docs/structured-output.md.
/// *Threading*: any thread; states of one grammar share its caches behind a lock.
class Grammar {
 public:
  /// Time: bounded by `limits`, tens of milliseconds for a large schema; call it in a pool.
  /// *Errors*: `malformed` (no JSON, a pattern's syntax) and `unsupported` (a construct or keyword
  /// Troupe does not run), each with name and place; `invalid_argument` when nothing can fit, or
  /// for kind none; `resource_exhausted` past a limit, which the text names.
  static Expected<std::shared_ptr<const Grammar>> compile(const GrammarSpec& spec,
                                                          std::shared_ptr<const TokenTable> tokens,
                                                          const GrammarLimits& limits = {});

  /// Bytes held now, caches included.
  std::size_t bytes() const;

  ~Grammar();
  Grammar(const Grammar&) = delete;
  Grammar& operator=(const Grammar&) = delete;

 private:
  friend class GrammarState;
  struct Machine;
  explicit Grammar(std::unique_ptr<Machine> machine);
  std::unique_ptr<Machine> machine_;
};

/// Where one sequence stands in a grammar: a function of the tokens generated so far, nothing else.
/// From every state some continuation completes the text. Copying costs two reference counts.
/// *Threading*: one thread at a time per state.
class GrammarState {
 public:
  /// While the model reasons first, the grammar begins after `begin_after` (the id of </think>);
  /// until then every token but stop ids and the markers of tool calls, which would end the
  /// thoughts, is allowed. -1: the grammar begins at the first token.
  explicit GrammarState(std::shared_ptr<const Grammar> grammar, std::int32_t begin_after = -1);

  /// Takes the next token of the answer, stop ids excepted (they end it). False when the grammar
  /// does not allow it; the state is then unchanged.
  [[nodiscard]] bool advance(std::int32_t token);

  /// Sets the bit of every id that may come next and clears all others, those past the vocabulary
  /// included. Stop ids (EOS among them) may come exactly when complete(). An id in `stop_ids` that
  /// is a text token loses its bit before that, unless nothing else could be written. Never empty
  /// unless ended() and there is no stop id: then the answer is over (finish reason "stop"). When
  /// only stop ids are left, they may come whatever min_tokens says.
  void mask(std::span<std::uint64_t> allowed, std::span<const std::int32_t> stop_ids) const;

  /// The text so far fits the grammar as a whole.
  bool complete() const;
  /// Complete, and nothing can follow.
  bool ended() const;

 private:
  std::shared_ptr<const Grammar> grammar_;
  std::shared_ptr<const struct Configuration> at_;
  std::int32_t begin_after_ = -1;  // -1 once the grammar has begun
};

}  // namespace troupe::model
