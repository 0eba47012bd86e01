// Builds value trees from nlohmann's event parser; the one place where its exceptions are caught.
#include "model/config/json_value.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <exception>
#include <nlohmann/json.hpp>

#include "model/config/json_error_text.hpp"

namespace troupe::model {
namespace {

/// Name of a key that occurs twice, if one does.
std::optional<std::string> repeated_key(const JsonValue::Object& members) {
  std::vector<std::string_view> keys;
  keys.reserve(members.size());
  for (const JsonMember& member : members) keys.push_back(member.key);
  std::sort(keys.begin(), keys.end());
  const auto twice = std::adjacent_find(keys.begin(), keys.end());
  if (twice == keys.end()) return std::nullopt;
  return std::string(*twice);
}

/// Receives parse events. A container under construction is not moved until it is closed, because
/// only the innermost one grows; so plain pointers to the open ones stay valid.
class TreeBuilder : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit TreeBuilder(JsonLimits limits) : limits_(limits) {}

  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(number_integer_t value) override { return put(std::int64_t{value}); }
  bool number_unsigned(number_unsigned_t value) override {
    if (value <= static_cast<number_unsigned_t>(INT64_MAX))
      return put(static_cast<std::int64_t>(value));
    return put(std::uint64_t{value});
  }
  bool number_float(number_float_t value, const string_t&) override { return put(double{value}); }
  bool string(string_t& value) override { return put(std::move(value)); }
  bool binary(binary_t&) override { return fail("binary values are not JSON"); }
  bool start_object(std::size_t) override { return open(JsonValue::Object{}); }
  bool start_array(std::size_t) override { return open(JsonValue::Array{}); }
  bool key(string_t& value) override {
    key_ = std::move(value);
    return true;
  }
  bool end_object() override {
    const auto repeated = repeated_key(std::get<JsonValue::Object>(open_.back()->data));
    open_.pop_back();
    return repeated ? fail("the key " + quote_json(*repeated) + " occurs twice") : true;
  }
  bool end_array() override {
    open_.pop_back();
    return true;
  }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    return fail(json_error_text(error.what(), position));
  }

  JsonValue root;
  std::string failure;

 private:
  bool fail(std::string why) {
    if (failure.empty()) failure = std::move(why);
    return false;
  }

  template <class T>
  JsonValue* place(T&& value) {
    if (open_.empty()) {
      root.data = std::forward<T>(value);
      return &root;
    }
    if (auto* array = std::get_if<JsonValue::Array>(&open_.back()->data)) {
      array->push_back(JsonValue{std::forward<T>(value)});
      return &array->back();
    }
    auto& members = std::get<JsonValue::Object>(open_.back()->data);
    members.push_back(JsonMember{std::move(key_), JsonValue{std::forward<T>(value)}});
    return &members.back().value;
  }

  template <class T>
  bool put(T&& value) {
    place(std::forward<T>(value));
    return true;
  }

  template <class T>
  bool open(T&& container) {
    if (open_.size() >= limits_.depth_max)
      return fail("nested deeper than " + std::to_string(limits_.depth_max) + " levels");
    open_.push_back(place(std::forward<T>(container)));
    return true;
  }

  JsonLimits limits_;
  std::vector<JsonValue*> open_;
  std::string key_;
};

std::string number_text(double value) {
  std::array<char, 64> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  std::string text(buffer.data(), end);
  if (text.find_first_of(".eni") == std::string::npos) text += ".0";
  return text;
}

class Writer {
 public:
  Writer(int indent, JsonKeys keys) : indent_(indent), keys_(keys) {}

  void write(const JsonValue& value) {
    if (value.is_null()) {
      text += "null";
    } else if (const auto flag = value.boolean()) {
      text += *flag ? "true" : "false";
    } else if (const auto* small = std::get_if<std::int64_t>(&value.data)) {
      text += std::to_string(*small);
    } else if (const auto* big = std::get_if<std::uint64_t>(&value.data)) {
      text += std::to_string(*big);
    } else if (const auto* real = std::get_if<double>(&value.data)) {
      text += number_text(*real);
    } else if (const auto* words = value.string()) {
      text += quote_json(*words);
    } else if (const auto* items = value.array()) {
      write_array(*items);
    } else {
      write_object(*value.object());
    }
  }

  std::string text;

 private:
  void line(int depth) {
    if (indent_ == 0) return;
    text += '\n';
    text.append(static_cast<std::size_t>(indent_) * static_cast<std::size_t>(depth), ' ');
  }

  void write_array(const JsonValue::Array& items) {
    text += '[';
    ++depth_;
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (i != 0) text += ',';
      line(depth_);
      write(items[i]);
    }
    --depth_;
    if (!items.empty()) line(depth_);
    text += ']';
  }

  void write_object(const JsonValue::Object& members) {
    std::vector<const JsonMember*> order;
    for (const JsonMember& member : members) order.push_back(&member);
    if (keys_ == JsonKeys::sorted)
      std::sort(order.begin(), order.end(), [](auto* a, auto* b) { return a->key < b->key; });
    text += '{';
    ++depth_;
    for (std::size_t i = 0; i < order.size(); ++i) {
      if (i != 0) text += ',';
      line(depth_);
      text += quote_json(order[i]->key) + (indent_ == 0 ? ":" : ": ");
      write(order[i]->value);
    }
    --depth_;
    if (!members.empty()) line(depth_);
    text += '}';
  }

  int indent_;
  JsonKeys keys_;
  int depth_ = 0;
};

}  // namespace

std::optional<bool> JsonValue::boolean() const {
  const bool* value = std::get_if<bool>(&data);
  return value == nullptr ? std::nullopt : std::optional<bool>(*value);
}

std::optional<std::int64_t> JsonValue::integer() const {
  const auto* value = std::get_if<std::int64_t>(&data);
  return value == nullptr ? std::nullopt : std::optional<std::int64_t>(*value);
}

std::optional<double> JsonValue::number() const {
  if (const auto* value = std::get_if<double>(&data)) return *value;
  if (const auto* value = std::get_if<std::int64_t>(&data)) return static_cast<double>(*value);
  if (const auto* value = std::get_if<std::uint64_t>(&data)) return static_cast<double>(*value);
  return std::nullopt;
}

const JsonValue* JsonValue::find(std::string_view key) const {
  const Object* members = object();
  if (members == nullptr) return nullptr;
  for (const JsonMember& member : *members)
    if (member.key == key) return &member.value;
  return nullptr;
}

Expected<JsonValue> parse_json(std::string_view text, JsonLimits limits) {
  TreeBuilder builder(limits);
  try {
    if (nlohmann::json::sax_parse(text.begin(), text.end(), &builder))
      return std::move(builder.root);
  } catch (const std::bad_alloc&) {
    throw;  // says nothing of the text
  } catch (const std::exception& error) {
    return unexpected(Errc::malformed, json_error_text(error.what(), 0));
  }
  return unexpected(Errc::malformed, builder.failure);
}

std::string to_json(const JsonValue& value, int indent, JsonKeys keys) {
  Writer writer(indent, keys);
  writer.write(value);
  return std::move(writer.text);
}

std::string quote_json(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (byte < 0x20 || byte == 0x7f) {
      std::array<char, 8> escape{};
      std::snprintf(escape.data(), escape.size(), "\\u%04x", byte);
      out += escape.data();
    } else {
      out += c;
    }
  }
  return out + '"';
}

}  // namespace troupe::model
