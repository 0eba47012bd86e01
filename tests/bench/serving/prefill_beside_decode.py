"""A long prompt beside a stream that decodes: how long the stream waits between its tokens."""

import statistics
import threading

from tests.bench.serving import loops
from tests.bench.serving.asking import ask, completion
from tests.bench.serving.server import Prompts, Troupe
from tests.support.poll_until import eventually

GOAL = 2.0
BESIDE_TOKENS = 16384  # more than the stream gets to, where the model's context has room
STREAM_PROMPT = 32


def run(options):
    """Prints chunk times and gaps; gives back what it found."""
    prompts = Prompts(options.model, options.seed)
    with Troupe(options.model, *options.serve) as server:
        ask(server.url, completion(prompts.ids("warm", 600), 32))
        alone = _prefill(server.url, prompts.ids("alone", options.long_prompt))
        tokens = min(BESIDE_TOKENS, prompts.context - STREAM_PROMPT)
        stream = _Stream(server.url, completion(prompts.ids("stream", STREAM_PROMPT), tokens))
        eventually(lambda: len(stream.arrivals()) > 100, "the stream decodes")
        before = stream.arrivals()
        beside = _prefill(server.url, prompts.ids("beside", options.long_prompt))
        stream.stop()
    chunks, slowed = _chunk_times(alone), _chunk_times(beside)
    quiet = [b - a for a, b in zip(before, before[1:])]
    during = _gaps_during(stream.arrivals(), beside.due, beside.arrivals[0][0])
    found = {
        "chunks": len(chunks),
        "chunk_median_s": statistics.median(chunks),
        "chunk_max_s": max(chunks),
        "gap_max_s": max(during),
        "gap_p99_s": loops.percentile(during, 0.99),
        "gap_quiet_median_s": statistics.median(quiet),
        "tokens_during": len(during),
        "ratio": max(during) / max(chunks),
        "ratio_median": statistics.median(during) / statistics.median(chunks),
        "ratio_own": max(during) / max(slowed),
    }
    _print(found, options, alone, beside)
    return found


class _Stream:
    """A stream that decodes until it is stopped."""

    def __init__(self, url, asked):
        self._reply, self._ended, self._stop = None, None, threading.Event()
        self._thread = threading.Thread(target=self._run, args=(url, asked))
        self._thread.start()

    def _run(self, url, asked):
        def until(reply):
            self._reply = reply
            return self._stop.is_set()

        self._ended = ask(url, asked, until=until)

    def arrivals(self):
        """When its tokens came so far."""
        if self._ended and not self._stop.is_set():
            raise SystemExit(f"the stream ended too early: {self._ended.failure or 'answered'}")
        return [at for at, _ in self._reply.arrivals] if self._reply else []

    def stop(self):
        self._stop.set()
        self._thread.join()


def _prefill(url, ids):
    reply = ask(url, completion(ids, 1, include_prompt_progress=True))
    if reply.failure:
        raise SystemExit(f"prefill_beside_decode: {reply.failure}")
    return reply


def _chunk_times(reply):
    """Seconds of each chunk, the last of which ends with the first token."""
    moments = [at for at, done in reply.progress] + [reply.arrivals[0][0]]
    return [b - a for a, b in zip(moments, moments[1:]) if b - a > 1e-4] or [reply.first_token_s]


def _gaps_during(arrivals, begin, end):
    return [b - a for a, b in zip(arrivals, arrivals[1:]) if b > begin and a < end]


def _print(found, options, alone, beside):
    print(f"a prompt of {options.long_prompt} ids; its first token alone after "
          f"{alone.first_token_s:.1f} s, beside the stream after {beside.first_token_s:.1f} s")
    print("| what | seconds |\n|---|---:|")
    for name, key in (
        ("chunk of the prompt alone, median", "chunk_median_s"),
        ("chunk of the prompt alone, longest", "chunk_max_s"),
        ("gap of the stream without the prompt, median", "gap_quiet_median_s"),
        ("gap beside the prompt, p99", "gap_p99_s"),
        ("gap beside the prompt, longest", "gap_max_s"),
    ):
        print(f"| {name} | {found[key]:.4f} |")
    print(f"longest gap / longest chunk alone {found['ratio']:.2f} (goal {GOAL:g}), "
          f"/ longest chunk beside the stream {found['ratio_own']:.2f}; "
          f"medians {found['ratio_median']:.2f}; {found['tokens_during']} tokens meanwhile, "
          f"{found['chunks']} chunks")
