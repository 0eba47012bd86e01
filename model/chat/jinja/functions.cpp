// Global functions of templates.
#include "model/chat/jinja/builtins.hpp"
#include "model/chat/jinja/calendar.hpp"
#include "model/chat/jinja/print.hpp"

namespace troupe::model::jinja {
namespace {

Value range_function(Runtime& runtime, const Value&, const Arguments& arguments) {
  const bool only_stop = !arguments[1];
  for (std::size_t i = 0; i < 3; ++i) {
    if (arguments[i] && !arguments[i]->is_integral()) {
      return runtime.fail_type("range() takes integers, not '" +
                               std::string(type_name(*arguments[i])) + "'");
    }
  }
  const std::int64_t start = only_stop ? 0 : arguments[0]->to_integer();
  const std::int64_t stop = arguments[only_stop ? 0 : 1]->to_integer();
  const std::int64_t step = arguments[2] ? arguments[2]->to_integer() : 1;
  if (step == 0) return runtime.fail_type("range() arg 3 must not be zero");
  std::vector<Value> items;
  for (std::int64_t at = start; step > 0 ? at < stop : at > stop;) {
    if (items.size() == runtime.limits().range_max) {
      return runtime.fail(Errc::resource_exhausted,
                          "range() of more than " + std::to_string(items.size()) + " items");
    }
    items.push_back(Value::integer(at));
    if (__builtin_add_overflow(at, step, &at)) break;
  }
  return runtime.list(std::move(items), SequenceKind::range);
}

// The one positional dict of dict(...) or namespace(...), then the named values.
bool collect(Runtime& runtime, const CallArguments& arguments, Dict& dict) {
  if (arguments.positional.size() > 1) {
    runtime.fail_type("expected at most 1 positional argument");
    return false;
  }
  if (!arguments.positional.empty()) {
    const Dict* first = arguments.positional[0].dict();
    if (!first) {
      runtime.fail(Errc::unsupported, "dict() and namespace() of something that is no dict");
      return false;
    }
    dict = *first;
  }
  for (const auto& [name, value] : arguments.named) dict.set(Value::string(name), value);
  return true;
}

Value dict_function(Runtime& runtime, const Value&, const Arguments& arguments) {
  Dict dict;
  if (!collect(runtime, arguments.raw(), dict)) return {};
  return runtime.dict(std::move(dict));
}

Value namespace_function(Runtime& runtime, const Value&, const Arguments& arguments) {
  Dict attributes;
  if (!collect(runtime, arguments.raw(), attributes)) return {};
  return runtime.make_namespace(std::move(attributes));
}

Value raise_function(Runtime& runtime, const Value&, const Arguments& arguments) {
  return runtime.fail(Errc::invalid_argument, "the template refuses these messages: " +
                                                  to_text(runtime, *arguments[0]).bytes());
}

Value strftime_function(Runtime& runtime, const Value&, const Arguments& arguments) {
  const Text* format = arguments.text(runtime, 0);
  if (!format) return runtime.fail_type("strftime_now needs a format");
  if (!runtime.local_time) {
    return runtime.fail(Errc::unsupported, "strftime_now: no time is supplied for this prompt");
  }
  const auto text = format_time(format->bytes(), *runtime.local_time);
  if (!text) {
    return runtime.fail(Errc::unsupported, "strftime_now: the format '" + format->bytes() + "'");
  }
  return runtime.string(Text(*text, format->trusted()));
}

Value unsupported_function(Runtime& runtime, const Value&, const Arguments&) {
  return runtime.fail(Errc::unsupported,
                      "the functions joiner, cycler and lipsum are not supported");
}

constexpr Builtin kFunctions[] = {
    {"range", "start! stop step", range_function},  {"dict", "*", dict_function},
    {"namespace", "*", namespace_function},         {"raise_exception", "message!", raise_function},
    {"strftime_now", "format!", strftime_function}, {"joiner", "*", unsupported_function},
    {"cycler", "*", unsupported_function},          {"lipsum", "*", unsupported_function},
};

}  // namespace

std::span<const Builtin> global_functions() { return kFunctions; }

}  // namespace troupe::model::jinja
