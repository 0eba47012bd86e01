"""A stand-in for a gateway's HTTP port: counts requests, and answers them in rounds of a size."""

import http.server
import json
import threading
import time

from tests.support import program
from tests.support.loopback_server import LoopbackServer

VOCABULARY = 1000
_SURPLUS_WAIT_S = 0.5  # for a request that is one too many


class CompletionServer(LoopbackServer):
    """`round_size`: how many requests are open before any of them is answered. The first of
    several wait for one more, which should not come: `open_most` tells."""

    request_queue_size = 128

    def __init__(self, round_size=1):
        super().__init__(_Handler)
        self.round_size = round_size
        self.prompts, self.times = [], []  # of each request, as they came
        self.open_most = 0
        self._open = self._waiting = self._rounds = 0
        self._changed = threading.Condition()
        self.start()

    def enter(self, prompt):
        """Waits until its round is complete; whether it was in time."""
        with self._changed:
            self.times.append(time.monotonic())
            self.prompts.append(prompt)
            self._open += 1
            self.open_most = max(self.open_most, self._open)
            self._waiting += 1
            mine = self._rounds
            self._changed.notify_all()
            if self._waiting == self.round_size:
                if mine == 0 and self.round_size > 1:
                    self._changed.wait_for(lambda: self._open > self.round_size, _SURPLUS_WAIT_S)
                self._waiting = 0
                self._rounds += 1
                self._changed.notify_all()
            done = lambda: self._rounds > mine or self.open_most > self.round_size > 1  # noqa: E731
            return self._changed.wait_for(done, program.TIMEOUT_S)

    def leave(self):
        with self._changed:
            self._open -= 1


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        model = {"id": "stand-in", "vocabulary_size": VOCABULARY, "max_model_len": 1 << 20}
        self.reply(200, "application/json", json.dumps({"data": [model]}))

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        in_time = self.server.enter(asked["prompt"])
        events = [{"choices": [{"index": 0, "text": "a", "token_ids": [5]}]}]
        events *= asked["max_tokens"]
        lines = [json.dumps(event) for event in events] + ["[DONE]"]
        self.server.leave()  # first: whoever has the answer asks again
        text = "".join(f"data: {line}\n\n" for line in lines)
        self.reply(200 if in_time else 503, "text/event-stream", text)

    def reply(self, status, kind, text):
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass
