// One rendering's budget and its first failure; every operation on values goes through it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/expected.hpp"
#include "model/chat/jinja/value.hpp"

namespace troupe::model::jinja {

/// What a template may use. A step is one evaluated node, one loop round, one compared or copied
/// element, or `kBytesPerStep` bytes of text produced or searched.
struct Limits {
  std::size_t output_bytes_max = std::size_t{64} << 20;  // also of any one string
  std::uint64_t steps_max = 4'000'000;                   // well under a second
  std::uint32_t depth_max = 300;    // evaluation frames, at most ~1 KiB of stack each
  std::uint32_t nesting_max = 100;  // of lists and dicts
  std::size_t range_max = 100'000;  // items of range(), as Jinja's sandbox has it
};

class Runtime {
 public:
  static constexpr std::uint64_t kBytesPerStep = 16;

  explicit Runtime(const Limits& limits) : limits_(limits) {}
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  const Limits& limits() const { return limits_; }
  bool failed() const { return error_.code != Errc::ok; }
  const Error& error() const { return error_; }

  /// Keeps the first failure, with the line being evaluated; gives undefined, for `return fail()`.
  Value fail(Errc code, std::string_view what);
  /// The template did what Python would refuse: a type error, an undefined value, ...
  Value fail_type(std::string_view what) { return fail(Errc::invalid_argument, what); }
  /// Spends steps. False once anything has failed, so that loops end.
  bool charge(std::uint64_t steps = 1);
  bool charge_bytes(std::size_t bytes) { return charge(1 + bytes / kBytesPerStep); }

  /// Asks before text of this size is made: spends its steps, fails beyond the limit.
  bool allow_bytes(std::size_t bytes);

  /// Values that are checked against the limits; undefined after a failure.
  Value list(std::vector<Value> items, SequenceKind kind = SequenceKind::list, bool trusted = true);
  Value dict(Dict dict, bool trusted = true);
  Value string(Text text);

  /// A namespace that lives until the rendering ends, so that namespaces may hold each other.
  Value make_namespace(Dict attributes);

  int line = 0;                            // being evaluated
  std::optional<std::int64_t> local_time;  // for strftime_now: seconds, shifted to the local zone

 private:
  Limits limits_;
  std::uint64_t steps_ = 0;
  Error error_{Errc::ok, {}};
  std::vector<std::shared_ptr<Namespace>> namespaces_;
};

/// The text between quotes, for errors.
std::string in_quotes(std::string_view text);

/// Arguments as a call wrote them.
struct CallArguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

/// Arguments as a builtin declared them: by position, null when not given.
class Arguments {
 public:
  Arguments(std::vector<const Value*> bound, const CallArguments& raw)
      : bound_(std::move(bound)), raw_(raw) {}
  const Value* operator[](std::size_t index) const { return bound_[index]; }
  /// All of them, for a builtin declared with "*".
  const CallArguments& raw() const { return raw_; }
  bool flag(std::size_t index) const { return bound_[index] && truthy(*bound_[index]); }
  /// The integer argument, or `otherwise` when absent or None; fails for another type.
  std::int64_t integer(Runtime& runtime, std::size_t index, std::int64_t otherwise) const;
  /// The string argument, or null when absent or None; fails for another type.
  const Text* text(Runtime& runtime, std::size_t index) const;

 private:
  std::vector<const Value*> bound_;
  const CallArguments& raw_;
};

/// A filter, test, method or function written in C++.
struct Builtin {
  std::string_view name;
  std::string_view parameters;  // "old! new! count": `!` is required; "*" takes anything
  Value (*run)(Runtime&, const Value& self, const Arguments&) = nullptr;
};

/// Binds the arguments as Python would and runs. `self` is the value before the `|`, `is` or `.`.
Value invoke(Runtime& runtime, const Builtin& builtin, const Value& self,
             const CallArguments& arguments);

}  // namespace troupe::model::jinja
