// Lines of a file of keys, and OpenSSL's SHA-256 behind them.
#include "services/gateway/api_keys.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>

#include "core/hexadecimal.hpp"

namespace troupe::services {
namespace {

constexpr std::size_t kSaltBytes = 16;
constexpr std::string_view kScheme = "sha256:";
constexpr std::array kRights{Right::generate, Right::tokenize, Right::cluster};

std::optional<std::vector<std::uint8_t>> from_hexadecimal(std::string_view text,
                                                          std::size_t bytes) {
  if (text.size() != 2 * bytes) return std::nullopt;
  std::vector<std::uint8_t> out(bytes);
  for (std::size_t i = 0; i < bytes; ++i) {
    const char* at = text.data() + 2 * i;
    const auto parsed = std::from_chars(at, at + 2, out[i], 16);
    if (parsed.ec != std::errc{} || parsed.ptr != at + 2) return std::nullopt;
  }
  return out;
}

std::array<std::uint8_t, 32> hash_of(const std::vector<std::uint8_t>& salt,
                                     std::string_view secret) {
  std::vector<std::uint8_t> text(salt);
  text.insert(text.end(), secret.begin(), secret.end());
  std::array<std::uint8_t, 32> out{};
  EVP_Digest(text.data(), text.size(), out.data(), nullptr, EVP_sha256(), nullptr);
  return out;
}

Expected<void> read_scheme(std::string_view word, ApiKey& key) {
  const auto wrong = [] {
    return unexpected(Errc::malformed, "the second word is no sha256:SALT:HASH");
  };
  if (!word.starts_with(kScheme)) return wrong();
  word.remove_prefix(kScheme.size());
  const std::size_t colon = word.find(':');
  if (colon == std::string_view::npos) return wrong();
  auto salt = from_hexadecimal(word.substr(0, colon), kSaltBytes);
  const auto hash = from_hexadecimal(word.substr(colon + 1), key.hash.size());
  if (!salt || !hash) return wrong();
  key.salt = *std::move(salt);
  std::copy(hash->begin(), hash->end(), key.hash.begin());
  return {};
}

Expected<void> read_priority_max(std::string_view value, ApiKey& key) {
  std::int32_t priority = 0;
  const auto parsed = std::from_chars(value.data(), value.data() + value.size(), priority);
  if (parsed.ec != std::errc{} || parsed.ptr != value.data() + value.size() || priority < 0 ||
      priority > 1'000'000)
    return unexpected(Errc::malformed, "priority_max takes a number from 0 to 1000000");
  key.priority_max = priority;
  return {};
}

Expected<void> read_limit(std::string_view word, ApiKey& key) {
  const std::size_t equals = word.find('=');
  const std::string_view name = word.substr(0, equals);
  const std::string_view value = equals == std::string_view::npos ? "" : word.substr(equals + 1);
  if (name == "rights") {
    const auto rights = parse_rights(value);
    if (!rights) return unexpected(rights.error());
    key.rights = *rights;
    return {};
  }
  if (name == "priority_max") return read_priority_max(value, key);
  std::int64_t* limit = name == "requests_per_minute" ? &key.requests_per_minute_max
                        : name == "concurrent"        ? &key.concurrent_max
                                                      : nullptr;
  if (limit == nullptr)
    return unexpected(Errc::malformed, "\"" + std::string(name.substr(0, 40)) +
                                           "\" is none of rights, requests_per_minute, concurrent, "
                                           "priority_max");
  const auto parsed = std::from_chars(value.data(), value.data() + value.size(), *limit);
  if (parsed.ec != std::errc{} || parsed.ptr != value.data() + value.size() || *limit < 1 ||
      *limit > 1'000'000)
    return unexpected(Errc::malformed, std::string(name) + " takes a number from 1 to 1000000");
  return {};
}

Expected<ApiKey> read_line(const std::string& line) {
  std::istringstream words(line);
  ApiKey key;
  std::string word;
  words >> key.name;
  if (!is_key_name(key.name))
    return unexpected(Errc::malformed, "a name has letters, digits, \"-\", \"_\" and \".\" only");
  words >> word;
  if (auto read = read_scheme(word, key); !read) return unexpected(read.error());
  while (words >> word) {
    if (auto read = read_limit(word, key); !read) return unexpected(read.error());
  }
  return key;
}

}  // namespace

std::string_view to_string(Right right) {
  switch (right) {
    case Right::generate: return "generate";
    case Right::tokenize: return "tokenize";
    case Right::cluster: return "cluster";
  }
  return "unknown";
}

std::string rights_text(Rights rights) {
  std::string out;
  for (const Right right : kRights) {
    if ((rights & static_cast<Rights>(right)) != 0)
      out += (out.empty() ? "" : ",") + std::string(to_string(right));
  }
  return out;
}

Expected<Rights> parse_rights(std::string_view text) {
  Rights rights = 0;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find(','));
    const auto known = std::find_if(kRights.begin(), kRights.end(),
                                    [&](Right right) { return to_string(right) == part; });
    if (known == kRights.end()) break;
    rights |= static_cast<Rights>(*known);
    text.remove_prefix(std::min(part.size() + 1, text.size()));
  }
  if (text.empty() && rights != 0) return rights;
  return unexpected(Errc::invalid_argument, "rights takes a list of " + rights_text(kAllRights));
}

