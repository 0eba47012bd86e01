// A request as a client wrote it, whatever the API: fields that were given, not yet checked.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "model/grammar/grammar_spec.hpp"
#include "services/prompt/chat_prompt.hpp"

namespace troupe::services {

/// What an API calls the parts of a conversation, for errors.
struct ChatNames {
  std::string whole = "chat";
  std::string messages = "chat.messages";
  std::string variables = "chat.template_variables_json";
  std::string tools = "chat.tools";
  std::string choice = "chat.tool_choice";
};

/// Whether an answer calls functions.
struct ToolChoice {
  enum class Kind : std::uint8_t {
    automatic,  // as the model likes
    none,       // nothing in the prompt tells of them
    required,   // it does nothing but call, any of them
    named       // it calls `name` once and does nothing else
  };
  Kind kind = Kind::automatic;
  std::string name = {};  // of kind named

  bool forces() const { return kind == Kind::required || kind == Kind::named; }
};

/// A conversation to answer.
struct ChatCall {
  std::vector<ChatMessage> messages;
  std::string variables_json = {};  // further variables of the template; may be empty
  bool add_generation_prompt = true;
  ChatNames names = {};
  /// Functions the model may call, each a JSON text {"type": "function", "function": {"name",
  /// ...}}.
  std::vector<std::string> tools = {};
  ToolChoice choice = {};
  bool parallel_calls = true;  // more than one call in an answer

  bool may_call() const { return !tools.empty() && choice.kind != ToolChoice::Kind::none; }
};

/// What an API calls the fields of a request, for errors.
struct FieldNames {
  std::string sampling = "sampling.";  // in front of each of SamplingFields
  std::string max_tokens = "max_tokens", logprobs = "logprobs";  // behind it
  std::string text = "text";
  std::string ids = "token_ids.ids";
};

/// Absent members come from the model's defaults. Ranges: proto/troupe/inference/v1.
struct SamplingFields {
  std::optional<float> temperature, top_p, min_p;
  std::optional<float> frequency_penalty, presence_penalty, repetition_penalty;
  std::optional<std::int32_t> top_k, n, max_tokens, min_tokens, logprobs, prompt_logprobs;
  std::optional<std::uint64_t> seed;
  std::vector<std::string> stop;
  std::vector<std::int32_t> stop_token_ids;
  bool include_stop = false;  // the stop string that ends the answer is part of it
  bool ignore_eos = false;
  std::vector<std::int32_t> allowed_token_ids;  // empty: all
  std::vector<std::string> bad_words;
  std::map<std::int32_t, float> logit_bias;  // by id, so that the order is not the wire's
};

/// What form the text must have.
struct FormatCall {
  model::GrammarSpec grammar = {};
  std::string field = "response_format";  // where it stands, for errors
};

struct GenerateCall {
  using TextInput = std::string;
  using IdsInput = std::vector<std::int32_t>;

  std::string request_id;  // empty: one is made
  std::string model;       // empty: the only one
  std::variant<std::monostate, TextInput, IdsInput, ChatCall> input;
  SamplingFields sampling;
  FormatCall format = {};
  bool prompt_progress = false;
  bool reasoning = true;  // thoughts are told, not only thought
  bool echo = false;      // the prompt comes back: with logprobs, if the answer has them
  /// Tokens of the answer that the client has from a stream that broke; they are made again and not
  /// told again.
  std::optional<std::uint32_t> resume_position;
  std::int32_t priority = 0;  // higher is served sooner
  std::string cache_salt;     // computed prompts are shared among equal salts only
  std::string cache_owner;    // of an equal one besides; empty: nobody's
  std::string tenant;         // whose it is, as the server knows it; requests share by tenants
  FieldNames names = {};
  std::vector<std::string> not_served;  // paths of given fields that need a later feature
};

}  // namespace troupe::services
