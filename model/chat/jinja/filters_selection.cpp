// Filters that choose or map elements, and those for missing values and numbers.
#include <charconv>
#include <cmath>

#include "model/chat/jinja/attribute_path.hpp"
#include "model/chat/jinja/builtins.hpp"
#include "model/chat/jinja/operators.hpp"
#include "model/chat/jinja/print.hpp"
#include "model/chat/jinja/text_operations.hpp"

namespace troupe::model::jinja {
namespace {

// The filter or test that the first positional arguments name, with the arguments for it.
const Builtin* named_builtin(Runtime& runtime, const CallArguments& all, std::size_t skip,
                             const Builtin* (*find)(std::string_view), CallArguments& rest) {
  const Value& name = all.positional[skip];
  const Builtin* builtin = name.text() ? find(name.text()->bytes()) : nullptr;
  if (!builtin) {
    runtime.fail(Errc::unsupported,
                 in_quotes(to_text(runtime, name).bytes()) + " is not a supported filter or test");
    return nullptr;
  }
  rest.positional.assign(all.positional.begin() + static_cast<std::ptrdiff_t>(skip) + 1,
                         all.positional.end());
  rest.named = all.named;
  return builtin;
}

Value map_attribute(Runtime& runtime, const Value& self, const CallArguments& all) {
  const Value *path = nullptr, *otherwise = nullptr;
  for (const auto& [name, value] : all.named) {
    if (name == "attribute")
      path = &value;
    else if (name == "default")
      otherwise = &value;
    else
      return runtime.fail_type("map: unexpected keyword argument '" + name + "'");
  }
  if (!path) return runtime.fail_type("map requires a filter argument");
  std::vector<Value> result;
  for (const Value& item : iterate(runtime, self)) {
    result.push_back(at_path(runtime, item, *path, otherwise));
    if (runtime.failed()) return {};
  }
  return runtime.list(std::move(result), SequenceKind::generator, self.trusted);
}

Value map_filter(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const CallArguments& all = arguments.raw();
  if (!truthy(self)) return runtime.list({}, SequenceKind::generator);
  if (all.positional.empty()) return map_attribute(runtime, self, all);
  CallArguments rest;
  const Builtin* filter = named_builtin(runtime, all, 0, find_filter, rest);
  std::vector<Value> result;
  if (!filter) return {};
  for (const Value& item : iterate(runtime, self)) {
    result.push_back(invoke(runtime, *filter, item, rest));
    if (runtime.failed()) return {};
  }
  return runtime.list(std::move(result), SequenceKind::generator, self.trusted);
}

Value select(Runtime& runtime, const Value& self, const CallArguments& all, bool by_attribute,
             bool keep) {
  const std::size_t skip = by_attribute ? 1 : 0;
  if (!truthy(self)) return runtime.list({}, SequenceKind::generator);
  if (all.positional.size() < skip) {
    return runtime.fail_type("Missing parameter for attribute name");
  }
  CallArguments rest;
  const Builtin* test = nullptr;
  if (all.positional.size() > skip) {
    test = named_builtin(runtime, all, skip, find_test, rest);
    if (!test) return {};
  }
  std::vector<Value> result;
  for (const Value& item : iterate(runtime, self)) {
    const Value tested = by_attribute ? at_path(runtime, item, all.positional[0], nullptr) : item;
    const bool passes = truthy(test ? invoke(runtime, *test, tested, rest) : tested);
    if (runtime.failed()) return {};
    if (passes == keep) result.push_back(item);
  }
  return runtime.list(std::move(result), SequenceKind::generator, self.trusted);
}

Value select_filter(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return select(runtime, self, arguments.raw(), false, true);
}
Value reject_filter(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return select(runtime, self, arguments.raw(), false, false);
}
Value selectattr_filter(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return select(runtime, self, arguments.raw(), true, true);
}
Value rejectattr_filter(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return select(runtime, self, arguments.raw(), true, false);
}

Value default_filter(Runtime&, const Value& self, const Arguments& arguments) {
  if (!self.is_undefined() && !(arguments.flag(1) && !truthy(self))) return self;
  return arguments[0] ? *arguments[0] : Value::string("");
}

Value attr_filter(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Text* name = arguments.text(runtime, 0);
  if (!name) return runtime.fail_type("attr needs a name");
  if (self.dict())
    return Value::undefined("'dict object' has no attribute '" + name->bytes() + "'");
  return get_attribute(runtime, self, *name);
}

constexpr Builtin kFilters[] = {
    {"map", "*", map_filter},
    {"select", "*", select_filter},
    {"reject", "*", reject_filter},
    {"selectattr", "*", selectattr_filter},
    {"rejectattr", "*", rejectattr_filter},
    {"default", "default_value boolean", default_filter},
    {"d", "default_value boolean", default_filter},
    {"attr", "name!", attr_filter},
};

}  // namespace

Value at_path(Runtime& runtime, const Value& item, const Value& path, const Value* otherwise) {
  if (path.is_integral()) return get_item(runtime, item, path);
  if (!path.text()) return runtime.fail_type("an attribute must be a name or a number");
  const Text dot(".", true);
  Value current = item;
  for (const Text& part : split(*path.text(), &dot, kNoLimit, false)) {
    const std::string& name = part.bytes();
    const bool digits = !name.empty() && name.find_first_not_of("0123456789") == std::string::npos;
    std::int64_t index = 0;
    if (digits) std::from_chars(name.data(), name.data() + name.size(), index);
    current = get_item(runtime, current, digits ? Value::integer(index) : Value::string(part));
    if (current.is_undefined() && otherwise && !otherwise->is_none()) current = *otherwise;
  }
  return current;
}

Value folded(Runtime& runtime, Value value) {
  const Text* text = value.text();
  return text ? runtime.string(lower(*text)) : value;
}

std::span<const Builtin> selection_filters() { return kFilters; }

}  // namespace troupe::model::jinja