bool is_key_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  });
}

Expected<ApiKeys> ApiKeys::parse(std::string_view text) {
  ApiKeys keys;
  for (std::size_t number = 1; !text.empty(); ++number) {
    std::string line(text.substr(0, text.find('\n')));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    line = line.substr(0, line.find('#'));
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    auto key = read_line(line);
    const std::string where = "line " + std::to_string(number) + ": ";
    if (!key) return unexpected(Errc::malformed, where + key.error().detail);
    const auto same = [&](const ApiKey& one) { return one.name == key->name; };
    if (std::any_of(keys.keys_.begin(), keys.keys_.end(), same))
      return unexpected(Errc::malformed, where + "the name " + key->name + " occurs twice");
    keys.keys_.push_back(*std::move(key));
  }
  return keys;
}

Expected<ApiKeys> ApiKeys::load(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) return unexpected(Errc::io, "cannot read " + file);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  auto keys = parse(text);
  if (!keys) return unexpected(keys.error().code, file + ": " + keys.error().detail);
  return keys;
}

const ApiKey* ApiKeys::find(std::string_view secret) const {
  const ApiKey* found = nullptr;
  for (const ApiKey& key : keys_) {
    const auto hash = hash_of(key.salt, secret);
    if (CRYPTO_memcmp(hash.data(), key.hash.data(), hash.size()) == 0) found = &key;
  }
  return found;
}

Expected<MadeKey> make_key(const ApiKey& limits) {
  std::array<std::uint8_t, 32> random{};
  ApiKey key = limits;
  key.salt.resize(kSaltBytes);
  if (RAND_bytes(random.data(), random.size()) != 1 ||
      RAND_bytes(key.salt.data(), static_cast<int>(key.salt.size())) != 1)
    return unexpected(Errc::io, "the system has no random bytes");
  MadeKey made;
  made.secret = "sk-troupe-" + to_hex(random);
  key.hash = hash_of(key.salt, made.secret);
  made.line = key.name + " " + std::string(kScheme) + to_hex(key.salt) + ":" + to_hex(key.hash);
  if (key.rights != kClientRights) made.line += " rights=" + rights_text(key.rights);
  if (key.requests_per_minute_max > 0)
    made.line += " requests_per_minute=" + std::to_string(key.requests_per_minute_max);
  if (key.concurrent_max > 0) made.line += " concurrent=" + std::to_string(key.concurrent_max);
  if (key.priority_max) made.line += " priority_max=" + std::to_string(*key.priority_max);
  return made;
}

}  // namespace troupe::services
