// Types of members, and the sentences when they are others.
#include "services/gateway/http/field_reader.hpp"

#include <cmath>
#include <limits>

namespace troupe::services::http {
namespace {

constexpr std::int64_t kWholeMin = std::numeric_limits<std::int32_t>::min();
constexpr std::int64_t kWholeMax = std::numeric_limits<std::int32_t>::max();

void add(std::vector<std::string>& list, std::string path) {
  if (list.size() < Findings::kMax) list.push_back(std::move(path));
}

void add(std::vector<FieldViolation>& list, std::string path, std::string description) {
  if (list.size() < Findings::kMax) list.push_back({std::move(path), std::move(description)});
}

/// A number without a fraction, however it is written: 2.0 is 2, as JSON schemas have it.
std::optional<std::int64_t> integer_of(const JsonValue& value) {
  if (const auto integer = value.integer()) return integer;
  constexpr double kExactMax = 9007199254740992.0;  // 2^53: beyond, doubles leave numbers out
  const auto* real = std::get_if<double>(&value.data);
  if (real == nullptr || std::abs(*real) > kExactMax || std::trunc(*real) != *real)
    return std::nullopt;
  return static_cast<std::int64_t>(*real);
}

bool is_whole(const JsonValue& value) {
  const auto number = integer_of(value);
  return number && *number >= kWholeMin && *number <= kWholeMax;
}

/// The nearest float, but none of 0 for a number above or below it: ranges leave 0 out.
float narrow(double number) {
  const auto near = static_cast<float>(number);
  if (near != 0 || number == 0) return near;
  return std::copysign(std::numeric_limits<float>::min(), near);
}

std::string instead(const char* takes, const JsonValue& got) {
  std::string shown = type_name(got);
  if (got.number()) shown = to_json(got);
  return std::string("takes ") + takes + ", not " + shown;
}

constexpr const char* kWhole = "a whole number of 32 bits";

}  // namespace

std::optional<ApiError> Findings::error() const {
  if (!wrong.empty()) return invalid_fields(wrong);
  if (!not_served.empty())
    return services::not_served(not_served.front().path, not_served.front().when);
  return std::nullopt;
}

void Findings::add_not_served(std::string path, std::string when) {
  if (not_served.size() < kMax) not_served.push_back({std::move(path), std::move(when)});
}

std::string type_name(const JsonValue& value) {
  static constexpr const char* kNames[] = {"null",     "a boolean", "a whole number", "a number",
                                           "a number", "a string",  "an array",       "an object"};
  return kNames[value.data.index()];
}

std::vector<std::int32_t> read_ids(const JsonValue::Array& array, const std::string& path,
                                   Findings& findings) {
  std::vector<std::int32_t> ids;
  ids.reserve(array.size());
  for (std::size_t i = 0; i < array.size(); ++i) {
    if (is_whole(array[i])) {
      ids.push_back(static_cast<std::int32_t>(*integer_of(array[i])));
      continue;
    }
    add(findings.wrong, path + "[" + std::to_string(i) + "]", instead("a token id", array[i]));
    break;
  }
  return ids;
}

FieldReader::FieldReader(const JsonValue::Object& object, std::string prefix, Findings& findings)
    : object_(object), prefix_(std::move(prefix)), findings_(findings) {}

const JsonValue* FieldReader::any(std::string_view key) {
  known_.emplace(key);
  for (const JsonMember& member : object_) {
    if (member.key == key) return member.value.is_null() ? nullptr : &member.value;
  }
  return nullptr;
}

const JsonValue* FieldReader::typed(std::string_view key, bool (*fits)(const JsonValue&),
                                    const char* takes) {
  const JsonValue* value = any(key);
  if (value == nullptr || fits(*value)) return value;
  fail(key, instead(takes, *value));
  return nullptr;
}

std::optional<std::string> FieldReader::text(std::string_view key) {
  const auto* value = typed(
      key, [](const JsonValue& one) { return one.string() != nullptr; }, "a string");
  return value == nullptr ? std::nullopt : std::optional(*value->string());
}

std::optional<bool> FieldReader::boolean(std::string_view key) {
  const auto* value = typed(
      key, [](const JsonValue& one) { return one.boolean().has_value(); }, "true or false");
  return value == nullptr ? std::nullopt : value->boolean();
}

std::optional<float> FieldReader::number(std::string_view key) {
  const auto* value = typed(
      key, [](const JsonValue& one) { return one.number().has_value(); }, "a number");
  return value == nullptr ? std::nullopt : std::optional(narrow(*value->number()));
}

std::optional<std::int32_t> FieldReader::whole(std::string_view key) {
  const auto* value = typed(key, is_whole, kWhole);
  return value == nullptr ? std::nullopt
                          : std::optional(static_cast<std::int32_t>(*integer_of(*value)));
}

std::optional<std::uint64_t> FieldReader::seed(std::string_view key) {
  const auto* value = typed(
      key,
      [](const JsonValue& one) {
        return integer_of(one) || std::holds_alternative<std::uint64_t>(one.data);
      },
      "a whole number of 64 bits");
  if (value == nullptr) return std::nullopt;
  if (const auto* big = std::get_if<std::uint64_t>(&value->data)) return *big;
  return static_cast<std::uint64_t>(*integer_of(*value));
}

const JsonValue::Array* FieldReader::array(std::string_view key) {
  const auto* value = typed(
      key, [](const JsonValue& one) { return one.array() != nullptr; }, "an array");
  return value == nullptr ? nullptr : value->array();
}

const JsonValue::Object* FieldReader::object(std::string_view key) {
  const auto* value = typed(
      key, [](const JsonValue& one) { return one.object() != nullptr; }, "an object");
  return value == nullptr ? nullptr : value->object();
}

std::vector<std::int32_t> FieldReader::ids(std::string_view key) {
  const auto* list = array(key);
  return list == nullptr ? std::vector<std::int32_t>() : read_ids(*list, path(key), findings_);
}

std::vector<std::string> FieldReader::texts(std::string_view key) {
  const JsonValue* value = any(key);
  if (value == nullptr) return {};
  if (const auto* one = value->string()) return {*one};
  if (value->array() == nullptr) {
    fail(key, instead("a string or an array of strings", *value));
    return {};
  }
  std::vector<std::string> out;
  for (const JsonValue& item : *value->array()) {
    if (item.string() == nullptr) {
      fail(std::string(key) + "[" + std::to_string(out.size()) + "]", instead("a string", item));
      return {};
    }
    out.push_back(*item.string());
  }
  return out;
}

void FieldReader::refuse(std::string_view key) {
  if (any(key) != nullptr) findings_.add_not_served(path(key));
}

void FieldReader::refuse_unless(std::string_view key, const JsonValue& fine) {
  const JsonValue* value = any(key);
  if (value != nullptr && to_json(*value) != to_json(fine)) findings_.add_not_served(path(key));
}

void FieldReader::ignore(std::string_view key) {
  if (any(key) != nullptr) add(findings_.ignored, path(key));
}

void FieldReader::ignore_rest() {
  for (const JsonMember& member : object_) {
    if (!known_.contains(member.key)) add(findings_.ignored, path(member.key));
  }
}

void FieldReader::fail(std::string_view key, std::string description) {
  add(findings_.wrong, path(key), std::move(description));
}

}  // namespace troupe::services::http
