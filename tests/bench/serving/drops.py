"""Clients that connect and go at any moment: nothing of them may be left."""

import itertools
import json
import random
import socket
import struct
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

import grpc

from tests.bench.serving.asking import ask, completion
from tests.bench.serving.server import Prompts, Troupe
from tests.support import grpc_client

AT_ONCE = 16
WAYS = ("connected", "half of the head", "half of the body", "request sent", "first token",
        "gRPC, asked", "gRPC, first token")


def run(options):
    """Prints what is left after each round of drops; gives it back."""
    prompts = Prompts(options.model, options.seed)
    with Troupe(options.model, *options.serve) as server:
        drop, numbers = _Dropper(server, prompts, options), itertools.count()
        rows, quarter = [], options.drops // 4
        for part in range(5):  # the first one is not counted: it allocates what is kept
            _round(drop, itertools.islice(numbers, quarter))
            server.wait_until_empty()
            rows.append((part * quarter, server.anonymous_mib(), server.threads()))
        left = {"sequences": server.sequences(), "pages_used": server.pages_used(),
                "in_flight": server.total("troupe_gateway_requests_in_flight")}
        after = ask(server.url, completion(prompts.ids("after", 16), 8))
        cancelled = server.total("troupe_gateway_finish_total", reason="cancelled")
    print("| clients gone | memory of its own, MiB | threads |\n|---:|---:|---:|")
    for gone, mib, threads in rows:
        print(f"| {gone} | {mib:.1f} | {threads} |")
    print(f"left: {left['sequences']:.0f} sequences, {left['pages_used']:.0f} pages, "
          f"{left['in_flight']:.0f} calls; {cancelled:.0f} requests were withdrawn; "
          f"a request after all: {after.failure or 'answered'}")
    return {"rows": rows, **left, "cancelled": cancelled, "after": after.failure}


def _round(drop, numbers):
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for done in pool.map(drop, numbers):
            assert done in WAYS


class _Dropper:
    """Request number n of a client that goes, in a way and with a prompt that n decides."""

    def __init__(self, server, prompts, options):
        self.server, self.prompts, self.tokens = server, prompts, options.answer_tokens
        place = urllib.parse.urlsplit(server.url)
        self.place, self.seed = (place.hostname, place.port), options.seed

    def __call__(self, number):
        draw = random.Random(f"{self.seed} {number}")
        way = draw.choice(WAYS)
        ids = self.prompts.ids(number, draw.randrange(1, 200))
        if way.startswith("gRPC"):
            self._grpc(way, ids)
        else:
            self._http(way, ids, draw)
        return way

    def _grpc(self, way, ids):
        with self.server.served.connect(grpc__use_local_subchannel_pool=1) as channel:
            stub = grpc_client.inference_pb2_grpc.InferenceServiceStub(channel)
            asked = grpc_client.request(ids=ids, max_tokens=self.tokens, ignore_eos=True)
            stream = stub.Generate(asked)
            try:
                if way.endswith("first token"):
                    for event in stream:
                        if event.WhichOneof("event") == "delta":
                            break
            except grpc.RpcError as error:
                raise SystemExit(f"drops: {error}") from error
            stream.cancel()

    def _http(self, way, ids, draw):
        path, body = completion(ids, self.tokens)
        text = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(text)}\r\n\r\n".encode()
        sent = {"connected": b"", "half of the head": head[:len(head) // 2],
                "half of the body": head + text[:len(text) // 2]}.get(way, head + text)
        with socket.create_connection(self.place) as one:
            one.sendall(sent)
            if way == "first token":
                got = b""
                while b"token_ids\":[" not in got and b"data: {" not in got:
                    more = one.recv(65536)
                    if not more:
                        raise SystemExit(f"drops: the server hung up: {got!r}")
                    got += more
            if draw.random() < 0.5:  # a reset instead of a FIN
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
