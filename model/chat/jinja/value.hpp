// The values a template computes with: Python's, immutable, and aware of where they came from.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "model/chat/jinja/text.hpp"

namespace troupe::model::jinja {

struct Sequence;
struct Dict;
struct Namespace;
struct Loop;
struct Macro;
struct Builtin;
struct BoundMethod;

/// A name, attribute or item that was not there; `what` says which, for the error if it is used.
struct Undefined {
  std::shared_ptr<const std::string> what;
};
struct None {};

/// One value. Copies share their contents, which do not change (namespaces excepted).
/// `trusted` is the origin of what is not a string (strings have one per byte): the `42` of a
/// request prints as untrusted digits.
struct Value {
  using Data =
      std::variant<Undefined, None, bool, std::int64_t, double, std::shared_ptr<const Text>,
                   std::shared_ptr<Sequence>, std::shared_ptr<const Dict>,
                   std::shared_ptr<Namespace>, std::shared_ptr<Loop>, std::shared_ptr<const Macro>,
                   const Builtin*, std::shared_ptr<const BoundMethod>>;
  Data data;
  bool trusted = true;

  Value() = default;
  explicit Value(Data content, bool is_trusted = true)
      : data(std::move(content)), trusted(is_trusted) {}

  static Value undefined(std::string what);
  static Value none() { return Value(Data(None{})); }
  static Value boolean(bool value) { return Value(Data(value)); }
  static Value integer(std::int64_t value) { return Value(Data(value)); }
  static Value real(double value) { return Value(Data(value)); }
  static Value string(Text text);
  static Value string(std::string_view bytes, bool is_trusted = true);

  template <class T>
  const T* as() const {
    return std::get_if<T>(&data);
  }
  bool is_undefined() const { return as<Undefined>() != nullptr; }
  bool is_none() const { return as<None>() != nullptr; }
  /// The text, or null when this is not a string.
  const Text* text() const;
  Sequence* sequence() const;
  const Dict* dict() const;
  Namespace* name_space() const;
  /// The integer of an int or (as in Python) a bool.
  const std::int64_t* integer() const { return as<std::int64_t>(); }
  bool is_number() const;
  bool is_integral() const { return as<std::int64_t>() || as<bool>(); }
  std::int64_t to_integer() const;  // of an int or bool
  double to_real() const;           // of any number
};

enum class SequenceKind : std::uint8_t {
  list,
  tuple,
  range,      // what range() gives: prints as range(0, 3), otherwise a list
  view,       // dict.items() and the like: has a length, cannot be indexed
  generator,  // what most sequence filters give: true even if empty, read once, has no length
};

struct Sequence {
  SequenceKind kind = SequenceKind::list;
  std::vector<Value> items;
  std::uint32_t depth = 1;   // of nesting; bounded so that recursion over values is
  std::size_t consumed = 0;  // by whoever read the generator
};

/// A dict in insertion order. Strings are found through an index, other keys by looking at each.
struct Dict {
  std::vector<std::pair<Value, Value>> entries;
  std::unordered_map<std::string, std::size_t> index;
  std::uint32_t depth = 1;

  void set(const Value& key, Value value);
  /// Null when absent.
  const Value* find(const Value& key) const;
  const Value* find(std::string_view key) const;
};

/// `namespace(...)`: the only thing a template can change.
struct Namespace {
  Dict attributes;
};

/// `loop` inside a for.
struct Loop {
  std::vector<Value> items;
  std::size_t index = 0;  // of the current item
  Value changed;          // what loop.changed() last saw; undefined before
};

/// A method taken from its value: `content.split`.
struct BoundMethod {
  Value self;
  const Builtin* method = nullptr;
};

/// Levels of list and dict nesting below `value`; 0 for a scalar.
std::uint32_t depth_of(const Value& value);

bool truthy(const Value& value);
/// Python's == of two numbers: 1 == 1.0 == True.
bool equal_numbers(const Value& a, const Value& b);
/// What a dict can be indexed by: strings, numbers, None.
bool is_key(const Value& value);
/// Python's type name, for error texts.
std::string_view type_name(const Value& value);
std::string_view kind_name(SequenceKind kind);
bool is_callable(const Value& value);

}  // namespace troupe::model::jinja
