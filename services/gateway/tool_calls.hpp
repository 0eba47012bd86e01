// Calls of functions: the tools a request offers, and pieces of calls that answers make.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/grammar/call_language.hpp"
#include "services/gateway/api_error.hpp"
#include "services/gateway/generate_call.hpp"

namespace troupe::services {

/// A piece of a call. Pieces of one call are joined member by member.
struct ToolCallPiece {
  std::int32_t index = 0;  // of the call within its answer, from 0
  std::string name;        // with its first piece
  std::string arguments;   // more of them
};

/// Joins `piece` with the last of `calls` if that is the same call, else adds it.
void add_piece(std::vector<ToolCallPiece>& calls, ToolCallPiece piece);

/// "call_" and 24 hexadecimal digits: a function of the request's id, the choice and the call.
std::string tool_call_id(const std::string& request_id, std::size_t choice, std::int32_t call);

/// What of `chat`'s tools, calls and results is wrong.
std::vector<FieldViolation> check_tools(const ChatCall& chat);

/// JSON array of the tools that the prompt tells of, each with a description and parameters, for
/// templates that join them unasked; empty: none.
std::string tools_json(const ChatCall& chat);

/// The name of a tool that check_tools() has found well.
std::string tool_name(const std::string& tool);

/// Whether `text` holds the names of all of `chat`'s tools.
bool names_tools(const ChatCall& chat, const std::string& text);

/// The form of an answer that the choice forces to call, for a chat whose tools are well.
FormatCall form_of_calls(const ChatCall& chat, model::ToolCallFormat format);

/// The path of the first thing that only templates with calls can show; nothing: there is none.
std::optional<std::string> first_of_calls(const ChatCall& chat);

}  // namespace troupe::services
