// Range-checked access to the members of a JSON object.
#include "model/config/config_reader.hpp"

#include <cmath>
#include <utility>

namespace troupe::model {
namespace {

/// Whole numbers, also when written as 4096.0, as some exporters do.
std::optional<std::int64_t> whole(const JsonValue& value) {
  if (const auto integer = value.integer()) return integer;
  const auto number = value.number();
  if (!number || std::abs(*number) > 0x1p53 || std::trunc(*number) != *number) return std::nullopt;
  return static_cast<std::int64_t>(*number);
}

}  // namespace

ConfigReader::ConfigReader(const JsonValue& object, std::string path)
    : object_(&object), path_(std::move(path)) {
  if (object.object() == nullptr)
    fail(Errc::malformed, (path_.empty() ? "the file" : path_) + " is not a JSON object");
}

bool ConfigReader::has(std::string_view key) const {
  const JsonValue* value = object_->find(key);
  return value != nullptr && !value->is_null();
}

void ConfigReader::fail(Errc code, std::string detail) {
  if (ok()) error_ = {code, std::move(detail)};
}

void ConfigReader::adopt(const ConfigReader& inner) {
  if (!inner.ok()) fail(inner.error().code, inner.error().detail);
}

void ConfigReader::missing(std::string_view key) {
  fail(Errc::malformed, "the required key " + name(key) + " is missing");
}

void ConfigReader::wrong(std::string_view key, std::string_view expected) {
  fail(Errc::malformed,
       name(key) + " is " + to_json(*object_->find(key)) + ", expected " + std::string(expected));
}

int ConfigReader::require_int(std::string_view key, IntRange range) {
  if (!has(key)) {
    missing(key);
    return static_cast<int>(range.min);
  }
  return int_or(key, 0, range);
}

int ConfigReader::int_or(std::string_view key, int fallback, IntRange range) {
  if (!has(key)) return fallback;
  const auto value = whole(*object_->find(key));
  if (value && *value >= range.min && *value <= range.max) return static_cast<int>(*value);
  wrong(key,
        "a whole number from " + std::to_string(range.min) + " to " + std::to_string(range.max));
  return static_cast<int>(range.min);
}

double ConfigReader::number(std::string_view key, double fallback, bool zero_allowed) {
  if (!has(key)) return fallback;
  const auto value = object_->find(key)->number();
  const bool fits = value && std::isfinite(*value) && (*value > 0 || (zero_allowed && *value == 0));
  if (fits) return *value;
  wrong(key, zero_allowed ? "a number of at least 0" : "a number above 0");
  return 1;
}

double ConfigReader::require_positive(std::string_view key) {
  if (!has(key)) missing(key);
  return number(key, 1, false);
}

double ConfigReader::positive_or(std::string_view key, double fallback) {
  return number(key, fallback, false);
}

double ConfigReader::non_negative_or(std::string_view key, double fallback) {
  return number(key, fallback, true);
}

bool ConfigReader::bool_or(std::string_view key, bool fallback) {
  if (!has(key)) return fallback;
  if (const auto value = object_->find(key)->boolean()) return *value;
  wrong(key, "true or false");
  return fallback;
}

std::string ConfigReader::require_string(std::string_view key) {
  if (!has(key)) missing(key);
  return string_or(key, "");
}

std::string ConfigReader::string_or(std::string_view key, std::string fallback) {
  if (!has(key)) return fallback;
  if (const std::string* value = object_->find(key)->string()) return *value;
  wrong(key, "a string");
  return fallback;
}

}  // namespace troupe::model
