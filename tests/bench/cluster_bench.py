#!/usr/bin/env python3
"""A cluster of processes against one process: tokens/s, memory, and what idle processes cost.

    cluster_bench.py --bin BUILD/troupe --model DIR [decode] [memory] [idle] [micro] [--rounds N]

decode  tokens/s of one greedy sequence in one process, and with a process for each role over shm
        and tcp; the runs of a round follow one another, so that a ratio is of one moment.
memory  the sum of the processes' PSS after a request, against weights + 10% + 60 MB each.
idle    CPU and wake-ups of seven processes that have nothing to do (`troupe up`), by thread.
micro   tokens/s of closed loops with attention.micro_batches 1, 2 and auto, three clusters at once
        that are asked in turns.
"""

import argparse
import collections
import contextlib
import glob
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))

from tests.support.free_ports import free_ports  # noqa: E402

RATE = re.compile(r"(\d+) tokens, TTFT [\d.]+ s, ([\d.]+) tok/s")
PROCESS_MB = 60
LAYOUTS = (("one process", ()), ("shm", ("--transport", "shm")), ("tcp", ("--transport", "tcp")))


def pause(seconds):
    """Lets time pass: here that is what is measured."""
    threading.Event().wait(seconds)


def tokens_per_second(options, threads, experts, flags):
    """One run; as the program prints it."""
    layout = ("--layout", f"processes:experts={experts}") if flags else ()
    words = [options.bin, "run", "--model", options.model, "--ids", "1,2,3", "--ignore-eos"]
    words += ["--temperature", "0", "--max-tokens", str(options.tokens), "--output-ids"]
    words += ["--threads", str(threads), *layout, *flags]
    done = subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True)
    return float(RATE.search(done.stderr.decode())[2])


