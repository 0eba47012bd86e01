#!/usr/bin/env python3
"""`troupe chat --url`: thoughts, tools and tool calls, over gRPC and over an OpenAI-compatible API.

No model here makes calls in a chat, so the server is a stand-in of a few lines; what a real one
takes is asked of `troupe serve`.
"""

import json
import os
import re
import unittest
from concurrent import futures

from tests.support import grpc_client, http_stand_in, openai_client, program, pty_program

pb, grpc = grpc_client.pb, grpc_client.grpc

WEATHER = {"type": "function", "function": {
    "name": "weather", "description": "of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}
CLOCK = {"type": "function", "function": {"name": "clock"}}


def tool(name="", arguments="", index=0):
    call = pb.ToolCallDelta(index=index, name=name, arguments_json=arguments,
                            id=f"call_{index}" if name else "")
    return pb.Delta(token_ids=[1], tool_call_delta=call)


TWO_CALLS = (tool("weather", '{"city": '), tool(arguments='"Oslo"}'), tool("clock", "{}", index=1))
TWO_CALLS_KEPT = [("call_0", "weather", '{"city": "Oslo"}'), ("call_1", "clock", "{}")]


class GrpcStandIn(grpc_client.inference_pb2_grpc.InferenceServiceServicer):
    """Answers every request with `deltas`; `ignored` are fields that it takes without effect."""

    def __init__(self, deltas, ignored):
        self.deltas, self.ignored, self.asked = deltas, ignored, []
        self.server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
        grpc_client.inference_pb2_grpc.add_InferenceServiceServicer_to_server(self, self.server)
        self.url = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    def Generate(self, request, context):
        self.asked.append(request)
        yield pb.GenerateResponse(started=pb.Started(prompt_tokens=3))
        for delta in self.deltas:
            yield pb.GenerateResponse(delta=delta)
        usage = pb.Usage(prompt_tokens=3, completion_tokens=len(self.deltas))
        context.set_trailing_metadata([("x-troupe-ignored-fields", one) for one in self.ignored])
        yield pb.GenerateResponse(finished=pb.Finished(usage=usage))

    @property
    def conversations(self):
        """(messages, tools) of each request. A message is (role, content, its calls); these are
        (id, name, arguments). Of a result the last is the id of its call."""
        return [([(one.role, one.content, one.tool_call_id or
                   [(call.id, call.name, call.arguments_json) for call in one.tool_calls])
                  for one in request.chat.messages],
                 [json.loads(text) for text in request.chat.tools]) for request in self.asked]

    def close(self):
        self.server.stop(None).wait()


class HttpStandIn(http_stand_in.Server):
    """The same over HTTP: what `deltas` say as chunks of /v1/chat/completions."""

    def __init__(self, deltas, ignored):
        chunks = [{"choices": [{"delta": self.of(delta)}]} for delta in deltas]
        usage = {"prompt_tokens": 3, "completion_tokens": len(deltas)}
        chunks.append({"choices": [], "usage": usage})
        events = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
        headers = {"Content-Type": "text/event-stream"}
        if ignored:
            headers["x-troupe-ignored-fields"] = ", ".join(ignored)
        super().__init__(lambda number, body: (200, headers, events.encode()))

    @property
    def url(self):
        return "http://" + super().url

    @staticmethod
    def of(delta):
        if not delta.HasField("tool_call_delta"):
            return {"content": delta.text, "reasoning_content": delta.reasoning_text}
        call = delta.tool_call_delta
        piece = {"index": call.index, "function": {"arguments": call.arguments_json}}
        if call.name:
            piece |= {"id": call.id, "type": "function"}
            piece["function"]["name"] = call.name
        return {"tool_calls": [piece]}

    @property
    def conversations(self):
        return [([(one["role"], one["content"] or "", one.get("tool_call_id") or
                   [(call["id"], call["function"]["name"], call["function"]["arguments"])
                    for call in one.get("tool_calls", ())])
                  for one in body["messages"]], body.get("tools", []))
                for _, body, _ in self.asked]


class Cases:
    """Of each face; `StandIn` is its server."""

    def talk(self, *deltas, lines=("How is the weather?",), flags=(), ignored=()):
        """(stdout, stderr, what the server was asked) of a chat."""
        server = self.StandIn(deltas, ignored)
        self.addCleanup(server.close)
        words = ("chat", "--url", server.url, *flags)
        done = program.run(*words, stdin="\n".join(lines).encode())
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.decode(), done.stderr.decode(), server.conversations

    def tools_file(self, *tools, name="tools.json"):
        return self.file(name, json.dumps(tools))

    def test_thoughts_stand_beside_the_answer(self):
        think = [pb.Delta(token_ids=[1], reasoning_text=text) for text in ("Let me ", "think.")]
        answer, said, asked = self.talk(
            *think, pb.Delta(token_ids=[1], text="Fine."), lines=("How?", "Again?")
        )
        self.assertEqual(answer, "Fine.\nFine.\n")
        self.assertIn("thinking: Let me think.\n3 tokens", said)
        contents = [content for _, content, _ in asked[1][0]]
        self.assertEqual(contents, ["How?", "Fine.", "Again?"])  # thoughts are not told again

    def test_tool_calls_are_shown_as_calls_and_kept(self):
        answer, said, asked = self.talk(pb.Delta(token_ids=[1], text="I look."), *TWO_CALLS,
                                        lines=("How?", "Again?"))
        self.assertEqual(answer, "I look.\nI look.\n")
        self.assertIn('tool call: weather({"city": "Oslo"})\ntool call: clock({})\n', said)
        self.assertEqual(asked[1][0], [("user", "How?", []),
                                       ("assistant", "I look.", TWO_CALLS_KEPT),
                                       ("user", "Again?", [])])

    def test_calls_without_a_word_are_kept_saved_and_loaded(self):
        path = self.path("talk.json")
        _, _, asked = self.talk(*TWO_CALLS, lines=("How?", f"/save {path}"))
        with open(path, encoding="utf-8") as file:
            said = json.load(file)["messages"][1]
        self.assertIsNone(said["content"])
        self.assertEqual(len(said["tool_calls"]), 2)
        _, _, asked = self.talk(*TWO_CALLS, lines=(f"/load {path}", "Again?"))
        self.assertEqual(asked[0][0], [("user", "How?", []), ("assistant", "", TWO_CALLS_KEPT),
                                       ("user", "Again?", [])])

    def test_results_answer_calls_in_order_and_the_answer_goes_on(self):
        noon = self.file("noon.txt", "noon,\nor so")
        _, said, asked = self.talk(*TWO_CALLS, lines=("How?", "/result 5 degrees",
                                                      f"/result @{noon}"))
        self.assertIn("\nwaits for its result: call_1 clock({})\n", said)
        self.assertEqual(len(asked), 2)
        self.assertEqual(asked[1][0], [("user", "How?", []), ("assistant", "", TWO_CALLS_KEPT),
                                       ("tool", "5 degrees", "call_0"),
                                       ("tool", "noon,\nor so", "call_1")])

    def test_results_answer_calls_by_their_ids(self):
        _, said, asked = self.talk(*TWO_CALLS, lines=("How?", "/result", "/result call_1 noon",
                                                      "/result", "/result call_0 cold"))
        shown = re.findall(r"^waits for its result: (\w+ \w+)", said, re.M)
        self.assertEqual(shown[:4], ["call_0 weather", "call_1 clock", *["call_0 weather"] * 2])
        self.assertEqual(asked[1][0][2:], [("tool", "noon", "call_1"), ("tool", "cold", "call_0")])

    def test_results_that_answer_no_call_are_refused(self):
        latin = self.file("latin.txt", b"caf\xe9")
        wrong = ("/result @nowhere.txt", f"/result @{latin}", "/result call_9 x", "/result call_0")
        _, said, asked = self.talk(*TWO_CALLS, lines=(
            "/result early", "How?", *wrong, "/result a", "/result call_0 b", "/result call_1 c",
            "Thanks.", "/reset", "/result late"))
        self.assertEqual(re.findall("no call waits for a result", said),
                         ["no call waits for a result"] * 2)
        refused = re.findall(r"no result was taken: (.*)", said)
        self.assertEqual(len(refused), 5, said)
        for reason, words in zip(refused, ("nowhere.txt", "latin.txt is not UTF-8", "call_9 is no",
                                           "no text behind the id", "call_0 is no")):
            self.assertIn(words, reason)
        self.assertEqual(asked[1][0][2:], [("tool", "a", "call_0"), ("tool", "c", "call_1")])
        self.assertEqual(asked[2][0][-1], ("user", "Thanks.", []))

    def test_a_retry_answers_the_last_results_again(self):
        _, _, asked = self.talk(*TWO_CALLS, lines=("How?", "/result a", "/retry",
                                                   "/result b", "/result c", "/retry"))
        talks = [[content for _, content, _ in messages] for messages, _ in asked]
        self.assertEqual(talks, [["How?"], ["How?"], *[["How?", "", "b", "c"]] * 2])

    def test_tools_go_with_every_question_until_they_are_off(self):
        first = self.tools_file(WEATHER)
        second = self.tools_file(CLOCK, WEATHER, name="more tools.json")
        _, said, asked = self.talk(
            pb.Delta(token_ids=[1], text="Fine."), flags=("--tools", first),
            lines=("a", "/tools", "/reset", "b", f"/tools {second}", "c", "/tools off", "d"))
        self.assertEqual([tools for _, tools in asked],
                         [[WEATHER], [WEATHER], [CLOCK, WEATHER], []])
        self.assertEqual(re.findall(r"^(?:tools: .*|no tools)$", said, re.M),
                         ["tools: weather", "tools: clock, weather", "no tools"])

    def test_a_file_that_cannot_be_used_changes_nothing(self):
        good = self.tools_file(WEATHER)
        bad = self.tools_file(CLOCK, {"type": "function", "function": {"name": "a b"}},
                              name="bad.json")
        _, said, asked = self.talk(pb.Delta(token_ids=[1], text="Fine."), flags=("--tools", good),
                                   lines=(f"/tools {bad}", "/tools nowhere.json", "a"))
        self.assertRegex(said, r"no tools were taken: \S*bad\.json: tools\[1\]\.function\.name ")
        self.assertIn("nowhere.json", said)
        self.assertEqual(asked[0][1], [WEATHER])

    def test_tools_that_the_server_ignores_are_told_of(self):
        _, said, _ = self.talk(pb.Delta(token_ids=[1], text="Fine."), ignored=("tools", "more"))
        self.assertRegex(said, r"warning: \S+ took without effect: tools, more\n")
        _, said, _ = self.talk(pb.Delta(token_ids=[1], text="Fine."))
        self.assertNotIn("without effect", said)


class GrpcTest(Cases, program.ProgramTest):
    StandIn = GrpcStandIn


class HttpTest(Cases, program.ProgramTest):
    StandIn = HttpStandIn


class TerminalTest(program.ProgramTest):
    def test_calls_still_wait_behind_an_answer_that_failed(self):
        server = HttpStandIn(TWO_CALLS, ())
        self.addCleanup(server.close)
        good, fail_at = server.answers, 2
        server.answers = lambda number, body: (
            (500, {}, b"broken") if number == fail_at else good(number, body))
        terminal = pty_program.Terminal("chat", "--url", server.url)
        self.addCleanup(terminal.close)
        terminal.until(b"> ")
        for line, said in (("How?", b"/result TEXT says"), ("/result a", b"call_1 clock"),
                           ("/result b", b"TROUPE-"), ("/result", b"call_1 clock"),
                           ("/result c", b"/result TEXT says")):
            terminal.type(line.encode() + b"\n")
            terminal.until(said)
            terminal.until(b"> ")
        results = [[content for role, content, _ in messages if role == "tool"]
                   for messages, _ in server.conversations]
        self.assertEqual(results, [[], ["a", "b"], ["a", "c"]])


class FileTest(program.ProgramTest):
    def test_bad_files_of_tools_are_named_with_the_place(self):
        for text, says in (
            ("{", ["byte"]),
            ("{}", ["holds no tools"]),
            ("[]", ["holds no tools"]),
            ("[5]", ["tools[0]", "takes"]),
            (json.dumps([WEATHER, {"type": "function", "function": {"name": ""}}]),
             ["tools[1].function.name"]),
        ):
            path = self.file("bad.json", text)
            self.fails(program.USAGE, 1103, ["bad.json", *says], "chat", "--url", "127.0.0.1:1",
                       "--tools", path, "--once", "x")
        self.fails(program.USAGE, 1103, "nowhere.json", "chat", "--url", "127.0.0.1:1", "--tools",
                   "nowhere.json", "--once", "x")

    def test_without_a_gateway_there_are_no_tools(self):
        path = self.file("tools.json", json.dumps([WEATHER]))
        self.fails(program.USAGE, 1005, "--url", "chat", "--tools", path, "--once", "x")
        done = program.run("chat", stdin=f"/tools {path}\n/tools\n".encode())
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(b"--url names it", done.stderr)
        self.assertIn(b"no tools\n", done.stderr)


class ServedTest(program.ProgramTest):
    """Tools of a chat in the prompts of a real server."""

    def serve(self, family):
        template = os.path.join(program.GOLDENS, "chat", family + ".jinja")
        served = grpc_client.Served(program.TINY, "--chat-template", template)
        self.addCleanup(served.stop)
        return served

    def stats(self, url, *lines):
        """Prompt tokens of a chat's one answer, and what it said."""
        flags = ("--max-tokens", 1, "--temperature", 0)
        done = program.run("chat", "--url", url, *flags, stdin="\n".join(lines).encode())
        self.assertEqual(done.returncode, 0, done.stderr)
        said = done.stderr.decode()
        return int(re.search(r"to (\d+) prompt tokens", said)[1]), said

    def test_both_faces_put_tools_and_calls_into_the_prompt(self):
        served = self.serve("v31")
        tools = self.file("tools.json", json.dumps([WEATHER, CLOCK]))
        calls = [{"id": id_, "type": "function", "function": {"name": name, "arguments": text}}
                 for id_, name, text in TWO_CALLS_KEPT]
        messages = [{"role": "user", "content": "How?"},
                    {"role": "assistant", "content": None, "tool_calls": calls}]
        talk = self.file("talk.json", json.dumps({"messages": messages}))
        asked = {"messages": [*messages, {"role": "user", "content": "Hi"}]}
        results = [{"role": "tool", "content": text, "tool_call_id": f"call_{i}"}
                   for i, text in enumerate(("5 degrees", "noon"))]
        answered = {"messages": [*messages, *results]}
        for more, lines in (({**asked, "tools": [WEATHER, CLOCK]}, (f"/tools {tools}", "Hi")),
                            (asked, ("Hi",)),
                            (answered, ("/result 5 degrees", "/result noon"))):
            whole = openai_client.ask(served.url, "/tokenize", more).json
            for url in (served.url, served.address):
                with self.subTest(url=url, **more):
                    tokens, said = self.stats(url, f"/load {talk}", *lines, "/stats")
                    self.assertEqual(tokens, whole["count"])
                    self.assertNotIn("without effect", said)

    def test_a_template_that_shows_no_tools_is_told_of_over_both_faces(self):
        served = self.serve("v3")
        tools = self.file("tools.json", json.dumps([WEATHER]))
        for url in (served.url, served.address):
            _, said = self.stats(url, f"/tools {tools}", "Hi", "/stats")
            self.assertRegex(said, r"warning: \S+ took without effect: (chat\.)?tools\n")


if __name__ == "__main__":
    unittest.main()
