"""The servers that are measured, what their processes use, and prompts for their models."""

import json
import os
import random
import re
import subprocess
import threading
import urllib.error
import urllib.request

from tests.support import grpc_client, ops
from tests.support.free_ports import free_port
from tests.support.poll_until import eventually


def pause(seconds):
    """Lets time pass: here that is what is measured."""
    threading.Event().wait(seconds)


class Process:
    """What a process of this machine uses."""

    def __init__(self, pid):
        self.pid = pid

    def anonymous_mib(self):
        """Memory that is its own: mapped weights are not."""
        return self._status_mib("RssAnon")

    def resident_mib(self):
        """All of its memory, mapped weights among it."""
        return self._status_mib("VmRSS")

    def _status_mib(self, name):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            return int(re.search(rf"^{name}:\s+(\d+) kB", file.read(), re.M)[1]) / 1024

    def cpu_s(self):
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def threads(self):
        return len(os.listdir(f"/proc/{self.pid}/task"))


class Troupe(Process):
    """A running `troupe serve`."""

    def __init__(self, model, *flags):
        self.served = grpc_client.Served(model, *flags)
        self.url, self.ops = self.served.url, self.served.addresses["ops"]
        super().__init__(self.served.process.pid)
        eventually(lambda: ops.get(self.ops, "/readyz")[0] == 200, "troupe serve is ready")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.served.stop()

    def total(self, metric, **labels):
        return ops.total([self.ops], metric, **labels)

    def sequences(self):
        """Running and waiting on the attention shard."""
        names = ("running", "waiting")
        return sum(self.total(f"troupe_attention_sequences_{name}") for name in names)

    def pages_used(self):
        return self.total("troupe_attention_kv_pages", state="used")

    def wait_until_empty(self):
        """Until no sequence is left and no page is used."""
        empty = lambda: self.sequences() == 0 and self.pages_used() == 0  # noqa: E731
        eventually(empty, "all sequences are gone")


class LlamaServer(Process):
    """A running llama-server with a slot for each of `clients` clients."""

    def __init__(self, program, gguf, clients, tokens):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        words = [program, "--model", gguf, "--port", str(port), "--parallel", str(clients)]
        words += ["--ctx-size", str(clients * tokens), "--threads", str(os.cpu_count())]
        words += ["--no-webui", "--log-disable"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(words, **quiet)
        super().__init__(self.process.pid)
        eventually(self._answers, "llama-server is ready")

    def _answers(self):
        if self.process.poll() is not None:
            raise SystemExit(f"{self.process.args[0]} ended: {self.process.returncode}")
        try:
            with urllib.request.urlopen(self.url + "/health", timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


class Samples:
    """The memory of a process, once a second while the block runs."""

    def __init__(self, process):
        self.process, self.mib = process, []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        while not self._end.wait(1):
            self.mib.append(self.process.anonymous_mib())

    def __enter__(self):
        self.mib.append(self.process.anonymous_mib())
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()
        self.mib.append(self.process.anonymous_mib())


class Prompts:
    """Random prompts that no other request begins like: the prefix cache never helps."""

    def __init__(self, model, seed):
        with open(os.path.join(model, "config.json"), encoding="utf-8") as file:
            config = json.load(file)
        self.vocabulary, self.context = config["vocab_size"], config["max_position_embeddings"]
        self.has_text = os.path.exists(os.path.join(model, "tokenizer.json"))
        self._seed = seed

    def ids(self, number, tokens):
        """Prompt `number` of `tokens` ids; the same number gives the same prompt."""
        draw = random.Random(f"{self._seed} {number}")
        low = min(300, self.vocabulary // 2)  # bytes and special ids lie below
        high = self.vocabulary - 200
        return [draw.randrange(low, high) for _ in range(tokens)]

    def text(self, number, words):
        draw = random.Random(f"{self._seed} {number}")
        letters = "abcdefghijklmnopqrstuvwxyz"
        return " ".join("".join(draw.choices(letters, k=4)) for _ in range(words))

