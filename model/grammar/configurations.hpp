// Walks an automaton with calls as if it were finite: configurations are numbered as they are met.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "model/grammar/automaton.hpp"
#include "model/grammar/token_table.hpp"

namespace troupe::model {

/// Everything a text so far can mean: stacks of automaton states, the innermost rule last.
struct Configuration {
  /// One stack after the other, each with its length in front; sorted, so that equal means equal.
  std::vector<std::uint32_t> stacks;
  bool complete = false;

  friend bool operator==(const Configuration&, const Configuration&) = default;
};

namespace grammar {

/// Numbers configurations, remembers which follows which and which tokens each allows. Everything
/// remembered is a function of the automaton, so dropping it (past `cache_bytes_max`) changes
/// nothing but time. *Threading*: one thread at a time.
class Configurations {
 public:
  using Id = std::uint32_t;
  static constexpr Id kDead = 0;  // no text leads here

  Configurations(Automaton automaton, GrammarLimits limits);

  std::shared_ptr<const Configuration> start() const { return start_; }

  /// The configuration after `text`, or nothing when the text is not allowed here.
  std::shared_ptr<const Configuration> after(const std::shared_ptr<const Configuration>& from,
                                             std::string_view text);
  /// Sets the bits of all text tokens that are allowed here; clears no bit.
  void add_allowed(const std::shared_ptr<const Configuration>& from, const TokenTable& tokens,
                   std::span<std::uint64_t> allowed);

  std::size_t bytes() const;

 private:
  /// Tokens as a list while they are few, else as bits.
  struct Mask {
    std::vector<std::int32_t> ids;
    std::vector<std::uint64_t> bits;
    bool known = false;
  };
  struct Hash {
    std::size_t operator()(const std::shared_ptr<const Configuration>& configuration) const;
  };
  struct Equal {
    bool operator()(const std::shared_ptr<const Configuration>& a,
                    const std::shared_ptr<const Configuration>& b) const {
      return *a == *b;
    }
  };

  void forget_if_large();
  Id id_of(const std::shared_ptr<const Configuration>& configuration);
  Id step(Id from, std::uint8_t byte) {
    const Id known = rows_[from * automaton_.classes + automaton_.class_of[byte]];
    return known != kUnknown ? known : discover(from, automaton_.class_of[byte]);
  }
  Id discover(Id from, std::uint8_t byte_class);
  std::uint64_t loops(Id id);
  void walk(Id from, const TokenTable& tokens, std::vector<std::uint64_t>& bits);

  static constexpr Id kUnknown = 0xffffffff;

  Automaton automaton_;
  GrammarLimits limits_;
  std::shared_ptr<const Configuration> start_;
  std::unordered_map<std::shared_ptr<const Configuration>, Id, Hash, Equal> ids_;
  std::vector<std::shared_ptr<const Configuration>> by_id_;
  std::vector<Id> rows_;  // [configurations, classes]
  std::vector<Mask> masks_;
  std::vector<std::uint64_t> loops_;  // byte groups that stay; bit 63: known
  std::size_t held_bytes_ = 0;
};

}  // namespace grammar
}  // namespace troupe::model
