// Filters over lists: order, ends, joining and grouping.
#include <algorithm>

#include "model/chat/jinja/attribute_path.hpp"
#include "model/chat/jinja/builtins.hpp"
#include "model/chat/jinja/operators.hpp"
#include "model/chat/jinja/print.hpp"
#include "model/chat/jinja/text_operations.hpp"
#include "model/chat/jinja/unicode.hpp"

namespace troupe::model::jinja {
namespace {

Value length_filter(Runtime& runtime, const Value& self, const Arguments&) {
  std::size_t count = 0;
  if (const Text* text = self.text()) {
    if (!runtime.charge_bytes(text->size())) return {};
    count = utf8_length(text->bytes());
  } else if (const Dict* dict = self.dict()) {
    count = dict->entries.size();
  } else if (const Sequence* sequence = self.sequence();
             sequence && sequence->kind != SequenceKind::generator) {
    count = sequence->items.size();
  } else if (!self.is_undefined()) {
    return runtime.fail_type("object of type '" + std::string(type_name(self)) + "' has no len()");
  }
  return Value::integer(static_cast<std::int64_t>(count));
}

Value first_filter(Runtime& runtime, const Value& self, const Arguments&) {
  if (Sequence* sequence = self.sequence();
      sequence && sequence->consumed < sequence->items.size()) {
    const std::size_t at = sequence->consumed;
    if (sequence->kind == SequenceKind::generator) ++sequence->consumed;
    return sequence->items[at];
  }
  const std::vector<Value> items = iterate(runtime, self);
  return items.empty() ? Value::undefined("No first item, sequence was empty.") : items.front();
}

Value last_filter(Runtime& runtime, const Value& self, const Arguments&) {
  if (const Sequence* sequence = self.sequence();
      sequence && sequence->kind == SequenceKind::generator) {
    return runtime.fail_type("'generator' object is not reversible");
  }
  const std::vector<Value> items = iterate(runtime, self);
  return items.empty() ? Value::undefined("No last item, sequence was empty.") : items.back();
}

Value list_filter(Runtime& runtime, const Value& self, const Arguments&) {
  return runtime.list(iterate(runtime, self), SequenceKind::list, self.trusted);
}

Value reverse_filter(Runtime& runtime, const Value& self, const Arguments&) {
  std::vector<Value> items = iterate(runtime, self);
  std::reverse(items.begin(), items.end());
  if (!self.text()) return runtime.list(std::move(items), SequenceKind::generator, self.trusted);
  Text result;
  for (const Value& item : items) result.append(*item.text());
  return runtime.string(std::move(result));
}

Value join_filter(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Text separator = arguments[0] ? to_text(runtime, *arguments[0]) : Text();
  std::vector<Text> parts;
  std::size_t bytes = 0;
  for (const Value& item : iterate(runtime, self)) {
    parts.push_back(
        to_text(runtime, arguments[1] ? at_path(runtime, item, *arguments[1], nullptr) : item));
    bytes += parts.back().size() + separator.size();
    if (!runtime.allow_bytes(bytes)) return {};
  }
  return runtime.string(join(parts, separator));
}

// The sort key of one item: the attributes of a comma separated list, folded unless asked not to.
std::vector<Value> sort_key(Runtime& runtime, const Value& item, const Value* attribute,
                            bool exact) {
  std::vector<Value> key;
  const auto add = [&](Value value) {
    key.push_back(exact ? std::move(value) : folded(runtime, std::move(value)));
  };
  if (!attribute || attribute->is_none()) {
    add(item);
  } else if (const Text* names = attribute->text()) {
    const Text comma(",", true);
    for (Text& name : split(*names, &comma, kNoLimit, false)) {
      add(at_path(runtime, item, Value::string(std::move(name)), nullptr));
    }
  } else {
    add(at_path(runtime, item, *attribute, nullptr));
  }
  return key;
}

bool less_key(Runtime& runtime, const std::vector<Value>& a, const std::vector<Value>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!equal(runtime, a[i], b[i])) return less(runtime, a[i], b[i]);
  }
  return false;
}

struct Keyed {
  std::vector<Value> key;
  Value item;
};

// Insertion by merging, written out: std::sort needs an order that holds even after a failure.
void sort_keyed(Runtime& runtime, std::vector<Keyed>& items) {
  std::vector<Keyed> other(items.size());
  for (std::size_t width = 1; width < items.size(); width *= 2) {
    for (std::size_t begin = 0; begin < items.size(); begin += 2 * width) {
      const std::size_t middle = std::min(begin + width, items.size());
      const std::size_t end = std::min(begin + 2 * width, items.size());
      std::size_t left = begin, right = middle;
      for (std::size_t out = begin; out < end; ++out) {
        const bool take_right =
            left == middle || (right < end && less_key(runtime, items[right].key, items[left].key));
        other[out] = std::move(items[take_right ? right++ : left++]);
      }
    }
    items.swap(other);
  }
}

Value sorted(Runtime& runtime, const std::vector<Value>& items, const Value* attribute, bool exact,
             bool reverse, bool trusted) {
  std::vector<Keyed> keyed;
  for (const Value& item : items)
    keyed.push_back({sort_key(runtime, item, attribute, exact), item});
  if (reverse) std::reverse(keyed.begin(), keyed.end());  // so that equal ones keep their order
  sort_keyed(runtime, keyed);
  if (reverse) std::reverse(keyed.begin(), keyed.end());
  std::vector<Value> result;
  for (Keyed& entry : keyed) result.push_back(std::move(entry.item));
  return runtime.list(std::move(result), SequenceKind::list, trusted);
}

