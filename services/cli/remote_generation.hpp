// What run and chat do with --url: requests to a gateway, its answers as those of our own engine.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "services/cli/answer_source.hpp"
#include "services/cli/generation.hpp"
#include "services/cli/token_text.hpp"
#include "services/client/inference_client.hpp"

namespace troupe::services {

/// Prints a drawn seed to stderr, hands on text (or ids), and tells errors as faults.
class RemoteAnswer final : public AnswerSource {
 public:
  RemoteAnswer(std::unique_ptr<ClientStream> stream, bool as_ids);
  std::optional<Event> next(std::chrono::milliseconds patience) override;
  void cancel() override;

  /// Room for an answer behind a prompt that fitted only without max_tokens; after the end.
  std::optional<std::int32_t> room() const { return room_; }
  /// The calls it made, as far as they came; after the end.
  std::vector<ChatToolCall> calls() const;
  /// Fields of the call that the server took without effect, a list; after the end.
  const std::string& ignored() const { return ignored_; }
  /// Why there is no answer, after the end.
  const std::optional<ClientFailure>& failure() const { return failure_; }

 private:
  enum class Aside { none, thoughts, tool_call };
  Answer to_answer(ClientEnd end);
  std::string aside_of(const ClientPiece& piece);
  void keep(const ClientToolCall& piece);
  std::string begin_aside(Aside next);

  std::unique_ptr<ClientStream> stream_;
  Aside aside_ = Aside::none;
  std::map<std::int32_t, ChatToolCall> calls_;  // by index
  std::string ignored_;
  std::optional<Answer> end_;  // comes after the last text
  std::optional<TokenText> ids_;
  bool cancelled_ = false;
  std::optional<std::int32_t> room_;
  std::optional<ClientFailure> failure_;
};

class RemoteGeneration {
 public:
  /// `flags.server` is one that check_access_flags() takes; `flags.model` is a served name.
  RemoteGeneration(const GenerationFlags& flags, std::int64_t max_tokens_default);

  /// Streams the answer as Generation::answer does. `call` holds the input.
  Generation::Result answer(GenerateCall call, bool as_ids);
  /// Whether text can be printed, or the exit code of a reported error.
  Answered<bool, int> speaks_text();

 private:
  Generation::Result finish(PrintedAnswer printed, const RemoteAnswer& answer) const;
  PrintedAnswer ask(RemoteAnswer& answer) const;

  const GenerationFlags& flags_;
  std::int64_t max_tokens_default_;
  std::unique_ptr<GenerateClient> client_;
};

/// What a failure of a call to `url` is to a user.
Fault client_fault(const ClientFailure& failure);
std::string client_message(const ClientFailure& failure, const std::string& url);

}  // namespace troupe::services
