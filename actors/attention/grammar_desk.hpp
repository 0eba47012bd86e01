// Requests whose grammar is being compiled: they are admitted when it is there.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "actors/attention/sequence.hpp"
#include "core/expected.hpp"
#include "model/grammar/grammar_cache.hpp"

namespace troupe::actors {

/// Compiling takes milliseconds, reading the tokenizer longer, so both happen in compute jobs; the
/// desk knows which requests wait for one. The tokenizer is read when a grammar is first asked for.
/// *Threading*: `state_for` from any thread; everything else on the loop.
class GrammarDesk {
 public:
  /// Requests that may wait here; beyond: `overloaded`.
  static constexpr std::size_t kOpenMax = 256;

  /// `directory` is a checkpoint's, with tokenizer.json. Empty: grammars are refused.
  explicit GrammarDesk(std::filesystem::path directory) : directory_(std::move(directory)) {}

  // --- any thread; takes time ---
  /// Where `request` stands in its grammar, generated tokens included. *Errors*: those of
  /// Grammar::compile; `unsupported` without a tokenizer; `invalid_argument` when the generated
  /// tokens do not follow the grammar.
  Expected<std::shared_ptr<model::GrammarState>> state_for(const SequenceRequest& request);

  // --- the loop ---
  bool full() const { return open_.size() >= kOpenMax; }
  void open(const SequenceRequest& request);
  /// Whether this attempt is still wanted; it is not open any more then.
  bool close(const SequenceRequest& request);
  void withdraw(GatewayIndex gateway, RequestId request) { open_.erase({gateway, request}); }
  void withdraw_all(GatewayIndex gateway);
  bool has(GatewayIndex gateway, RequestId request) const {
    return open_.contains({gateway, request});
  }
  std::size_t size() const { return open_.size(); }
  std::optional<TimePoint> oldest() const;

 private:
  struct Open {
    std::uint32_t attempt = 0;
    TimePoint arrived{};
  };
  Expected<model::GrammarCache*> grammars();

  std::filesystem::path directory_;
  std::mutex mutex_;  // of grammars_ until it is there
  std::unique_ptr<model::GrammarCache> grammars_;
  std::map<std::pair<GatewayIndex, RequestId>, Open> open_;
};

}  // namespace troupe::actors