Value sort_filter(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return sorted(runtime, iterate(runtime, self), arguments[2], arguments.flag(1), arguments.flag(0),
                self.trusted);
}

Value items_filter(Runtime& runtime, const Value& self, const Arguments&) {
  if (self.is_undefined()) return runtime.list({}, SequenceKind::generator);
  if (!self.dict()) return runtime.fail_type("Can only get item pairs from a mapping.");
  return dict_items(runtime, *self.dict(), SequenceKind::generator, self.trusted);
}

Value dictsort_filter(Runtime& runtime, const Value& self, const Arguments& arguments) {
  if (!self.dict()) return runtime.fail_type("dictsort needs a dict");
  const Text* by = arguments.text(runtime, 1);
  if (by && by->bytes() != "key" && by->bytes() != "value") {
    return runtime.fail_type("You can only sort by either \"key\" or \"value\"");
  }
  const Value index = Value::integer(by && by->bytes() == "value" ? 1 : 0);
  const Value pairs = dict_items(runtime, *self.dict(), SequenceKind::list, self.trusted);
  return sorted(runtime, iterate(runtime, pairs), &index, arguments.flag(0), arguments.flag(2),
                self.trusted);
}

Value unique_filter(Runtime& runtime, const Value& self, const Arguments& arguments) {
  std::vector<Value> result, seen;
  for (const Value& item : iterate(runtime, self)) {
    Value key = arguments[1] ? at_path(runtime, item, *arguments[1], nullptr) : item;
    if (!arguments.flag(0)) key = folded(runtime, std::move(key));
    const bool known = std::any_of(seen.begin(), seen.end(),
                                   [&](const Value& other) { return equal(runtime, other, key); });
    if (runtime.failed()) return {};
    if (known) continue;
    seen.push_back(std::move(key));
    result.push_back(item);
  }
  return runtime.list(std::move(result), SequenceKind::generator, self.trusted);
}

Value extreme(Runtime& runtime, const Value& self, const Arguments& arguments, bool largest) {
  const std::vector<Value> items = iterate(runtime, self);
  if (items.empty()) return Value::undefined("No aggregated item, sequence was empty.");
  const auto key = [&](const Value& item) {
    Value value = arguments[1] ? at_path(runtime, item, *arguments[1], nullptr) : item;
    return arguments.flag(0) ? value : folded(runtime, std::move(value));
  };
  std::size_t best = 0;
  Value best_key = key(items[0]);
  for (std::size_t i = 1; i < items.size() && !runtime.failed(); ++i) {
    Value candidate = key(items[i]);
    if (!(largest ? less(runtime, best_key, candidate) : less(runtime, candidate, best_key)))
      continue;
    best = i;
    best_key = std::move(candidate);
  }
  return items[best];
}

Value min_filter(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return extreme(runtime, self, arguments, false);
}

Value max_filter(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return extreme(runtime, self, arguments, true);
}

Value sum_filter(Runtime& runtime, const Value& self, const Arguments& arguments) {
  Value total = arguments[1] ? *arguments[1] : Value::integer(0);
  for (const Value& item : iterate(runtime, self)) {
    const bool whole = !arguments[0] || arguments[0]->is_none();
    total = arithmetic(runtime, Operator::add, total,
                       whole ? item : at_path(runtime, item, *arguments[0], nullptr));
  }
  return total;
}

Value batch_filter(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const std::int64_t size = arguments.integer(runtime, 0, 1);
  if (size < 1 || size > 100'000) return runtime.fail_type("batch: size out of range");
  std::vector<Value> batches, row;
  const auto flush = [&] {
    batches.push_back(runtime.list(std::exchange(row, {}), SequenceKind::list, self.trusted));
  };
  for (const Value& item : iterate(runtime, self)) {
    if (static_cast<std::int64_t>(row.size()) == size) flush();
    row.push_back(item);
  }
  if (!row.empty()) {
    const bool fill = arguments[1] && !arguments[1]->is_none();
    while (fill && static_cast<std::int64_t>(row.size()) < size) row.push_back(*arguments[1]);
    flush();
  }
  return runtime.list(std::move(batches), SequenceKind::generator, self.trusted);
}

constexpr Builtin kFilters[] = {
    {"length", "", length_filter},
    {"count", "", length_filter},
    {"first", "", first_filter},
    {"last", "", last_filter},
    {"list", "", list_filter},
    {"reverse", "", reverse_filter},
    {"join", "d attribute", join_filter},
    {"sort", "reverse case_sensitive attribute", sort_filter},
    {"items", "", items_filter},
    {"dictsort", "case_sensitive by reverse", dictsort_filter},
    {"unique", "case_sensitive attribute", unique_filter},
    {"min", "case_sensitive attribute", min_filter},
    {"max", "case_sensitive attribute", max_filter},
    {"sum", "attribute start", sum_filter},
    {"batch", "linecount! fill_with", batch_filter},
};

}  // namespace

std::span<const Builtin> sequence_filters() { return kFilters; }

}  // namespace troupe::model::jinja
