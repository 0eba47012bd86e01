#!/usr/bin/env python3
"""`troupe chat --url`: thoughts and tool calls that a gateway tells apart.

No model here makes any, so the gateway is a stand-in of a few lines, made from our .proto.
"""

import unittest
from concurrent import futures

from tests.support import grpc_client, program

pb, grpc = grpc_client.pb, grpc_client.grpc


def tool(name="", arguments="", index=0):
    call = pb.ToolCallDelta(index=index, name=name, arguments_json=arguments)
    return pb.Delta(token_ids=[1], tool_call_delta=call)


class Gateway(grpc_client.inference_pb2_grpc.InferenceServiceServicer):
    """Answers every request with `deltas`."""

    def __init__(self, *deltas):
        self.deltas, self.asked = deltas, []
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
        yield pb.GenerateResponse(finished=pb.Finished(usage=usage))

    def close(self):
        self.server.stop(None).wait()


class AsidesTest(program.ProgramTest):
    def answer(self, *deltas, lines=("How is the weather?",)):
        """(stdout, stderr, what the gateway was asked) of a chat."""
        gateway = Gateway(*deltas)
        self.addCleanup(gateway.close)
        done = program.run("chat", "--url", gateway.url, stdin="\n".join(lines).encode())
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.decode(), done.stderr.decode(), gateway.asked

    def test_thoughts_stand_beside_the_answer(self):
        think = [pb.Delta(token_ids=[1], reasoning_text=text) for text in ("Let me ", "think.")]
        answer, said, asked = self.answer(
            *think, pb.Delta(token_ids=[1], text="Fine."), lines=("How?", "Again?")
        )
        self.assertEqual(answer, "Fine.\nFine.\n")
        self.assertIn("thinking: Let me think.\n3 tokens", said)
        contents = [message.content for message in asked[1].chat.messages]
        self.assertEqual(contents, ["How?", "Fine.", "Again?"])  # thoughts are not told again

    def test_tool_calls_are_shown_as_calls(self):
        answer, said, _ = self.answer(
            pb.Delta(token_ids=[1], text="I look."),
            tool("weather", '{"city": '),
            tool(arguments='"Oslo"}'),
            tool("clock", "{}", index=1),
        )
        self.assertEqual(answer, "I look.\n")
        self.assertIn('tool call: weather({"city": "Oslo"})\ntool call: clock({})\n', said)


if __name__ == "__main__":
    unittest.main()
