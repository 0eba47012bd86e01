#!/usr/bin/env python3
"""How long a service is missed: kills each role of `troupe up` and prints seconds, per role.

    TROUPE_BIN=build/release/troupe TROUPE_SOURCE_DIR=. PYTHONPATH=. \\
        python3 tests/bench/recovery_bench.py [--rounds N] [--experts N]

For each round: from the kill to the start of the next process, and from there to the first complete
answer to a request (asked again until there is one).
"""

import argparse
import os
import signal
import statistics
import time

import grpc

from tests.support import grpc_client as client
from tests.support import up_cluster
from tests.support.poll_until import eventually

ASKED = {"text": "In the beginning", "temperature": 0, "max_tokens": 8}


def answered(up):
    try:
        return bool(client.stream(up, client.request(**ASKED), timeout=10).ids)
    except grpc.RpcError:
        return False


def one_round(up, role):
    old = eventually(lambda: up.pid(role), role)
    before = set(up.children())
    killed = time.monotonic()
    os.kill(old, signal.SIGKILL)
    eventually(lambda: set(up.children()) - before, f"another {role}")
    back = time.monotonic()
    eventually(lambda: answered(up), "an answer")
    return back - killed, time.monotonic() - back


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--experts", type=int, default=2)
    given = parser.parse_args()
    up = up_cluster.Up("--experts", given.experts)
    print("role       kill to restart, s        restart to full service, s")
    print("           median     max            median     max")
    for role in up_cluster.ROLES:
        figures = [one_round(up, role) for _ in range(given.rounds)]
        columns = "".join(
            f"{statistics.median(column):9.2f} {max(column):9.2f}      "
            for column in zip(*figures, strict=True)
        )
        print(f"{role:10}{columns}")
    up.stop()


if __name__ == "__main__":
    main()
