"""Three times more than a server can do: who is refused, and how those fare who are let in."""

import collections
import random
import statistics
import time

from tests.bench.serving import loops
from tests.bench.serving.asking import completion
from tests.bench.serving.server import Prompts, Samples, Troupe

GOODPUT_GOAL, LATENCY_GOAL = 0.95, 2.0
WARM_UP_S = 20
PEAK_LOOPS = 3  # times as long as a loop of the sweep: a few answers of every client
UNLOADED, REQUESTS_MIN = 1 / 3, 40  # of the peak; whose gaps make a p99


def run(options):
    """Prints the peak, then the overload against it; gives back what it found."""
    prompts = Prompts(options.model, options.seed)
    asked = _requests(prompts, options)
    with Troupe(options.model, *options.serve) as server:
        peak = _sweep(server, asked, options)
        clients = max(peak, key=lambda count: peak[count]["tokens_per_s"])
        # Once more: the best of several is the luckiest, too.
        peak[clients] = _closed(server, asked, clients, PEAK_LOOPS * options.sweep_s)
    best = peak[clients]["tokens_per_s"]
    admitted = options.admit or clients + clients // 4  # one waits when another ends
    rate = options.times * best / options.answer_tokens
    limit = ("--set", f"gateway.requests_max={admitted}")
    with Troupe(options.model, *options.serve, *limit) as server:
        calm = _unloaded(server, asked, best / options.answer_tokens, options)
        with Samples(server) as memory:
            begin = time.perf_counter()
            replies, not_sent = loops.open_loop(
                server.url, asked, rate, options.seconds, options.seed
            )
        server.wait_until_empty()
    with Troupe(options.model, *options.serve) as server:
        after = _closed(server, asked, clients, PEAK_LOOPS * options.sweep_s)["tokens_per_s"]
    peak_rate = statistics.mean((best, after))  # the machine may have become slower or faster
    found = _judge(replies, begin, options.seconds, peak, (clients, peak_rate))
    found |= {"peak_after": after, "admitted": admitted}
    found |= {"not_sent": not_sent, "rate": rate, "memory_mib": _flat(memory.mib)}
    found |= {"itl_unloaded": calm, "itl_to_unloaded": found["itl_p99"] / calm}
    _print(found, peak, options)
    return found


