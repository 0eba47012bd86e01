// The modules that a compressed-tensors checkpoint leaves unquantised.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "core/expected.hpp"

namespace troupe::model {

/// `ignore` of quantization_config: exact module names, and "re:" with a regular expression that
/// has to match from the beginning of a name (Python's re.match).
class IgnoreList {
 public:
  /// *Errors*: `malformed` for more than 1024 entries, more than 256 expressions that tell numbers
  /// apart, or an expression that does not compile, naming it.
  static Expected<IgnoreList> compile(std::span<const std::string> entries);

  IgnoreList();
  IgnoreList(IgnoreList&&) noexcept;
  IgnoreList& operator=(IgnoreList&&) noexcept;
  ~IgnoreList();

  /// The entry that covers `module` ("model.layers.3.self_attn.o_proj"), or an empty text. Names
  /// are looked up; expressions without numbers are matched once for all modules that differ in
  /// digits only, so that a model with many layers and experts costs what its numbers need.
  /// *Errors*: `malformed` for an expression that takes too many steps, naming it.
  /// *Threading*: one call at a time, although it is const.
  Expected<std::string_view> covering(std::string_view module) const;

  /// Expressions that were matched with a name so far.
  std::uint64_t matches_run() const;

 private:
  struct Entries;
  std::unique_ptr<Entries> entries_;
};

}  // namespace troupe::model
