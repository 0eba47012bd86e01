// What is not supported is named with its line, and hostile templates end in an error.
#include <gtest/gtest.h>
#include <pthread.h>

#include <array>
#include <string>
#include <thread>
#include <vector>

#include "model/chat/chat_template.hpp"
#include "model/chat/jinja/interpreter.hpp"
#include "model/chat/jinja/parser.hpp"

namespace troupe::model {
namespace {

std::string times(int count, const std::string& text) {
  std::string result;
  for (int i = 0; i < count; ++i) result += text;
  return result;
}

Error parse_error(std::string_view source) {
  const auto parsed = ChatTemplate::parse(source);
  return parsed ? Error{Errc::ok, "parsed"} : parsed.error();
}

Expected<RenderedPrompt> render(std::string_view source, const ChatRequest& request = {}) {
  const auto parsed = ChatTemplate::parse(source);
  if (!parsed) return unexpected(parsed.error());
  return parsed->render(request);
}

Error render_error(std::string_view source, const ChatRequest& request = {}) {
  const auto prompt = render(source, request);
  return prompt ? Error{Errc::ok, prompt->text.substr(0, 200)} : prompt.error();
}

TEST(ChatRefusal, AnUnsupportedConstructIsNamedWithItsLine) {
  const auto refused = [](std::string_view source, std::string_view detail) {
    EXPECT_EQ(parse_error(source),
              (Error{Errc::unsupported, "chat template, line 3: " + std::string(detail)}));
  };
  refused("a\n{{ 1 }}\n{% include 'x' %}", "the statement 'include' is not supported");
  refused("a\n\n{% block b %}{% endblock %}", "the statement 'block' is not supported");
  refused("{{\n1\n| urlize }}", "the filter 'urlize' is not supported");
  refused("\n\n{{ 1 is escaped }}", "the test 'escaped' is not supported");
  refused("\n\n{% for x in y recursive %}{% endfor %}", "recursive for loops are not supported");
  refused("\n\n{{ '\\N{DASH}' }}", "the string escape \\N{...} is not supported");
  refused("\n\n{{ 99999999999999999999 }}", "an integer beyond 64 bits: 99999999999999999999");
}

TEST(ChatRefusal, WhatCannotBeSeenBeforeIsRefusedWhenReached) {
  EXPECT_EQ(render_error("\n{{ 'a{}'.format(1) }}").code, Errc::unsupported);
  EXPECT_EQ(
      render_error("\n{{ '%s' % 1 }}"),
      (Error{Errc::unsupported, "chat template, line 2: formatting with % is not supported"}));
  EXPECT_EQ(render_error("{{ range(3) }}").code, Errc::unsupported);
  EXPECT_EQ(render_error("{{ strftime_now('%Y') }}").code, Errc::unsupported);
  EXPECT_EQ(render_error("{{ joiner() }}").code, Errc::unsupported);
  EXPECT_EQ(render_error("{{ 9223372036854775807 + 1 }}").code, Errc::out_of_range);
}

TEST(ChatRefusal, ASyntaxErrorNamesItsLine) {
  EXPECT_EQ(parse_error("a\n{% if x %}\nb"),
            (Error{Errc::malformed,
                   "chat template, line 3: the template ends where 'endif' is expected"}));
  EXPECT_EQ(parse_error("\n{{ 1 + }}").detail,
            "chat template, line 2: unexpected '}}', expected an expression");
  EXPECT_EQ(parse_error("\xff").code, Errc::malformed);
}

TEST(ChatRefusal, TheTemplatesOwnRefusalReachesTheCaller) {
  const Error error = render_error("\n{{ raise_exception('roles must alternate') }}");
  EXPECT_EQ(error.code, Errc::invalid_argument);
  EXPECT_EQ(error.detail,
            "chat template, line 2: the template refuses these messages: roles must alternate");
}

TEST(ChatRefusal, BadJsonIsAnErrorOfTheRequest) {
  ChatRequest request;
  for (const std::string_view json : {"{", "[1,]", "[\"\xff\"]", "nul", "[1e999]"}) {
    request.messages_json = json;
    EXPECT_EQ(render_error("x", request).code, Errc::malformed) << json;
  }
  request.messages_json = "[18446744073709551615]";
  EXPECT_EQ(render_error("x", request).code, Errc::unsupported);
  request.messages_json = "[-99999999999999999999]";
  EXPECT_EQ(render_error("x", request).code, Errc::unsupported);
  const std::string deep = times(100'000, "[");
  request.messages_json = deep;
  EXPECT_EQ(render_error("x", request).code, Errc::resource_exhausted);
  request.messages_json = "[]";
  request.variables_json = "[]";
  EXPECT_EQ(render_error("x", request).code, Errc::invalid_argument);
}

TEST(ChatBounds, DeepNestingIsRefusedByTheParser) {
  constexpr int kDeep = 50'000;
  for (const auto& [open, middle, close] :
       std::vector<std::array<std::string, 3>>{{"(", "1", ")"},
                                               {"[", "1", "]"},
                                               {"{1:", "1", "}"},
                                               {"f(", "1", ")"},
                                               {"a[", "1", "]"},
                                               {"not ", "1", ""},
                                               {"-", "1", ""},
                                               {"1 if 1 else ", "1", ""},
                                               {"1 | default(", "1", ")"}}) {
    const std::string source = "{{ " + times(kDeep, open) + middle + times(kDeep, close) + " }}";
    EXPECT_EQ(parse_error(source).code, Errc::resource_exhausted) << open;
  }
  for (const std::string& source :
       {times(kDeep, "{% if 1 %}"), times(kDeep, "{% for x in y %}"),
        "{% for " + times(kDeep, "(") + "x" + times(kDeep, ")") + " in y %}"}) {
    EXPECT_EQ(parse_error(source).code, Errc::resource_exhausted) << source.substr(0, 40);
  }
}

TEST(ChatBounds, LongChainsAreNotDeep) {
  EXPECT_EQ(render("{{ 1" + times(50'000, " + 1") + " }}")->text, "50001");
  EXPECT_EQ(render("{{ 1" + times(50'000, " and 1") + " }}")->text, "1");
  EXPECT_EQ(render("{{ 'x'" + times(50'000, " | upper") + " }}")->text, "X");
  EXPECT_EQ(render("{% if 0 %}" + times(20'000, "{% elif 0 %}") + "{% else %}y{% endif %}")->text,
            "y");
}

// The same limits as in service, except for the steps, so that the test is quick.
Error bounded_error(std::string_view source) {
  const auto body = jinja::parse_template(source);
  if (!body) return body.error();
  jinja::Limits limits;
  limits.steps_max = 300'000;
  jinja::Runtime runtime(limits);
  jinja::Interpreter(runtime, {}).render(*body);
  return runtime.error();
}

TEST(ChatBounds, EndlessWorkEndsInAnError) {
  for (const std::string_view source :
       {"{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% macro f(x) %}{{ f(f(x)) }}{% endmacro %}{{ f(1) }}",
        "{% set n = namespace(s='x') %}{% for i in range(99) %}{% set n.s = n.s + n.s %}"
        "{% endfor %}",
        "{% for i in range(100000) %}{{ 'x' * 100000 }}{% endfor %}", "{{ 'x' * 1000000000000 }}",
        "{{ [1] * 1000000000 }}", "{{ 'x'.center(10000000000) }}",
        "{{ ('a' * 10000).replace('', 'b' * 100000) }}",
        "{% set n = namespace(l=[]) %}{% for i in range(1000) %}{% set n.l = [n.l] %}{% endfor %}",
        "{% set n = namespace(l=[1]) %}{% for i in range(90) %}{% set n.l = [n.l, n.l] %}"
        "{% endfor %}{{ n.l | tojson }}",
        "{% set n = namespace(a=[1], b=[1]) %}{% for i in range(90) %}"
        "{% set n.a = [n.a, n.a] %}{% set n.b = [n.b, n.b] %}{% endfor %}{{ n.a == n.b }}",
        "{{ range(100001) }}", "{{ (range(100000) | list * 1000) | sort }}"}) {
    EXPECT_EQ(bounded_error(source).code, Errc::resource_exhausted) << source;
  }
}

TEST(ChatBounds, TheStepsOfServiceAreBounded) {
  EXPECT_EQ(render_error("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}"
                         "{% endfor %}")
                .code,
            Errc::resource_exhausted);
}

TEST(ChatBounds, NamespacesMayHoldEachOtherInChainsAndCircles) {
  EXPECT_EQ(
      render("{% set a = namespace() %}{% set a.self = a %}{{ a.self.self is defined }}")->text,
      "True");
  EXPECT_EQ(render("{% set n = namespace(p=none) %}{% for i in range(100000) %}"
                   "{% set n.p = namespace(p=n.p) %}{% endfor %}ok")
                ->text,
            "ok");
  EXPECT_EQ(render("{% set n = namespace(l=none) %}{% for i in range(50000) %}"
                   "{% for j in [n.l] %}{% set n.l = loop %}{% endfor %}{% endfor %}ok")
                ->text,
            "ok");
  EXPECT_EQ(render("{% set n = namespace(m=none) %}{% for i in range(10000) %}"
                   "{% macro f() %}{{ n.m }}{% endmacro %}{% set n.m = f %}{% endfor %}ok")
                ->text,
            "ok");
}

// Runs on a thread whose stack is as small as those of worker threads may be.
template <class Work>
void on_small_stack(Work work) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, std::size_t{2} << 20);
  pthread_t thread;
  const auto run = [](void* argument) -> void* {
    (*static_cast<Work*>(argument))();
    return nullptr;
  };
  ASSERT_EQ(pthread_create(&thread, &attributes, run, &work), 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
}

TEST(ChatBounds, TheDeepestAcceptedTemplatesFitAStackOfTwoMegabytes) {
  const std::string lists = times(40, "[") + "f(x - 1)" + times(40, "]");
  const std::string blocks = times(20, "{% if x %}{% for i in [1] %}") + "{{ f(x - 1) }}" +
                             times(20, "{% endfor %}{% endif %}");
  const std::string calls = times(40, "dict(a=") + "f(x - 1)" + times(40, ")");
  for (const std::string& inside : {"{{ " + lists + " }}", blocks, "{{ " + calls + " }}"}) {
    const std::string source = "{% macro f(x) %}" + inside + "{% endmacro %}{{ f(1000) }}";
    Error error;
    on_small_stack([&] { error = render_error(source); });
    EXPECT_EQ(error.code, Errc::resource_exhausted) << error.detail;
  }
  Error deepest;
  on_small_stack(
      [&] { deepest = parse_error("{{ " + times(98, "(") + "1" + times(98, ")") + " }}"); });
  EXPECT_EQ(deepest.code, Errc::ok) << deepest.detail;
}

TEST(ChatTemplate, ManyThreadsMayRenderAtOnce) {
  const auto parsed = ChatTemplate::parse("{% for m in messages %}<{{ m.role }}>{% endfor %}");
  ASSERT_TRUE(parsed.has_value());
  std::vector<std::thread> threads;
  std::vector<std::string> texts(4);
  for (std::string& text : texts) {
    threads.emplace_back([&] {
      ChatRequest request;
      request.messages_json = R"([{"role": "user"}, {"role": "tool"}])";
      for (int i = 0; i < 100; ++i) text = parsed->render(request)->text;
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& text : texts) EXPECT_EQ(text, "<user><tool>");
}

TEST(ChatTemplate, GlobalFunctionsGiveWayToVariables) {
  EXPECT_EQ(render("{{ dict(a=1, b='x') }} {{ dict({'a': 1}, b=2) | length }}")->text,
            "{'a': 1, 'b': 'x'} 2");
  EXPECT_EQ(render("{% set range = 5 %}{{ range }}")->text, "5");
}

TEST(ChatTemplate, ToolsAndDocumentsAreNoneWhenNotGiven) {
  EXPECT_EQ(render("{{ tools is none }} {{ documents is none }} {{ bos_token is defined }} "
                   "{{ add_generation_prompt }}")
                ->text,
            "True True False False");
}

TEST(ChatTemplate, ALongPromptIsWithinTheBudget) {
  const std::string messages =
      R"([{"role": "user", "content": ")" + std::string(10'000'000, 'x') + R"("}])";
  ChatRequest request;
  request.messages_json = messages;
  const auto prompt =
      render("{% for m in messages %}{{ '<｜User｜>' + m['content'].strip() + '!' }}{% endfor %}",
             request);
  ASSERT_TRUE(prompt.has_value()) << prompt.error().detail;
  EXPECT_EQ(prompt->text.size(), 10'000'000 + std::string("<｜User｜>!").size());
}

}  // namespace
}  // namespace troupe::model