def decode(options):
    """Prints the table of tokens/s."""
    print("| threads | expert processes | one process | shm | tcp | shm / one | tcp / one |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for threads in options.threads:
        for experts in options.experts:
            rates = collections.defaultdict(list)
            for _ in range(options.rounds):
                for name, flags in LAYOUTS:
                    rates[name].append(tokens_per_second(options, threads, experts, flags))
            best = [max(rates[name]) for name, _ in LAYOUTS]
            ratios = [
                statistics.median(b / a for a, b in zip(rates["one process"], rates[name]))
                for name in ("shm", "tcp")
            ]
            cells = [f"{rate:.0f}" for rate in best] + [f"{100 * ratio:.0f}%" for ratio in ratios]
            print(f"| {threads} | {experts} | " + " | ".join(cells) + " |", flush=True)


class Up:
    """A running `troupe up`."""

    def __init__(self, options, *flags):
        self.address, http, admin, ops = (f"127.0.0.1:{port}" for port in free_ports(4))
        words = [options.bin, "up", *flags, "--grpc-listen", self.address, "--http-listen", http]
        words += ["--admin-listen", admin, "--ops-listen", ops]
        self.process = subprocess.Popen(words, stderr=subprocess.PIPE)
        for line in self.process.stderr:
            if b"ready:" in line:
                break
        else:
            raise SystemExit("troupe up did not start")
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.wait()

    def pids(self):
        """The parent and its children."""
        parent = self.process.pid
        with open(f"/proc/{parent}/task/{parent}/children", encoding="ascii") as file:
            return [parent, *map(int, file.read().split())]


def role_of(pid):
    """The role that a process was started as."""
    with open(f"/proc/{pid}/cmdline", encoding="utf-8") as file:
        return file.read().split("\0")[1]


def pss_mb(pid):
    """Its share of the memory it uses, pages of files included."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return int(re.search(r"^Pss: +(\d+) kB", file.read(), re.M)[1]) / 1000


def memory(options):
    """Prints PSS by process and the sum against its bound."""
    weights = sum(map(os.path.getsize, glob.glob(f"{options.model}/*.safetensors"))) / 1e6
    with Up(options, options.model, "--experts", "3") as up:
        words = [options.bin, "run", "--url", up.address, "--ids", "1,2,3", "--max-tokens", "64"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        code = subprocess.run(words, check=False, **quiet).returncode
        print(f"request before: exit code {code}")
        found = [(role_of(pid), pss_mb(pid)) for pid in up.pids()]
    total = sum(mb for _, mb in found)
    bound = 1.1 * weights + PROCESS_MB * len(found)
    print("| process | PSS MB |\n|---|---:|")
    for role, mb in found:
        print(f"| {role} | {mb:.0f} |")
    print(f"| sum (weights {weights:.0f}, bound {bound:.0f}) | {total:.0f} |", flush=True)


def by_thread(pid):
    """(role, thread name) -> nanoseconds of CPU and times it slept, of every thread of `pid`."""
    found = collections.defaultdict(lambda: [0, 0])
    for task in glob.glob(f"/proc/{pid}/task/*"):
        try:
            with open(f"{task}/schedstat", encoding="ascii") as file:
                ran = int(file.read().split()[0])
            with open(f"{task}/status", encoding="utf-8") as file:
                status = file.read()
        except FileNotFoundError:
            continue  # a thread that has just ended
        name = re.search(r"^Name:\s+(.*)$", status, re.M)[1]
        entry = found[(pid, name, int(os.path.basename(task)))]
        entry[0] += ran
        entry[1] += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", status, re.M)[1])
    return found


def idle(options):
    """Prints what every process used while nothing was asked of it."""
    with Up(options, "--experts", "3") as up:
        pause(5)  # links made, placement known
        pids = up.pids()
        roles = {pid: role_of(pid) for pid in pids}
        before = {key: value for pid in pids for key, value in by_thread(pid).items()}
        pause(options.seconds)
        after = {key: value for pid in pids for key, value in by_thread(pid).items()}
    rows = collections.defaultdict(lambda: [0, 0])
    for key, (ran, slept) in after.items():
        was = before.get(key, (0, 0))
        names = (roles[key[0]], key[0], "")
        for row in (names, (*names[:2], key[1])) if options.by_thread else (names,):
            rows[row][0] += ran - was[0]
            rows[row][1] += slept - was[1]
    print("| process | thread | CPU % of a core | wake-ups/s |\n|---|---|---:|---:|")
    for (role, _, thread), (ran, slept) in rows.items():
        share = ran / 1e7 / options.seconds
        print(f"| {role} | {thread} | {share:.2f} | {slept / options.seconds:.1f} |")
    total = sum(ran for (_, _, thread), (ran, _) in rows.items() if not thread)
    sleeps = sum(slept for (_, _, thread), (_, slept) in rows.items() if not thread)
    print(
        f"| all {len(pids)} | | {total / 1e7 / options.seconds:.2f} "
        f"| {sleeps / options.seconds:.1f} |",
        flush=True,
    )


def served_tokens_per_second(options, up, clients, seed):
    """One closed loop."""
    words = [options.bin, "bench", "serve", "--url", up.address, "--clients", str(clients)]
    words += ["--requests", str(3 * clients), "--warmup", str(clients), "--prompt-tokens", "16"]
    words += ["--max-tokens", "96", "--seed", str(seed), "-o", "json", "--no-progress"]
    done = subprocess.run(words, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)["generated_tokens_per_s"]


def micro(options):
    """Prints the table of tokens/s."""
    print("| threads | clients | whole | two | auto | two / whole | auto / whole |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for threads in options.threads:
        flags = ["--transport", options.transport, "--experts", "1"]
        flags += ["--set", f"engine.threads={threads}"]
        with contextlib.ExitStack() as running:
            ups = [
                running.enter_context(
                    Up(options, options.model, *flags, "--set", f"attention.micro_batches={mode}")
                )
                for mode in ("1", "2", "auto")
            ]
            for clients in options.clients:
                rates = [
                    [served_tokens_per_second(options, up, clients, number) for up in ups]
                    for number in range(options.rounds + 1)
                ][1:]  # the first round warms up, and auto makes up its mind
                middle = [statistics.median(column) for column in zip(*rates)]
                ratios = [statistics.median(r[i] / r[0] for r in rates) for i in (1, 2)]
                cells = [f"{rate:.0f}" for rate in middle] + [f"{ratio:.2f}" for ratio in ratios]
                print(f"| {threads} | {clients} | " + " | ".join(cells) + " |", flush=True)


def main():
    """Does what is asked for, everything without words."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", default=[], help="decode, memory, idle, micro")
    parser.add_argument("--bin", required=True)
    parser.add_argument("--model", default="/nonexistent")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--experts", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--clients", type=int, nargs="*", default=[2, 4, 8, 16], help="of micro")
    parser.add_argument("--transport", default="shm", help="of micro")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--by-thread", action="store_true")
    options = parser.parse_args()
    parts = {"decode": decode, "memory": memory, "idle": idle, "micro": micro}
    for what in options.what or parts:
        parts[what](options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
