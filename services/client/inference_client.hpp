// A gateway as a client sees it: one call, its pieces as they come. No gRPC and no HTTP in here.
#pragma once
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "actors/membership.hpp"
#include "services/client/server_access.hpp"
#include "services/gateway/api_error.hpp"
#include "services/gateway/generate_call.hpp"

namespace troupe::services {

/// How long a client waits for a connection.
inline constexpr std::chrono::seconds kConnectBound{5};

/// What to do about ClientFailure::untrusted.
inline constexpr const char* kTrustHint =
    "If it speaks TLS, its certificate is not trusted here or is another host's: name the file of "
    "the authority that signed it with --tls-ca, and the host as the certificate does";

/// Why a call failed; with the reason and metadata of a gateway's error, or none when nobody
/// answered.
struct ClientFailure {
  ApiCode code = ApiCode::internal;
  std::string message;
  std::string reason;  // empty: it is no gateway's
  std::map<std::string, std::string> metadata;
  std::vector<std::string> fields;
  bool untrusted = false;  // TLS failed, as it does where a certificate is not trusted
};

/// The request was taken.
struct ClientStart {
  std::optional<std::uint64_t> drawn_seed;
};
/// A piece of a tool call.
struct ClientToolCall {
  std::int32_t index = 0;
  std::string name;       // with its first piece
  std::string arguments;  // more of them
  std::string id = {};    // with its first piece
};
struct ClientPiece {
  std::vector<std::int32_t> ids;  // one per token; -1 where a server does not tell which
  std::string text;
  std::string reasoning = {};
  std::optional<ClientToolCall> tool_call = std::nullopt;
};
/// The last event.
struct ClientEnd {
  std::optional<ClientFailure> failure;
  std::string ignored;  // fields that the server took without effect, a list; empty: none
  std::int64_t prompt_tokens = 0;
  std::int64_t generated_tokens = 0;
  double time_to_first_token_s = 0;
  double duration_s = 0;
};
using ClientEvent = std::variant<ClientStart, ClientPiece, ClientEnd>;

/// A stream under way; what has come waits here, bounded by the request's max_tokens. Its end
/// cancels the call. *Threading*: one thread at a time.
class ClientStream {
 public:
  virtual ~ClientStream() = default;
  /// The next event; nothing if none came within `patience`.
  virtual std::optional<ClientEvent> next(std::chrono::milliseconds patience) = 0;
  virtual void cancel() = 0;
};

/// A served model as far as clients here need to know.
struct ClientModel {
  std::string id;
  bool text = false;            // it has a tokenizer
  std::int64_t vocabulary = 0;  // ids are below; 0: not told
  std::int64_t context = 0;     // tokens; 0: not told
};

/// A gateway, whichever of its APIs is asked. *Threading*: any. Calls block.
class GenerateClient {
 public:
  virtual ~GenerateClient() = default;
  virtual std::unique_ptr<ClientStream> generate(const GenerateCall& call) const = 0;
  /// Empty `model`: the only one that is served.
  virtual Answered<ClientModel, ClientFailure> describe(const std::string& model) const = 0;
};

/// The API that the scheme of `access.url` names. `check_access` has found it well.
std::unique_ptr<GenerateClient> open_client(const ServerAccess& access);

/// Over gRPC, whatever the scheme but for its TLS. Connects with the first call.
class InferenceClient final : public GenerateClient {
 public:
  explicit InferenceClient(const ServerAccess& access);
  ~InferenceClient() override;

  std::unique_ptr<ClientStream> generate(const GenerateCall& call) const override;
  Answered<ClientModel, ClientFailure> describe(const std::string& model) const override;

 private:
  struct Channel;
  std::unique_ptr<Channel> channel_;
};

/// Asks the admin port at `url` for the whole cluster.
Answered<actors::ClusterReport, ClientFailure> fetch_cluster_report(
    const std::string& url, std::chrono::milliseconds bound);

}  // namespace troupe::services
