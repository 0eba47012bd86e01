// SSL_CTX from two files, with OpenSSL's reasons in words.
#include "services/gateway/http/tls_context.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <array>
#include <fstream>

namespace troupe::services::http {
namespace {

std::string last_reason() {
  std::array<char, 256> text{};
  unsigned long code = ERR_get_error();
  ERR_error_string_n(code, text.data(), text.size());
  const char* reason = ERR_reason_error_string(code);
  ERR_clear_error();
  return reason != nullptr ? reason : text.data();
}

Unexpected unusable(const char* key, const std::string& file, const std::string& why) {
  return unexpected(Errc::invalid_argument, std::string(key) + ": " + file + ": " + why);
}

Expected<void> check_readable(const char* key, const std::string& file) {
  if (std::ifstream(file).good()) return {};
  return unexpected(Errc::invalid_argument, std::string(key) + ": cannot read " + file);
}

}  // namespace

Expected<std::shared_ptr<const TlsContext>> TlsContext::load(const std::string& cert_file,
                                                             const std::string& key_file) {
  if (auto found = check_readable("tls.cert_file", cert_file); !found)
    return unexpected(found.error());
  if (auto found = check_readable("tls.key_file", key_file); !found)
    return unexpected(found.error());
  SSL_CTX* made = SSL_CTX_new(TLS_server_method());
  if (made == nullptr) return unexpected(Errc::internal, "OpenSSL: " + last_reason());
  std::shared_ptr<const TlsContext> context(new TlsContext(made));
  SSL_CTX_set_min_proto_version(made, TLS1_2_VERSION);
  SSL_CTX_set_options(made, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(made, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  if (SSL_CTX_use_certificate_chain_file(made, cert_file.c_str()) != 1)
    return unusable("tls.cert_file", cert_file, last_reason() + ". Give PEM");
  if (SSL_CTX_use_PrivateKey_file(made, key_file.c_str(), SSL_FILETYPE_PEM) != 1)
    return unusable("tls.key_file", key_file,
                    last_reason() + ". Give the certificate's key as PEM");
  return context;
}

TlsContext::~TlsContext() { SSL_CTX_free(static_cast<SSL_CTX*>(context_)); }

}  // namespace troupe::services::http
