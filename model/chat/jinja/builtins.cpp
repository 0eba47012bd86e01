// Lookup in the tables of builtins.
#include "model/chat/jinja/builtins.hpp"

#include <algorithm>

namespace troupe::model::jinja {
namespace {

const Builtin* find_in(std::span<const Builtin> table, std::string_view name) {
  const auto place =
      std::find_if(table.begin(), table.end(), [&](const Builtin& b) { return b.name == name; });
  return place == table.end() ? nullptr : &*place;
}

}  // namespace

const Builtin* find_filter(std::string_view name) {
  for (const auto table :
       {text_filters(), sequence_filters(), selection_filters(), number_filters()}) {
    if (const Builtin* filter = find_in(table, name)) return filter;
  }
  return nullptr;
}

const Builtin* find_test(std::string_view name) { return find_in(all_tests(), name); }

const Builtin* find_method(const Value& self, std::string_view name) {
  if (self.text()) return find_in(string_methods(), name);
  if (self.dict()) return find_in(dict_methods(), name);
  if (self.sequence()) return find_in(list_methods(), name);
  if (self.as<std::shared_ptr<Loop>>()) return find_in(loop_methods(), name);
  return nullptr;
}

const Builtin* find_function(std::string_view name) { return find_in(global_functions(), name); }

}  // namespace troupe::model::jinja