def _requests(prompts, options):
    """Prompts and answers from half to one and a half times as long as asked for: with equal ones
    the clients of a closed loop would stay in step for ever, as those of an open loop never are."""
    draw = random.Random(options.seed)

    def around(tokens):
        return draw.randint(tokens - tokens // 2, tokens + tokens // 2)

    def asked(number):
        ids = prompts.ids(f"{time.perf_counter()} {number}", around(options.prompt_tokens))
        return completion(ids, around(options.answer_tokens))

    return asked


def _sweep(server, asked, options):
    """clients -> what a closed loop of so many reaches."""
    found = {}
    loops.closed(server.url, asked, max(options.clients), requests=max(options.clients))
    for clients in options.clients:
        found[clients] = _closed(server, asked, clients, options.sweep_s)
    return found


def _closed(server, asked, clients, seconds):
    replies = loops.closed(server.url, asked, clients, seconds=seconds)
    for reply in replies:
        if reply.failure:
            raise SystemExit(f"overload: {reply.failure}")
    begin, end = loops.steady_window(replies, clients, seconds)
    if begin >= end:
        raise SystemExit(f"overload: {clients} clients need more than {seconds:g} s (--sweep-s)")
    rate = loops.tokens_per_s(replies, begin, end)
    return {"tokens_per_s": rate, "itl_p99": loops.percentile(loops.gaps(replies), 0.99)}


def _unloaded(server, asked, peak_rate, options):
    """p99 between tokens of the same arrivals, few enough that nobody has to wait."""
    rate = UNLOADED * peak_rate
    seconds = max(options.sweep_s, REQUESTS_MIN / rate if options.seconds >= 60 else 0)
    replies, _ = loops.open_loop(server.url, asked, rate, seconds, options.seed)
    return loops.percentile(loops.gaps(replies), 0.99)


def _judge(replies, begin, seconds, peak, at_peak):
    """`at_peak`: clients of the peak, and its tokens/s."""
    by_status = collections.Counter(
        reply.status if reply.status in (200, 429, 503) and "hangs" not in reply.failure
        else reply.failure
        for reply in replies
    )
    refused = [reply for reply in replies if reply.status in (429, 503)]
    served = loops.served(replies)
    broken = [reply for reply in replies if reply.status == 200 and reply.failure]
    warm = min(WARM_UP_S, seconds / 5)
    goodput = loops.tokens_per_s(replies, begin + warm, begin + seconds)
    itl = loops.percentile(loops.gaps(replies), 0.99)
    alone = peak[min(peak)]["itl_p99"]
    return {
        "by_status": {str(status): count for status, count in by_status.items()},
        "refused_without_retry_after": sum(not reply.retry_after for reply in refused),
        "retry_after_s": sorted({int(r.retry_after) for r in refused if r.retry_after}),
        "refused_s_p99": loops.percentile([r.ended - r.due for r in refused], 0.99),
        "completed": len(served),
        "broken": len(broken),
        "hung": sum("hangs" in reply.failure for reply in replies),
        "goodput": goodput,
        "of_peak": goodput / at_peak[1],
        "itl_p99": itl,
        "itl_to_alone": itl / alone,
        "itl_to_closed_loop": itl / peak[at_peak[0]]["itl_p99"],
    }


def _flat(mib):
    """Medians of the second and of the last fifth, and the largest of all samples."""
    fifth = max(1, len(mib) // 5)
    early, late = mib[fifth:2 * fifth] or mib[:1], mib[-fifth:]
    return {"early": statistics.median(early), "late": statistics.median(late), "most": max(mib)}


def _print(found, peak, options):
    size = f"{options.prompt_tokens} + {options.answer_tokens}"
    print(f"about {size} tokens a request; closed loops:")
    print("| clients | tokens/s | p99 between tokens, ms |\n|---:|---:|---:|")
    for clients, row in peak.items():
        print(f"| {clients} | {row['tokens_per_s']:.1f} | {1e3 * row['itl_p99']:.1f} |")
    retry = found["retry_after_s"]
    spread = f"{retry[0]} to {retry[-1]} s" if retry else "none"
    memory = found["memory_mib"]
    print(f"open loop of {found['rate']:.2f} requests/s ({options.times:g} times the peak) for "
          f"{options.seconds:g} s, gateway.requests_max {found['admitted']}:")
    print("| what | found |\n|---|---:|")
    for name, value in (
        ("answers by status", found["by_status"]),
        ("refused without Retry-After", found["refused_without_retry_after"]),
        ("Retry-After", spread),
        ("p99 until refused, ms", f"{1e3 * found['refused_s_p99']:.1f}"),
        ("answered whole / cut off / hung",
         f"{found['completed']} / {found['broken']} / {found['hung']}"),
        (f"goodput of the peak (goal {GOODPUT_GOAL:.0%})",
         f"{found['goodput']:.1f} tokens/s, {found['of_peak']:.0%}"),
        (f"p99 between tokens against a third of the peak (goal {LATENCY_GOAL:g}x)",
         f"{1e3 * found['itl_p99']:.1f} ms, {found['itl_to_unloaded']:.2f}x"),
        ("a closed loop of the peak's clients afterwards", f"{found['peak_after']:.1f} tokens/s"),
        ("the same p99 against a closed loop at the peak, of the fewest clients",
         f"{found['itl_to_closed_loop']:.2f}x, {found['itl_to_alone']:.2f}x"),
        ("memory of its own, MiB: early, late, most",
         f"{memory['early']:.1f}, {memory['late']:.1f}, {memory['most']:.1f}"),
    ):
        print(f"| {name} | {value} |")
