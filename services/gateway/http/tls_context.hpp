// A server's certificate and key, checked once and shared by its connections. No OpenSSL in here.
#pragma once
#include <memory>
#include <string>

#include "core/expected.hpp"

namespace troupe::services::http {

/// TLS 1.2 and later. *Threading*: any.
class TlsContext {
 public:
  /// PEM files; the certificate's chain stands behind it in the same file. *Errors*:
  /// `invalid_argument` that names the file: it cannot be read, is no PEM, or the key is of another
  /// certificate.
  static Expected<std::shared_ptr<const TlsContext>> load(const std::string& cert_file,
                                                          const std::string& key_file);
  TlsContext(const TlsContext&) = delete;
  ~TlsContext();
  void* native() const { return context_; }  // SSL_CTX

 private:
  explicit TlsContext(void* context) : context_(context) {}
  void* context_;
};

}  // namespace troupe::services::http
