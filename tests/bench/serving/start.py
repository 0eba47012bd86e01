"""How soon a server answers after its start, and what it holds in memory then."""

import glob
import os
import statistics
import time

from tests.bench.serving.asking import ask, completion
from tests.bench.serving.server import Prompts, Troupe, pause
from tests.support import grpc_client, ops

START_GOAL_S, MEMORY_GOAL = 1.0, 1.10
LOOK_S = 0.005


def run(options):
    """Prints the times from fork to /readyz and the memory after some answers; gives them back."""
    prompts = Prompts(options.model, options.seed)
    files = glob.glob(os.path.join(options.model, "*.safetensors"))
    weights = sum(map(os.path.getsize, files)) / 2**20
    seconds = [_ready_after(options) for _ in range(options.rounds)]
    with Troupe(options.model, *options.serve) as server:
        for _ in range(options.rounds):
            ask(server.url, completion(prompts.ids("start", 64), 64))
        resident, own = server.resident_mib(), server.anonymous_mib()
    found = {"ready_s": seconds, "weights_mib": weights, "resident_mib": resident, "own_mib": own}
    print("| what | found | goal |\n|---|---:|---:|")
    print(f"| from fork to /readyz 200, s: median, min, max | {statistics.median(seconds):.2f}, "
          f"{min(seconds):.2f}, {max(seconds):.2f} | {START_GOAL_S:g} |")
    print(f"| resident after {options.rounds} answers, of the {weights:.0f} MiB of weight "
          f"files | {resident / weights:.0%} | {MEMORY_GOAL:.0%} |")
    print(f"| memory of its own, MiB: copies, cache, code | {own:.0f} | |")
    return found


def _ready_after(options):
    """Seconds from the start of the program until its probe says yes."""
    began = time.monotonic()
    served = grpc_client.Served(options.model, *options.serve)
    try:
        while ops.get(served.addresses["ops"], "/readyz")[0] != 200:
            pause(LOOK_S)
        return time.monotonic() - began
    finally:
        served.stop()

