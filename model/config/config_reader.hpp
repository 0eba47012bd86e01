// Typed reading of JSON members where the first error is kept and everything after it is harmless.
#pragma once
#include <string>
#include <string_view>

#include "model/config/json_value.hpp"

namespace troupe::model {

/// Bounds of a whole number, both included.
struct IntRange {
  std::int64_t min = 1;
  std::int64_t max = 1 << 24;  // so that products of two dimensions fit 64 bits by far
};

/// Reads members of one object. Every method returns a value in range, or some value after having
/// noted an error that names the key; callers read everything and ask `error()` once.
class ConfigReader {
 public:
  /// `path` is put in front of key names in errors, e.g. "rope_scaling.".
  explicit ConfigReader(const JsonValue& object, std::string path = "");

  /// Present and not null.
  bool has(std::string_view key) const;
  /// Present, even if null.
  bool mentions(std::string_view key) const { return object_->find(key) != nullptr; }

  int require_int(std::string_view key, IntRange range = {});
  int int_or(std::string_view key, int fallback, IntRange range = {});
  /// Finite and above 0, or noted as an error.
  double require_positive(std::string_view key);
  double positive_or(std::string_view key, double fallback);
  /// Finite and at least 0.
  double non_negative_or(std::string_view key, double fallback);
  bool bool_or(std::string_view key, bool fallback);
  std::string require_string(std::string_view key);
  std::string string_or(std::string_view key, std::string fallback);
  const JsonValue* find(std::string_view key) const { return object_->find(key); }

  void fail(Errc code, std::string detail);
  void adopt(const ConfigReader& inner);
  bool ok() const { return error_.code == Errc::ok; }
  const Error& error() const { return error_; }
  std::string name(std::string_view key) const { return path_ + std::string(key); }

 private:
  void missing(std::string_view key);
  void wrong(std::string_view key, std::string_view expected);
  double number(std::string_view key, double fallback, bool zero_allowed);

  const JsonValue* object_;
  std::string path_;
  Error error_{Errc::ok, ""};
};

}  // namespace troupe::model
