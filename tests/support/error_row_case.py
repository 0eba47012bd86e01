"""A `troupe serve` whose errors are checked row by row, over HTTP and over gRPC."""

from tests.support import grpc_client as client
from tests.support import openai_client as oai
from tests.support import ops, program
from tests.support.error_rows import ErrorRows
from tests.support.grpc_client import request
from tests.support.poll_until import eventually

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
QUESTION = [("user", "What is a lighthouse?")]
MESSAGES = [{"role": role, "content": content} for role, content in QUESTION]
ENDLESS = {"max_tokens": 4000, "ignore_eos": True}


def settings(*pairs):
    return [word for pair in pairs for word in ("--set", pair)]


def bearer(key):
    """What a call over HTTP and one over gRPC take to show a key."""
    words = f"Bearer {key}"
    return {"headers": {"Authorization": words}}, {"metadata": [("authorization", words)]}


class RowTest(ErrorRows, program.ProgramTest):
    """`self.served`, and how it is asked."""

    served = None

    def serve(self, *flags):
        self.served = client.Served(*flags)
        self.addCleanup(self.served.stop)
        return self.served

    def over_http(self, code, path=TEXT, body=None, **options):
        body = {"prompt": "a", "max_tokens": 1} if body is None else body
        return self.is_row_over_http(code, oai.ask(self.served.url, path, body, **options))

    def over_grpc(self, code, asked=None, call=None, **options):
        asked = request(text="a", max_tokens=1) if asked is None else asked
        call = call or self.served.inference.Generate
        return self.is_row_over_grpc(code, client.failure_of(call, asked, **options))

    def stream(self, **options):
        """A gRPC stream that goes on until it is cancelled; its first token is there."""
        call = self.served.inference.Generate(request(text="a", **ENDLESS), **options)
        self.addCleanup(call.cancel)
        while next(call).WhichOneof("event") != "delta":
            pass
        return call

    def calls(self, **labels):
        """How many calls have ended so."""
        name = "troupe_gateway_requests_total"
        return sum(ops.values(self.served.addresses["ops"], name, labels))

    def attention(self, name):
        """The sum of one of the attention shard's metrics."""
        return ops.total([self.served.addresses["ops"]], f"troupe_attention_{name}")

    def steps_after(self, noticed):
        """How many steps were computed from when `noticed` is true until nothing runs any more."""
        eventually(noticed, "it is noticed")
        before = self.attention("batch_tokens_count")
        eventually(lambda: self.attention("sequences_running") == 0, "nothing runs")
        return self.attention("batch_tokens_count") - before

    def answers(self):
        """Whether a request goes well now."""
        return oai.ask(self.served.url, TEXT, {"prompt": "a", "max_tokens": 1}).status == 200
