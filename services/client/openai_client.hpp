// A server with an OpenAI-compatible HTTP API as a client sees it. No HTTP library in here.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "services/client/inference_client.hpp"

namespace troupe::services {

/// What came back, whatever the status.
struct HttpAnswer {
  int status = 0;  // 0: nobody answered, or not to the end
  std::string body;
  std::string problem;  // why the status is 0
  std::string request_id;
  std::int64_t retry_after_s = 0;  // 0: not told
};

/// *Threading*: any. Calls block; each makes a connection of its own.
class OpenAiClient final : public GenerateClient {
 public:
  /// Over HTTP, whatever the scheme but for its TLS. `check_access` has found `access` well.
  explicit OpenAiClient(ServerAccess access);

  HttpAnswer post(const std::string& path, const std::string& body) const;
  std::unique_ptr<ClientStream> generate(const GenerateCall& call) const override;
  /// The model of that name, or the first one that is served.
  Answered<ClientModel, ClientFailure> describe(const std::string& model) const override;
  /// A completion of `body`, which asks for a stream. Its pieces tell no ids where the server does
  /// not: see ClientPiece.
  std::unique_ptr<ClientStream> stream(const std::string& path, std::string body) const;

 private:
  ServerAccess access_;
  std::string url_;  // http[s]://HOST:PORT
};

}  // namespace troupe::services
