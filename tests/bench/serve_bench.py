#!/usr/bin/env python3
"""The serving engine under load: what its clients and its process notice.

    serve_bench.py --bin BUILD/troupe [--model DIR] CASE [--json FILE] [--serve=--set=KEY=VALUE]

turns                  time to the first token of a second turn, prefix cached against cold
overload               an open loop of 3 times the peak: refusals, latency, goodput, memory
prefill_beside_decode  the longest gap of a stream while an 8K prompt is computed beside it
slow_readers           one quick reader beside 200 slow ones, while their answers are computed and
                       while they wait; 1,000 idle gRPC streams
start                  from fork to /readyz, and what is resident then, against the weight files
drops                  1,000 clients that connect and go: memory, sequences, pages left
peer                   closed loops on Troupe and llama-server (--peer-bin, --gguf) in turns

Wants the packages of tests/requirements.txt. `--serve` adds flags to `troupe serve`.
"""

import argparse
import importlib
import json
import os
import sys

SOURCE = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
sys.path.insert(0, SOURCE)

# (prompt tokens, answer tokens, rounds) of a case that --prompt-tokens etc. do not say.
CASES = {
    "turns": (1024, 64, 7),
    "overload": (64, 64, 1),
    "prefill_beside_decode": (0, 0, 1),
    "slow_readers": (0, 256, 5),
    "drops": (0, 64, 1),
    "start": (0, 64, 5),
    "peer": (64, 64, 3),
}


def arguments():
    """What the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--bin", required=True, help="the troupe program")
    parser.add_argument("--model", default=os.path.join(SOURCE, "examples", "troupe-tiny"))
    parser.add_argument("--serve", action="append", default=[], help="a flag of troupe serve")
    parser.add_argument("--json", help="a file for what was found")
    parser.add_argument("--seed", default="1", help="of prompts and arrivals")
    for name in ("prompt-tokens", "answer-tokens", "rounds"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--clients", type=int, nargs="+", help="of closed loops")
    load = parser.add_argument_group("overload")
    load.add_argument("--seconds", type=float, default=300)
    load.add_argument(
        "--sweep-s", type=float, default=20, help="of each closed loop before; at the peak 3 times"
    )
    load.add_argument("--times", type=float, default=3, help="the peak")
    load.add_argument(
        "--admit", type=int, default=0, help="gateway.requests_max [5/4 of the peak's clients]"
    )
    parser.add_argument("--long-prompt", type=int, default=8192, help="of prefill_beside_decode")
    slow = parser.add_argument_group("slow_readers")
    slow.add_argument("--readers", type=int, default=200)
    slow.add_argument("--fast-tokens", type=int, default=512)
    slow.add_argument(
        "--computing-tokens", type=int, default=128,
        help="of the quick one in each round while the readers' answers are computed",
    )
    slow.add_argument("--streams", type=int, default=1000)
    slow.add_argument("--idle-s", type=float, default=20)
    parser.add_argument("--drops", type=int, default=1000, help="clients of drops")
    peer = parser.add_argument_group("peer")
    peer.add_argument("--peer-bin", help="a llama-server: peers/build_llama.sh")
    peer.add_argument("--gguf", help="the same checkpoint for it: peers/to_gguf.py")
    peer.add_argument("--requests-each", type=int, default=4, help="requests a client and round")
    options = parser.parse_args()
    if options.case == "peer" and not (options.peer_bin and options.gguf):
        parser.error("peer wants --peer-bin and --gguf")
    defaults = zip(("prompt_tokens", "answer_tokens", "rounds"), CASES[options.case])
    for name, value in defaults:
        if getattr(options, name) is None:
            setattr(options, name, value)
    if not options.clients:
        options.clients = [1, 8, 32] if options.case == "peer" else [4, 8, 16, 32]
    return options


def main():
    """Runs the case."""
    options = arguments()
    os.environ["TROUPE_BIN"], os.environ["TROUPE_SOURCE_DIR"] = options.bin, SOURCE
    found = importlib.import_module(f"tests.bench.serving.{options.case}").run(options)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
