// Attributes, items, slices and iteration.
#include <algorithm>

#include "model/chat/jinja/builtins.hpp"
#include "model/chat/jinja/unicode.hpp"

namespace troupe::model::jinja {
namespace {

Value missing(const Value& object, std::string_view name) {
  return Value::undefined(in_quotes(std::string(type_name(object)) + " object") +
                          " has no attribute '" + std::string(name) + "'");
}

Value refuse_undefined(Runtime& runtime, const Value& object) {
  const Undefined* undefined = object.as<Undefined>();
  return runtime.fail_type(undefined->what ? *undefined->what : "an undefined value is used");
}

Value loop_attribute(const Value& object, std::string_view name) {
  const Loop& loop = **object.as<std::shared_ptr<Loop>>();
  const auto index = static_cast<std::int64_t>(loop.index);
  const auto count = static_cast<std::int64_t>(loop.items.size());
  if (name == "index") return Value::integer(index + 1);
  if (name == "index0") return Value::integer(index);
  if (name == "revindex") return Value::integer(count - index);
  if (name == "revindex0") return Value::integer(count - index - 1);
  if (name == "first") return Value::boolean(index == 0);
  if (name == "last") return Value::boolean(index + 1 == count);
  if (name == "length") return Value::integer(count);
  if (name == "depth") return Value::integer(1);  // of recursive loops, which are not supported
  if (name == "depth0") return Value::integer(0);
  if (name == "previtem") {
    return index > 0 ? loop.items[loop.index - 1] : Value::undefined("there is no previous item");
  }
  if (name == "nextitem") {
    return index + 1 < count ? loop.items[loop.index + 1]
                             : Value::undefined("there is no next item");
  }
  return missing(object, name);
}

// What `object` itself has, apart from items: methods, namespace attributes, loop counters.
Value own_attribute(const Value& object, std::string_view name) {
  if (const Builtin* method = find_method(object, name)) {
    auto bound = std::make_shared<BoundMethod>(BoundMethod{object, method});
    return Value(Value::Data(std::shared_ptr<const BoundMethod>(std::move(bound))));
  }
  if (const Namespace* ns = object.name_space()) {
    if (const Value* value = ns->attributes.find(name)) return *value;
  }
  if (object.as<std::shared_ptr<Loop>>()) return loop_attribute(object, name);
  return missing(object, name);
}

Value indexed(const Value& object, std::int64_t index, std::string_view name) {
  if (const Text* text = object.text()) {
    const auto count = static_cast<std::int64_t>(utf8_length(text->bytes()));
    if (index < 0) index += count;
    if (index < 0 || index >= count) return missing(object, name);
    const std::size_t at = utf8_offset(text->bytes(), static_cast<std::size_t>(index));
    return Value::string(text->slice(at, at + utf8_width(text->bytes()[at])));
  }
  const Sequence* sequence = object.sequence();
  if (!sequence || sequence->kind == SequenceKind::view ||
      sequence->kind == SequenceKind::generator) {
    return missing(object, name);
  }
  const auto count = static_cast<std::int64_t>(sequence->items.size());
  if (index < 0) index += count;
  if (index < 0 || index >= count) return missing(object, name);
  return sequence->items[static_cast<std::size_t>(index)];
}

struct Range {
  std::int64_t start, stop, step;
};

// Python's slice.indices().
bool resolve(Runtime& runtime, const Value (&bounds)[3], std::int64_t count, Range& range) {
  for (const Value& bound : bounds) {
    if (bound.is_none() || bound.is_integral()) continue;
    runtime.fail_type("slice indices must be integers or None");
    return false;
  }
  range.step = bounds[2].is_none() ? 1 : bounds[2].to_integer();
  if (range.step == 0) {
    runtime.fail_type("slice step cannot be zero");
    return false;
  }
  const std::int64_t low = range.step > 0 ? 0 : -1;
  const std::int64_t high = range.step > 0 ? count : count - 1;
  const auto clamp = [&](const Value& bound, std::int64_t open) {
    if (bound.is_none()) return open;
    const std::int64_t at = bound.to_integer();
    return std::clamp(at < 0 ? at + count : at, low, high);
  };
  range.start = clamp(bounds[0], range.step > 0 ? low : high);
  range.stop = clamp(bounds[1], range.step > 0 ? high : low);
  return true;
}

// Calls `take(i)` for each index of the range; the step may be as large as an int64.
template <class Take>
void for_each_index(const Range& range, Take take) {
  for (std::int64_t i = range.start; range.step > 0 ? i < range.stop : i > range.stop;) {
    take(static_cast<std::size_t>(i));
    if (__builtin_add_overflow(i, range.step, &i)) break;
  }
}

Value slice_text(Runtime& runtime, const Text& text, const Value (&bounds)[3]) {
  if (!runtime.charge_bytes(text.size())) return {};
  std::vector<std::size_t> starts;  // of each character, and the end
  for (std::size_t at = 0; at < text.size(); at += utf8_width(text.bytes()[at])) {
    starts.push_back(at);
  }
  const auto count = static_cast<std::int64_t>(starts.size());
  starts.push_back(text.size());
  Range range{};
  if (!resolve(runtime, bounds, count, range)) return {};
  if (range.step == 1) {
    const auto stop = static_cast<std::size_t>(std::max(range.start, range.stop));
    return runtime.string(text.slice(starts[static_cast<std::size_t>(range.start)], starts[stop]));
  }
  Text result;
  for_each_index(range, [&](std::size_t i) { result.append(text, starts[i], starts[i + 1]); });
  return runtime.string(std::move(result));
}

std::vector<Value> characters(Runtime& runtime, const Text& text) {
  std::vector<Value> result;
  for (std::size_t at = 0; at < text.size() && runtime.charge();) {
    const std::size_t width = utf8_width(text.bytes()[at]);
    result.push_back(Value::string(text.slice(at, at + width)));
    at += width;
  }
  return result;
}

}  // namespace

Value get_attribute(Runtime& runtime, const Value& object, const Text& name) {
  if (object.is_undefined()) return refuse_undefined(runtime, object);
  Value own = own_attribute(object, name.bytes());
  if (!own.is_undefined()) return own;
  if (const Dict* dict = object.dict()) {
    if (const Value* item = dict->find(name.bytes())) return *item;
  }
  return own;
}

Value get_item(Runtime& runtime, const Value& object, const Value& key) {
  if (object.is_undefined()) return refuse_undefined(runtime, object);
  if (!runtime.charge_bytes(object.text() ? object.text()->size() : 0)) return {};
  if (const Dict* dict = object.dict()) {
    const Value* item = is_key(key) ? dict->find(key) : nullptr;
    if (item) return *item;
  } else if (key.is_integral()) {
    return indexed(object, key.to_integer(), std::to_string(key.to_integer()));
  }
  if (key.text()) return own_attribute(object, key.text()->bytes());
  return missing(object, type_name(key));
}

Value get_slice(Runtime& runtime, const Value& object, const Value& start, const Value& stop,
                const Value& step) {
  if (object.is_undefined()) return refuse_undefined(runtime, object);
  const Value bounds[3] = {start, stop, step};
  if (const Text* text = object.text()) return slice_text(runtime, *text, bounds);
  const Sequence* sequence = object.sequence();
  if (!sequence || sequence->kind == SequenceKind::view ||
      sequence->kind == SequenceKind::generator) {
    return runtime.fail_type(in_quotes(type_name(object)) + " object cannot be sliced");
  }
  Range range{};
  const auto count = static_cast<std::int64_t>(sequence->items.size());
  if (!resolve(runtime, bounds, count, range)) return {};
  std::vector<Value> items;
  for_each_index(range, [&](std::size_t i) { items.push_back(sequence->items[i]); });
  return runtime.list(std::move(items), sequence->kind, object.trusted);
}

Value dict_items(Runtime& runtime, const Dict& dict, SequenceKind kind, bool trusted) {
  std::vector<Value> pairs;
  for (const auto& [key, value] : dict.entries) {
    pairs.push_back(runtime.list({key, value}, SequenceKind::tuple, trusted));
    if (runtime.failed()) return {};
  }
  return runtime.list(std::move(pairs), kind, trusted);
}

std::vector<Value> iterate(Runtime& runtime, const Value& value) {
  if (const Text* text = value.text()) return characters(runtime, *text);
  if (Sequence* sequence = value.sequence()) {
    if (!runtime.charge(sequence->items.size())) return {};
    if (sequence->kind != SequenceKind::generator) return sequence->items;
    const auto begin =
        static_cast<std::ptrdiff_t>(std::exchange(sequence->consumed, sequence->items.size()));
    return {sequence->items.begin() + begin, sequence->items.end()};
  }
  std::vector<Value> result;
  if (const Dict* dict = value.dict()) {
    if (!runtime.charge(dict->entries.size())) return {};
    for (const auto& entry : dict->entries) result.push_back(entry.first);
  } else if (!value.is_undefined()) {
    runtime.fail_type(in_quotes(type_name(value)) + " object is not iterable");
  }
  return result;
}

}  // namespace troupe::model::jinja
