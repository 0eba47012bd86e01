"""A stand-in for a server that speaks JSON over HTTP: it answers as a test says."""

import contextlib
import http.server
import json
import threading

from tests.support.loopback_server import LoopbackServer


class Server(LoopbackServer):
    """`answers` gives (status, headers, body) per request's body."""

    def __init__(self, answers):
        super().__init__(_Handler)
        self.answers, self.asked, self.lock = answers, [], threading.Lock()
        self.start()


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.asked.append((self.path, body, self.headers["Authorization"]))
            number = len(self.server.asked)
        status, headers, answer = self.server.answers(number, body)
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        with contextlib.suppress(BrokenPipeError):  # the client has gone
            self.end_headers()
            self.wfile.write(data)

    def log_message(self, *_):
        pass
