"""Clients that hardly read, and streams that are only open: what others and the server notice."""

import json
import selectors
import socket
import statistics
import threading
import urllib.parse

from tests.bench.serving.asking import ask, completion
from tests.bench.serving.server import Prompts, Samples, Troupe, pause
from tests.support import grpc_client
from tests.support.poll_until import eventually

GOAL = 0.90
RECEIVE_BUFFER = 4096
SLOW_BYTES, PERIOD_S = 256, 1.0
# Of the readers' answers so many are still computed at the end of a round that counts.
COMPUTED_MIN = 0.9


class Readers:
    """Open event streams of one thread; slow ones read 256 bytes a second, quick ones all."""

    def __init__(self, url, bodies, slow):
        self._sockets = [_open(url, body, slow) for body in bodies]
        self._slow, self._end = slow, threading.Event()
        self._thread = threading.Thread(target=self._crawl if slow else self._drain)
        self._thread.start()

    def _crawl(self):
        while not self._end.wait(PERIOD_S):
            for one in self._sockets:
                try:
                    one.recv(SLOW_BYTES, socket.MSG_DONTWAIT)
                except BlockingIOError:
                    pass

    def _drain(self):
        ready = selectors.DefaultSelector()
        for one in self._sockets:
            ready.register(one, selectors.EVENT_READ)
        while not self._end.is_set():
            for key, _ in ready.select(0.1):
                if not key.fileobj.recv(65536):
                    ready.unregister(key.fileobj)

    def close(self):
        self._end.set()
        self._thread.join()
        for one in self._sockets:
            one.close()


def _open(url, asked, slow):
    """A socket that has asked for a stream."""
    place, (path, body) = urllib.parse.urlsplit(url), asked
    one = socket.socket()
    if slow:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    one.connect((place.hostname, place.port))
    text = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Length: {len(text)}\r\n\r\n"
    one.sendall(head.encode() + text)
    return one


def run(options):
    """Prints both parts; gives back what they found."""
    return {**_beside_readers(options), **_idle_streams(options)}


def _beside_readers(options):
    prompts = Prompts(options.model, options.seed)
    with Troupe(options.model, *options.serve) as server:
        speed = _Speed(server, prompts, options)
        computing = {  # beside quick ones first: then their pages are allocated
            name: _while_computing(server, speed, prompts, options, slow)
            for name, slow in (("quick", False), ("slow", True))
        }
        memory = [server.anonymous_mib()]
        alone = [speed.measure()]  # and again afterwards: the machine's speed drifts
        readers = _start(server, prompts, options, slow=True)
        eventually(lambda: server.sequences() == 0, "all answers are computed")
        memory.append(server.anonymous_mib())
        beside = speed.measure()
        readers.close()
        server.wait_until_empty()
        alone = statistics.mean([*alone, speed.measure()])
    found = {
        "alone": alone, "beside_slow": beside, "ratio": beside / alone, "memory_mib": memory,
        "computing": computing,
        "computing_ratio": computing["slow"]["tokens_per_s"] / computing["quick"]["tokens_per_s"],
    }
    _print_readers(found, options)
    return found


def _while_computing(server, speed, prompts, options, slow):
    """The quick one's speed while the readers' answers are computed, and the memory meanwhile."""
    tokens = options.computing_tokens
    before = server.anonymous_mib()
    # The quick one waits for a place among them: answers of four times its tokens outlast it.
    most = min(4 * tokens * options.rounds, prompts.context - 64)
    readers = _start(server, prompts, options, slow, most)
    speeds, computed = [], []
    with Samples(server) as memory:
        for _ in range(options.rounds):
            found = speed.measure(1, tokens)
            computed.append(server.sequences())
            if computed[-1] >= COMPUTED_MIN * options.readers:
                speeds.append(found)
    readers.close()
    server.wait_until_empty()
    if not speeds:
        raise SystemExit(f"slow_readers: after a round only {computed[0]:.0f} answers of "
                         f"{options.readers} are computed; --computing-tokens is too many")
    return {"tokens_per_s": statistics.median(speeds), "rounds": len(speeds),
            "computed": computed[: len(speeds)], "memory_mib": [before, max(memory.mib)]}


