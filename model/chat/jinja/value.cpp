// Truth, equality and lookup of template values, as Python defines them.
#include "model/chat/jinja/value.hpp"

#include <algorithm>

namespace troupe::model::jinja {
namespace {

bool equal_keys(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) return equal_numbers(a, b);
  return a.is_none() && b.is_none();
}

}  // namespace

Value Value::undefined(std::string what) {
  return Value(Data(Undefined{std::make_shared<const std::string>(std::move(what))}));
}

Value Value::string(Text text) {
  return Value(Data(std::make_shared<const Text>(std::move(text))));
}

Value Value::string(std::string_view bytes, bool is_trusted) {
  return string(Text(std::string(bytes), is_trusted));
}

const Text* Value::text() const {
  const auto* pointer = as<std::shared_ptr<const Text>>();
  return pointer ? pointer->get() : nullptr;
}

Sequence* Value::sequence() const {
  const auto* pointer = as<std::shared_ptr<Sequence>>();
  return pointer ? pointer->get() : nullptr;
}

const Dict* Value::dict() const {
  const auto* pointer = as<std::shared_ptr<const Dict>>();
  return pointer ? pointer->get() : nullptr;
}

Namespace* Value::name_space() const {
  const auto* pointer = as<std::shared_ptr<Namespace>>();
  return pointer ? pointer->get() : nullptr;
}

bool Value::is_number() const { return is_integral() || as<double>(); }

std::int64_t Value::to_integer() const {
  if (const bool* flag = as<bool>()) return *flag ? 1 : 0;
  const std::int64_t* number = as<std::int64_t>();
  return number ? *number : 0;
}

double Value::to_real() const {
  const double* number = as<double>();
  return number ? *number : static_cast<double>(to_integer());
}

void Dict::set(const Value& key, Value value) {
  depth = std::max({depth, depth_of(key) + 1, depth_of(value) + 1});
  if (const Value* present = find(key)) {
    const_cast<Value&>(*present) = std::move(value);
    return;
  }
  if (const Text* text = key.text()) index.emplace(text->bytes(), entries.size());
  entries.emplace_back(key, std::move(value));
}

const Value* Dict::find(std::string_view key) const {
  const auto place = index.find(std::string(key));
  return place == index.end() ? nullptr : &entries[place->second].second;
}

const Value* Dict::find(const Value& key) const {
  if (const Text* text = key.text()) return find(text->bytes());
  if (index.size() == entries.size()) return nullptr;
  for (const auto& [present, value] : entries) {
    if (equal_keys(present, key)) return &value;
  }
  return nullptr;
}

std::uint32_t depth_of(const Value& value) {
  if (const Sequence* sequence = value.sequence()) return sequence->depth;
  if (const Dict* dict = value.dict()) return dict->depth;
  if (const auto* bound = value.as<std::shared_ptr<const BoundMethod>>()) {
    return depth_of((*bound)->self) + 1;
  }
  return 0;
}

bool truthy(const Value& value) {
  if (value.is_undefined() || value.is_none()) return false;
  if (const bool* flag = value.as<bool>()) return *flag;
  if (value.is_number()) return value.to_real() != 0;
  if (const Text* text = value.text()) return !text->empty();
  if (const Sequence* sequence = value.sequence()) {
    return sequence->kind == SequenceKind::generator || !sequence->items.empty();
  }
  if (const Dict* dict = value.dict()) return !dict->entries.empty();
  return true;
}

bool equal_numbers(const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) return a.to_integer() == b.to_integer();
  return a.to_real() == b.to_real();
}

bool is_key(const Value& value) { return value.text() || value.is_number() || value.is_none(); }

std::string_view type_name(const Value& value) {
  if (value.is_undefined()) return "Undefined";
  if (value.is_none()) return "NoneType";
  if (value.as<bool>()) return "bool";
  if (value.integer()) return "int";
  if (value.as<double>()) return "float";
  if (value.text()) return "str";
  if (value.dict()) return "dict";
  if (value.name_space()) return "Namespace";
  if (value.as<std::shared_ptr<Loop>>()) return "LoopContext";
  if (value.as<std::shared_ptr<const Macro>>()) return "Macro";
  if (const Sequence* sequence = value.sequence()) return kind_name(sequence->kind);
  return "builtin";
}

std::string_view kind_name(SequenceKind kind) {
  switch (kind) {
    case SequenceKind::list: return "list";
    case SequenceKind::tuple: return "tuple";
    case SequenceKind::range: return "range";
    case SequenceKind::view: return "dict view";
    case SequenceKind::generator: return "generator";
  }
  return "sequence";
}

bool is_callable(const Value& value) {
  return value.as<std::shared_ptr<const Macro>>() || value.as<const Builtin*>() ||
         value.as<std::shared_ptr<const BoundMethod>>();
}

}  // namespace troupe::model::jinja
