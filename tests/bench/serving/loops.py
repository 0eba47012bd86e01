"""Closed and open loops of requests, and what they come to."""

import itertools
import random
import threading
import time

from tests.bench.serving.asking import ask

IN_FLIGHT_MAX = 900  # threads of this program; gateways refuse long before


def closed(url, asked, clients, seconds=None, requests=None):
    """Replies of `clients` that each ask again when they are answered. `asked(i)`: request i.

    Ends with the last answer to what was asked within `seconds`, or to `requests` requests."""
    numbers = itertools.count() if requests is None else iter(range(requests))
    begin, replies, lock = time.perf_counter(), [], threading.Lock()

    def client():
        while seconds is None or time.perf_counter() - begin < seconds:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            reply = ask(url, asked(number))
            with lock:
                replies.append(reply)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return replies


def open_loop(url, asked, rate, seconds, seed=1):
    """(replies, how many were not sent) of Poisson arrivals, `rate` a second for `seconds`."""
    draw, begin, pause = random.Random(seed), time.perf_counter(), threading.Event()
    replies, threads, not_sent, due = [], [], 0, begin
    for number in itertools.count():
        due += draw.expovariate(rate)
        if due - begin > seconds:
            break
        pause.wait(max(0.0, due - time.perf_counter()))
        threads = [thread for thread in threads if thread.is_alive()]
        if len(threads) >= IN_FLIGHT_MAX:
            not_sent += 1
            continue
        one = (url, asked(number), due)
        thread = threading.Thread(target=lambda one=one: replies.append(ask(*one)))
        thread.start()
        threads.append(thread)
    for thread in threads:
        thread.join()
    return replies, not_sent


def percentile(values, share):
    """Nearest rank; NaN without values."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def served(replies):
    """Those that were answered whole."""
    return [reply for reply in replies if not reply.failure]


def gaps(replies):
    """Between the pieces of all answers."""
    return [gap for reply in served(replies) for gap in reply.gaps]


def tokens_per_s(replies, begin, end):
    """Tokens that came between two moments; what was answered whole counts."""
    came = [n for reply in served(replies) for at, n in reply.arrivals if begin <= at < end]
    return sum(came) / (end - begin)


def overall_tokens_per_s(replies):
    """From the first request to the end of the last answer."""
    done = served(replies)
    whole = max(reply.ended for reply in done) - min(reply.due for reply in done)
    return sum(reply.tokens for reply in done) / whole


def steady_window(replies, clients, seconds):
    """Of a closed loop of `seconds`: from when its clients are out of step until they stop asking.

    They begin all at once, so at first there are prompts only and then answers only: a window that
    begins behind these prompts has too few of them in it, and too many tokens."""
    begin = min(reply.due for reply in replies)
    done = sorted(served(replies), key=lambda reply: reply.due)
    first = [reply.arrivals[0][0] for reply in done if reply.arrivals][:clients]
    return max(begin + seconds / 3, *first), begin + seconds
