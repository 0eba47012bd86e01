// Short ways to write JSON values: what replies are built of.
#pragma once
#include <concepts>
#include <string>
#include <utility>

#include "model/config/json_value.hpp"

namespace troupe::services::http {

using model::JsonMember;
using model::JsonValue;

template <std::signed_integral T>
JsonValue json(T number) {
  return {static_cast<std::int64_t>(number)};
}
template <std::floating_point T>
JsonValue json(T number) {
  return {static_cast<double>(number)};
}
inline JsonValue json(bool flag) { return {flag}; }
inline JsonValue json(std::string text) { return {std::move(text)}; }
inline JsonValue json(const char* text) { return {std::string(text)}; }
inline JsonValue json(JsonValue::Array items) { return {std::move(items)}; }
inline JsonValue json(JsonValue::Object members) { return {std::move(members)}; }
inline JsonValue json_null() { return {nullptr}; }

/// A list of numbers, strings or whatever json() takes.
template <class Items>
JsonValue json_array(const Items& items) {
  JsonValue::Array out;
  for (const auto& item : items) out.push_back(json(item));
  return {std::move(out)};
}

/// {"key": value} members, in order, with the text of whole objects at the end.
class JsonObject {
 public:
  template <class T>
  JsonObject& add(std::string key, T value) {
    if constexpr (std::same_as<T, JsonValue>) {
      members_.push_back({std::move(key), std::move(value)});
    } else {
      members_.push_back({std::move(key), json(std::move(value))});
    }
    return *this;
  }
  JsonValue value() { return {std::move(members_)}; }
  std::string text() { return model::to_json(value()); }

 private:
  JsonValue::Object members_;
};

}  // namespace troupe::services::http
