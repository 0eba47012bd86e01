// Schemes, keys and certificates that a user names.
#include "services/client/server_access.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>

namespace troupe::services {
namespace {

std::string scheme_of(const std::string& url) {
  const std::size_t at = url.find("://");
  return at == std::string::npos ? "" : url.substr(0, at);
}

}  // namespace

bool ServerAccess::speaks_http() const { return scheme_of(url).starts_with("http"); }

bool ServerAccess::speaks_tls() const { return scheme_of(url).ends_with('s'); }

std::string ServerAccess::address() const {
  const std::size_t at = url.find("://");
  std::string rest = at == std::string::npos ? url : url.substr(at + 3);
  const auto strip = [&rest] {
    while (rest.ends_with('/')) rest.pop_back();
  };
  strip();
  if (rest.ends_with("/v1")) rest.resize(rest.size() - 3);
  strip();
  return rest;
}

Expected<void> check_access(const ServerAccess& access) {
  static constexpr std::array kSchemes{"", "http", "https", "grpc", "grpcs"};
  const std::string scheme = scheme_of(access.url);
  if (std::find(kSchemes.begin(), kSchemes.end(), scheme) == kSchemes.end()) {
    return unexpected(Errc::invalid_argument, "--url " + access.url +
                                                  ": takes http, https, grpc or grpcs in front of "
                                                  "://, not " +
                                                  scheme);
  }
  const bool sendable = std::all_of(access.api_key.begin(), access.api_key.end(),
                                    [](char c) { return c > ' ' && c <= '~'; });
  if (!sendable) {
    return unexpected(Errc::invalid_argument,
                      "--api-key has a character that no header can carry; copy it again");
  }
  if (!access.tls_ca.empty() && !access.speaks_tls()) {
    return unexpected(Errc::invalid_argument,
                      "--tls-ca needs TLS: write https:// or grpcs:// in "
                      "front of --url " +
                          access.url);
  }
  if (auto authorities = read_authorities(access); !authorities)
    return unexpected(std::move(authorities).error());
  return {};
}

Expected<std::string> read_authorities(const ServerAccess& access) {
  if (access.tls_ca.empty()) return std::string();
  std::ifstream file(access.tls_ca, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file.is_open() || file.bad())
    return unexpected(Errc::io, "--tls-ca: cannot read " + access.tls_ca);
  if (text.find("-----BEGIN CERTIFICATE-----") == std::string::npos) {
    return unexpected(Errc::invalid_argument,
                      "--tls-ca: " + access.tls_ca + " has no certificate in PEM form");
  }
  return text;
}

}  // namespace troupe::services
