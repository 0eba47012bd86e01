// Lookup of what C++ provides to templates: filters, tests, methods and global functions.
#pragma once
#include <span>
#include <string_view>

#include "model/chat/jinja/runtime.hpp"

namespace troupe::model::jinja {

/// Null when there is no such filter (or test); operator spellings such as "==" are tests too.
const Builtin* find_filter(std::string_view name);
const Builtin* find_test(std::string_view name);
/// A method of str, dict, list or loop; null when the type has none of that name.
const Builtin* find_method(const Value& self, std::string_view name);
/// range, namespace, dict, raise_exception, strftime_now; null for others.
const Builtin* find_function(std::string_view name);

// The tables, one per subject.
std::span<const Builtin> text_filters();
std::span<const Builtin> number_filters();
std::span<const Builtin> sequence_filters();
std::span<const Builtin> selection_filters();
std::span<const Builtin> all_tests();
std::span<const Builtin> string_methods();
std::span<const Builtin> dict_methods();
std::span<const Builtin> list_methods();
std::span<const Builtin> loop_methods();
std::span<const Builtin> global_functions();

/// Attributes and items as Jinja finds them: `a.b` tries the attribute first, `a['b']` the item.
Value get_attribute(Runtime& runtime, const Value& object, const Text& name);
Value get_item(Runtime& runtime, const Value& object, const Value& key);
/// `a[start:stop:step]` of a string (by characters), list, tuple or range; null bounds are open.
Value get_slice(Runtime& runtime, const Value& object, const Value& start, const Value& stop,
                const Value& step);

/// The elements that a for over `value` sees; a generator is used up. Fails for what is no
/// iterable.
std::vector<Value> iterate(Runtime& runtime, const Value& value);

/// The (key, value) tuples of a dict.
Value dict_items(Runtime& runtime, const Dict& dict, SequenceKind kind, bool trusted);

}  // namespace troupe::model::jinja
