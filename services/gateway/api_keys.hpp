// API keys as a file keeps them: names, salted hashes, rights and limits; never the keys
// themselves.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/expected.hpp"

namespace troupe::services {

/// `cluster`: to see what `troupe status` shows, hosts and processes left out.
enum class Right : std::uint8_t { generate = 1, tokenize = 2, cluster = 4 };
std::string_view to_string(Right right);
using Rights = std::uint8_t;
inline constexpr Rights kAllRights = 7;
inline constexpr Rights kClientRights = 3;  // of a key whose line names none

struct ApiKey {
  std::string name;                     // in logs and errors
  std::vector<std::uint8_t> salt;       // 16 bytes, random
  std::array<std::uint8_t, 32> hash{};  // SHA-256 of salt and key
  Rights rights = kClientRights;
  std::int64_t requests_per_minute_max = 0;                 // 0: no limit
  std::int64_t concurrent_max = 0;                          // 0: no limit
  std::optional<std::int32_t> priority_max = std::nullopt;  // that requests may ask for; none: any

  bool may(Right right) const { return (rights & static_cast<Rights>(right)) != 0; }
};

/// *Threading*: const calls from any thread.
class ApiKeys {
 public:
  /// A key a line: NAME sha256:SALT:HASH [rights=generate,tokenize,cluster]
  /// [requests_per_minute=N] [concurrent=N] [priority_max=N]; "#" begins a comment.
  /// *Errors*: `malformed` with the line and what it lacks.
  static Expected<ApiKeys> parse(std::string_view text);
  /// *Errors*: those of `parse`, and `io`; both name the file.
  static Expected<ApiKeys> load(const std::string& file);

  /// The key that `secret` is, or null. Takes the same time whether and where there is one.
  const ApiKey* find(std::string_view secret) const;
  const std::vector<ApiKey>& all() const { return keys_; }

 private:
  std::vector<ApiKey> keys_;
};

/// A new key: what its owner is told once, and the line that goes into the file.
struct MadeKey {
  std::string secret;  // "sk-troupe-" and 64 hexadecimal digits: 256 random bits
  std::string line;
};
/// `limits`: name, rights and limits; salt and hash are made. *Errors*: `io` without random bytes.
Expected<MadeKey> make_key(const ApiKey& limits);

/// "generate,tokenize" -> Rights. *Errors*: `invalid_argument` that lists what there is.
Expected<Rights> parse_rights(std::string_view text);
/// What parse_rights reads.
std::string rights_text(Rights rights);
/// Letters, digits, "-", "_" and ".", 1 to 64 of them.
bool is_key_name(std::string_view name);

}  // namespace troupe::services
