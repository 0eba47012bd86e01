"""Troupe and llama-server in turns on the same checkpoint: closed loops of a few sizes."""

import statistics

from tests.bench.serving import loops
from tests.bench.serving.asking import completion
from tests.bench.serving.server import LlamaServer, Prompts, Troupe

GOAL = 1.5
FIGURES = ("tokens_per_s", "ttft_p50", "ttft_p95", "itl_p50", "itl_p99")


def run(options):
    """Prints a row for each number of clients and server; gives back all rounds."""
    prompts = Prompts(options.model, options.seed)
    room = options.prompt_tokens + options.answer_tokens + 16
    found = {}
    with Troupe(options.model, *options.serve) as troupe:
        with LlamaServer(options.peer_bin, options.gguf, max(options.clients), room) as llama:
            servers = {"troupe": troupe.url, "llama-server": llama.url}
            for clients in options.clients:
                rounds = {name: [] for name in servers}
                for number in range(options.rounds + 1):
                    for name, url in servers.items():
                        row = _round(url, prompts, clients, number, options)
                        if number > 0:  # the first one warms up
                            rounds[name].append(row)
                found[clients] = rounds
    _print(found, options)
    return found


def _round(url, prompts, clients, number, options):
    """One closed loop; both servers get the same prompts."""
    def asked(index):
        ids = prompts.ids(f"{clients} {number} {index}", options.prompt_tokens)
        return completion(ids, options.answer_tokens)

    requests = max(clients * options.requests_each, 4) if number else clients
    replies = loops.closed(url, asked, clients, requests=requests)
    for reply in replies:
        if reply.failure:
            raise SystemExit(f"peer: {url}: {reply.failure}")
    first = [reply.first_token_s for reply in replies]
    gaps = loops.gaps(replies)
    return {
        "tokens_per_s": loops.overall_tokens_per_s(replies),
        "tokens": sum(reply.tokens for reply in replies),
        "ttft_p50": loops.percentile(first, 0.5), "ttft_p95": loops.percentile(first, 0.95),
        "itl_p50": loops.percentile(gaps, 0.5), "itl_p99": loops.percentile(gaps, 0.99),
    }


def _print(found, options):
    print(f"{options.prompt_tokens} + {options.answer_tokens} tokens a request; medians of "
          f"{options.rounds} rounds, the servers in turns; milliseconds")
    print("| clients | server | tokens/s | ratio | TTFT p50 | p95 | between tokens p50 | p99 |")
    print("|---:|---|---:|---:|---:|---:|---:|---:|")
    for clients, rounds in found.items():
        pairs = zip(rounds["troupe"], rounds["llama-server"])
        ratio = statistics.median(a["tokens_per_s"] / b["tokens_per_s"] for a, b in pairs)
        for name, rows in rounds.items():
            middle = [statistics.median(row[key] for row in rows) for key in FIGURES]
            cells = [f"{middle[0]:.1f}", f"{ratio:.2f}" if name == "troupe" else ""]
            cells += [f"{1e3 * value:.1f}" for value in middle[1:]]
            print(f"| {clients} | {name} | " + " | ".join(cells) + " |", flush=True)
    print(f"goal: {GOAL:g} times the peer's tokens/s at 8 and 32 clients")
