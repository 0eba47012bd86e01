// Tools of a request, pieces of calls, and how both reach the model's template.
#include "services/gateway/tool_calls.hpp"

#include <gtest/gtest.h>

#include "tests/unit/services/gateway/tiny_model.hpp"

namespace troupe::services {
namespace {

constexpr const char* kTool =
    R"({"type":"function","function":{"name":"f","description":"d","parameters":{}}})";

ChatCall chat_with(std::vector<std::string> tools) {
  ChatCall chat{{{"user", "x"}}};
  chat.tools = std::move(tools);
  return chat;
}

ApiError error_of(const ServedModel& model, const ChatCall& chat) {
  auto encoded = model.encode(chat);
  auto* error = std::get_if<ApiError>(&encoded);
  if (error == nullptr) ADD_FAILURE() << "it was rendered";
  return error == nullptr ? ApiError{} : std::move(*error);
}

std::string prompt_of(const ServedModel& model, const ChatCall& chat) {
  auto encoded = model.encode(chat);
  if (auto* error = std::get_if<ApiError>(&encoded)) ADD_FAILURE() << error->message;
  return std::get<ServedPrompt>(std::move(encoded)).text;
}

std::vector<std::string> ignored_of(const ServedModel& model, const ChatCall& chat) {
  auto encoded = model.encode(chat);
  if (auto* error = std::get_if<ApiError>(&encoded)) {
    ADD_FAILURE() << error->message;
    return {};
  }
  return std::get<ServedPrompt>(std::move(encoded)).ignored;
}

TEST(ToolCalls, PiecesOfACallAreJoined) {
  std::vector<ToolCallPiece> calls;
  add_piece(calls, {0, "f", ""});
  add_piece(calls, {0, "", "{"});
  add_piece(calls, {0, "", "}"});
  add_piece(calls, {1, "g", "1"});
  ASSERT_EQ(calls.size(), 2u);
  EXPECT_EQ(calls[0].name, "f");
  EXPECT_EQ(calls[0].arguments, "{}");
}

TEST(ToolCalls, AnIdFollowsFromRequestChoiceAndCall) {
  const std::string id = tool_call_id("r", 0, 0);
  EXPECT_EQ(id, tool_call_id("r", 0, 0));
  EXPECT_EQ(id.size(), 29u);
  EXPECT_TRUE(id.starts_with("call_"));
  for (const auto& other :
       {tool_call_id("s", 0, 0), tool_call_id("r", 1, 0), tool_call_id("r", 0, 1)})
    EXPECT_NE(other, id);
}

TEST(ToolCalls, ToolsThatAreNoneAreNamed) {
  for (const auto& [tool, field] : {
           std::pair{"{", "chat.tools[1]"},
           std::pair{"{}", "chat.tools[1]"},
           std::pair{R"({"type":"function","function":5})", "chat.tools[1]"},
           std::pair{R"({"type":"function","function":{}})", "chat.tools[1].function.name"},
           std::pair{R"({"type":"function","function":{"name":"a b"}})",
                     "chat.tools[1].function.name"},
           std::pair{R"({"type":"function","function":{"name":"a","description":1}})",
                     "chat.tools[1].function.description"},
           std::pair{R"({"type":"function","function":{"name":"a","parameters":"{}"}})",
                     "chat.tools[1].function.parameters"},
       }) {
    const auto wrong = check_tools(chat_with({kTool, tool}));
    ASSERT_EQ(wrong.size(), 1u) << tool;
    EXPECT_EQ(wrong[0].field, field);
  }
  EXPECT_EQ(check_tools(chat_with(std::vector<std::string>(129, kTool))).size(), 1u);
  EXPECT_TRUE(check_tools(chat_with({kTool})).empty());
  ChatCall chat = chat_with({});
  chat.messages.push_back({"assistant", "", "", {{"id", "", "{}"}}});
  EXPECT_EQ(check_tools(chat).front().field, "chat.messages[1].tool_calls[0]");
}

TEST(ToolCalls, AChoiceThatForcesNeedsItsTool) {
  ChatCall chat = chat_with({});
  chat.choice.kind = ToolChoice::Kind::required;
  EXPECT_EQ(check_tools(chat).front().field, "chat.tool_choice");
  chat.tools = {kTool};
  EXPECT_TRUE(check_tools(chat).empty());
  chat.choice = {ToolChoice::Kind::named, "f"};
  EXPECT_TRUE(check_tools(chat).empty());
  chat.choice.name = "g";
  const auto wrong = check_tools(chat);
  ASSERT_EQ(wrong.size(), 1u);
  EXPECT_EQ(wrong[0].field, "chat.tool_choice");
  EXPECT_EQ(wrong[0].description, "takes one of \"f\", not \"g\"");
  chat.tools = {"{"};  // told first
  EXPECT_EQ(check_tools(chat).front().field, "chat.tools[0]");
}

TEST(ToolCalls, AForcedCallIsAFormOfTheToolsThatMayBeCalled) {
  ChatCall chat = chat_with({kTool, R"({"type":"function","function":{"name":"g"}})"});
  chat.choice.kind = ToolChoice::Kind::required;
  const auto format = model::ToolCallFormat::deepseek_v31;
  const FormatCall any = form_of_calls(chat, format);
  EXPECT_EQ(any.field, "chat.tool_choice");
  EXPECT_EQ(any.grammar.kind, model::GrammarSpec::Kind::tool_calls);
  EXPECT_EQ(any.grammar.text, R"({"format":"deepseek_v31","several":true,"functions":[)"
                              R"({"name":"f","parameters":{}},{"name":"g"}]})");
  chat.parallel_calls = false;
  EXPECT_NE(form_of_calls(chat, format).grammar, any.grammar);
  chat.parallel_calls = true;
  chat.choice = {ToolChoice::Kind::named, "g"};
  EXPECT_EQ(form_of_calls(chat, format).grammar.text,
            R"({"format":"deepseek_v31","several":false,"functions":[{"name":"g"}]})");
}

TEST(ToolCalls, ATemplateWithoutCallsRefusesThem) {
  EXPECT_EQ(error_of(tiny_served(), chat_with({kTool})).metadata.at("field"), "chat.tools");
  ChatCall chat = chat_with({});
  chat.messages.push_back({"tool", "result"});
  EXPECT_EQ(error_of(tiny_served(), chat).metadata.at("field"), "chat.messages[1].role");
  chat = chat_with({kTool});
  chat.choice.kind = ToolChoice::Kind::none;  // nothing tells of them
  EXPECT_EQ(prompt_of(tiny_served(), chat), prompt_of(tiny_served(), chat_with({})));
}

TEST(ToolCalls, CallsAndResultsAreWrittenAsEachTemplateHasThem) {
  ChatCall chat = chat_with({kTool});
  chat.messages.push_back({"assistant", "", "", {{"c1", "f", "{\"a\": 1}"}}});
  chat.messages.push_back({"tool", "42", "", {}, "c1"});
  const auto v3 = prompt_of(tiny_speaking("v3-0324"), chat);
  EXPECT_NE(v3.find("<｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"a\": 1}\n```"),
            v3.npos)
      << v3;
  EXPECT_NE(v3.find("<｜tool▁output▁begin｜>42<｜tool▁output▁end｜>"), v3.npos) << v3;
  EXPECT_NE(v3.find("\"name\": \"f\""), v3.npos) << v3;
  const auto v31 = prompt_of(tiny_speaking("v31"), chat);
  EXPECT_NE(v31.find("<｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\": 1}<｜tool▁call▁end｜>"), v31.npos)
      << v31;
}

TEST(ToolCalls, WhatAToolLacksIsShownAsEmpty) {
  const std::string shown =
      "### f\nDescription: \n\nParameters: {\"type\": \"object\", \"properties\": {}}\n";
  for (const char* tool : {R"({"type":"function","function":{"name":"f"}})",
                           R"({"function":{"parameters":null,"name":"f","description":null},)"
                           R"("type":"function"})"}) {
    const auto prompt = prompt_of(tiny_speaking("v31"), chat_with({tool}));
    EXPECT_NE(prompt.find(shown), prompt.npos) << tool << "\n" << prompt;
  }
  const auto half = prompt_of(tiny_speaking("v31"),
                              chat_with({R"({"type":"function","function":{"name":"f",)"
                                         R"("parameters":{"type":"object","title":"t"}}})"}));
  EXPECT_NE(half.find("Description: \n\nParameters: {\"type\": \"object\", \"title\": \"t\"}"),
            half.npos)
      << half;
}

TEST(ToolCalls, AToolThatLacksNothingStaysTheTextItIs) {
  const std::string tool =
      R"({ "function" : {"parameters":{"b":1,"a":1e2}, "description":"\u0064","name":"f"},)"
      R"("type":"function"})";
  EXPECT_EQ(tools_json(chat_with({tool})), "[" + tool + "]");
}

TEST(ToolCalls, ANameIsAWholeWord) {
  const ChatCall chat = chat_with({kTool});
  for (const char* text : {"f", "(f)", "Ask f.", "of f", "\"f\""})
    EXPECT_TRUE(names_tools(chat, text)) << text;
  for (const char* text : {"", "of", "f1", "get_f", "f-x"})
    EXPECT_FALSE(names_tools(chat, text)) << text;
  const ChatCall two = chat_with({kTool, R"({"type":"function","function":{"name":"g"}})"});
  EXPECT_FALSE(names_tools(two, "f"));
  EXPECT_TRUE(names_tools(two, "f, g"));
}

TEST(ToolCalls, ToolsThatThePromptLeavesOutAreIgnored) {
  const std::vector<std::string> tools{"chat.tools"};
  for (const char* family : {"v3", "r1"})
    EXPECT_EQ(ignored_of(tiny_speaking(family), chat_with({kTool})), tools) << family;
  for (const char* family : {"v3-0324", "v31"})
    EXPECT_TRUE(ignored_of(tiny_speaking(family), chat_with({kTool})).empty()) << family;
  ChatCall thinking = chat_with({kTool});
  thinking.variables_json = R"({"thinking": true})";
  EXPECT_EQ(ignored_of(tiny_speaking("v31"), thinking), tools);
  EXPECT_TRUE(ignored_of(tiny_speaking("v3-0324"), thinking).empty());
}

TEST(ToolCalls, ANameInAQuestionIsNoDefinition) {
  ChatCall chat = chat_with({kTool});
  chat.messages.front().content = "What is f?";
  EXPECT_FALSE(ignored_of(tiny_speaking("v3"), chat).empty());
  EXPECT_TRUE(ignored_of(tiny_speaking("v31"), chat).empty());
}

TEST(ToolCalls, ASystemMessageMayDefineThem) {
  ChatCall chat = chat_with({kTool, R"({"type":"function","function":{"name":"g"}})"});
  chat.messages.insert(chat.messages.begin(), {"system", "Call f for this."});
  EXPECT_FALSE(ignored_of(tiny_speaking("v3"), chat).empty());  // and g?
  chat.messages.front().content += " Call g for that.";
  EXPECT_TRUE(ignored_of(tiny_speaking("v3"), chat).empty());
}

TEST(ToolCalls, ToolsThatNeedNoPromptAreNotIgnored) {
  ChatCall chat = chat_with({kTool});
  for (const ToolChoice& choice :
       {ToolChoice{ToolChoice::Kind::none}, ToolChoice{ToolChoice::Kind::required},
        ToolChoice{ToolChoice::Kind::named, "f"}}) {
    chat.choice = choice;
    EXPECT_TRUE(ignored_of(tiny_speaking("v3"), chat).empty()) << static_cast<int>(choice.kind);
  }
  EXPECT_TRUE(ignored_of(tiny_speaking("v3"), chat_with({})).empty());
}

TEST(ToolCalls, AStrictModelRefusesWhatThePromptLeavesOut) {
  ServedModel::Settings settings = tiny_speaking("v3").settings();
  settings.strict = true;
  const auto strict = ServedModel::make(tiny_model(), settings);
  ASSERT_TRUE(strict) << strict.error().detail;
  ChatCall chat = chat_with({kTool});
  const ApiError error = error_of(*strict, chat);
  ASSERT_EQ(error.fields.size(), 1u);
  EXPECT_EQ(error.fields[0].field, "chat.tools");
  EXPECT_NE(error.message.find("system message"), std::string::npos) << error.message;
  chat.choice.kind = ToolChoice::Kind::required;
  EXPECT_TRUE(ignored_of(*strict, chat).empty());
}

TEST(ToolCalls, AContentBesideCallsIsNullWhenItIsEmpty) {
  const std::vector<ChatMessage> messages{{"assistant", "", "", {{"c1", "f", "{\"a\": 1}"}}}};
  EXPECT_EQ(messages_json(messages),
            R"([{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function",)"
            R"("function":{"name":"f","arguments":"{\"a\": 1}"}}]}])");
  EXPECT_EQ(messages_json(messages, ArgumentsForm::object),
            R"([{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function",)"
            R"("function":{"name":"f","arguments":{"a": 1}}}]}])");
  const std::vector<ChatMessage> broken{{"assistant", "x", "", {{"c1", "f", "{"}}}};
  EXPECT_NE(messages_json(broken, ArgumentsForm::object).find(R"("arguments":"{")"),
            std::string::npos);
}

}  // namespace
}  // namespace troupe::services