def _print_readers(found, options):
    computing = found["computing"]
    share = f"{found['ratio']:.0%}, goal {GOAL:.0%}"
    print(f"{options.readers} readers of {SLOW_BYTES} bytes a second, {options.answer_tokens} "
          "tokens each, and one that reads everything:")
    print("| the quick one | tokens/s |\n|---|---:|")
    for name, value in (
        ("alone", f"{found['alone']:.1f}"),
        ("beside the slow ones, whose answers wait for them",
         f"{found['beside_slow']:.1f} ({share})"),
        ("while theirs are computed, too", f"{computing['slow']['tokens_per_s']:.1f} "
         f"({found['computing_ratio']:.0%} of the next line)"),
        ("the same beside quick readers", f"{computing['quick']['tokens_per_s']:.1f}"),
    ):
        print(f"| {name} | {value} |")
    for name, part in computing.items():
        begin, most = part["memory_mib"]
        print(f"while answers of {name} readers are computed: {part['rounds']} rounds of "
              f"{options.computing_tokens} tokens, at least {min(part['computed']):.0f} answers "
              f"computed on at the end of each; memory of its own {begin:.1f} MiB before, "
              f"{most:.1f} MiB at most")
    before, waiting = found["memory_mib"]
    print(f"memory of its own: {before:.1f} MiB before, {waiting:.1f} MiB with all answers "
          f"waiting")


def _start(server, prompts, options, slow, tokens=None):
    tokens = tokens or options.answer_tokens
    bodies = [
        completion(prompts.ids(f"{slow} {tokens} {number}", 8), tokens, return_token_ids=True)
        for number in range(options.readers)
    ]
    readers = Readers(server.url, bodies, slow)
    eventually(lambda: server.sequences() > options.readers / 2, "the readers' requests run")
    return readers


class _Speed:
    """Tokens per second of one stream, the median of a few."""

    def __init__(self, server, prompts, options):
        self.server, self.prompts, self.options = server, prompts, options
        self.number = 0
        self.measure(rounds=1)

    def measure(self, rounds=None, tokens=None):
        tokens = tokens or self.options.fast_tokens
        return statistics.median(self._once(tokens) for _ in range(rounds or self.options.rounds))

    def _once(self, tokens):
        self.number += 1
        ids = self.prompts.ids(f"quick {self.number}", 32)
        reply = ask(self.server.url, completion(ids, tokens))
        if reply.failure:
            raise SystemExit(f"slow_readers: {reply.failure}")
        return reply.tokens_per_s


def _idle_streams(options):
    """gRPC streams on connections of their own on which nothing happens: health watches."""
    with Troupe(options.model, *options.serve) as server:
        pause(options.idle_s / 4)
        before = _use(server, options.idle_s)
        channels, streams = _watches(server.served, options.streams)
        during = _use(server, options.idle_s)
        for stream in streams:
            stream.cancel()
        for channel in channels:
            channel.close()
    print(f"{len(streams)} idle gRPC streams, a connection each, {options.idle_s:g} s:")
    print("| | memory of its own, MiB | CPU, % of a core | threads |\n|---|---:|---:|---:|")
    for name, (mib, share, threads) in (("without", before), ("with", during)):
        print(f"| {name} | {mib:.1f} | {100 * share:.2f} | {threads} |")
    return {"streams": len(streams), "idle_before": before, "idle_during": during}


def _use(server, seconds):
    """(MiB, share of a core, threads) over some seconds."""
    began = server.cpu_s()
    pause(seconds)
    return server.anonymous_mib(), (server.cpu_s() - began) / seconds, server.threads()


def _watches(served, count):
    """Channels and their streams; each stream has had its first message."""
    single = {"grpc__use_local_subchannel_pool": 1, "SingleThreadedUnaryStream": 1}
    channels, streams = [], []
    for _ in range(count):
        channel = served.connect(**single)
        stub = grpc_client.health_pb2_grpc.HealthStub(channel)
        request = grpc_client.health_pb2.HealthCheckRequest(service=grpc_client.INFERENCE)
        stream = stub.Watch(request)
        next(stream)
        channels.append(channel)
        streams.append(stream)
    return channels, streams
