// Methods of dict and list that do not change them, and those of loop.
#include <algorithm>

#include "model/chat/jinja/builtins.hpp"
#include "model/chat/jinja/operators.hpp"

namespace troupe::model::jinja {
namespace {

Value get_method(Runtime&, const Value& self, const Arguments& arguments) {
  const Value* found = is_key(*arguments[0]) ? self.dict()->find(*arguments[0]) : nullptr;
  if (found) return *found;
  return arguments[1] ? *arguments[1] : Value::none();
}

Value items_method(Runtime& runtime, const Value& self, const Arguments&) {
  return dict_items(runtime, *self.dict(), SequenceKind::view, self.trusted);
}

template <bool keys>
Value half_method(Runtime& runtime, const Value& self, const Arguments&) {
  std::vector<Value> result;
  for (const auto& [key, value] : self.dict()->entries) result.push_back(keys ? key : value);
  return runtime.list(std::move(result), SequenceKind::view, self.trusted);
}

Value copy_method(Runtime&, const Value& self, const Arguments&) { return self; }

Value index_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const std::vector<Value>& items = self.sequence()->items;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (equal(runtime, items[i], *arguments[0]))
      return Value::integer(static_cast<std::int64_t>(i));
  }
  return runtime.fail_type("value is not in list");
}

Value count_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const std::vector<Value>& items = self.sequence()->items;
  return Value::integer(std::count_if(items.begin(), items.end(), [&](const Value& item) {
    return equal(runtime, item, *arguments[0]);
  }));
}

Value refused_method(Runtime& runtime, const Value& self, const Arguments&) {
  return runtime.fail_type("a method that changes a " + std::string(type_name(self)) +
                           " is refused by the sandbox; use a namespace and +");
}

constexpr Builtin kDictMethods[] = {
    {"get", "key! default", get_method}, {"items", "", items_method},
    {"keys", "", half_method<true>},     {"values", "", half_method<false>},
    {"copy", "", copy_method},           {"clear", "*", refused_method},
    {"pop", "*", refused_method},        {"popitem", "*", refused_method},
    {"setdefault", "*", refused_method}, {"update", "*", refused_method},
};

constexpr Builtin kListMethods[] = {
    {"index", "value!", index_method}, {"count", "value!", count_method},
    {"copy", "", copy_method},         {"append", "*", refused_method},
    {"clear", "*", refused_method},    {"extend", "*", refused_method},
    {"insert", "*", refused_method},   {"pop", "*", refused_method},
    {"remove", "*", refused_method},   {"reverse", "*", refused_method},
    {"sort", "*", refused_method},
};

Value cycle_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const std::vector<Value>& choices = arguments.raw().positional;
  if (choices.empty()) return runtime.fail_type("no items for cycling given");
  return choices[(*self.as<std::shared_ptr<Loop>>())->index % choices.size()];
}

// True when called with other values than the time before.
Value changed_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  Loop& loop = **self.as<std::shared_ptr<Loop>>();
  if (loop.items.empty()) return runtime.fail_type("loop.changed after its loop has ended");
  Value now = runtime.list(arguments.raw().positional, SequenceKind::tuple);
  if (runtime.failed()) return {};
  const bool changed = loop.changed.is_undefined() || !equal(runtime, loop.changed, now);
  loop.changed = std::move(now);
  return Value::boolean(changed);
}

constexpr Builtin kLoopMethods[] = {
    {"cycle", "*", cycle_method},
    {"changed", "*", changed_method},
};

}  // namespace

std::span<const Builtin> loop_methods() { return kLoopMethods; }
std::span<const Builtin> dict_methods() { return kDictMethods; }
std::span<const Builtin> list_methods() { return kListMethods; }

}  // namespace troupe::model::jinja
