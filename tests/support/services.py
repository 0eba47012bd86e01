"""Services of a cluster as processes of their own: started, asked on their ops ports, stopped."""

import json
import signal
import threading
import time

from tests.support import ops, program
from tests.support.free_ports import free_port


class Service:
    """A running `troupe ROLE`; its log is read as it comes."""

    def __init__(self, role, *flags, env=None, within=()):
        """`within`: words in front of the program, such as `ip netns exec NAME`."""
        flags = ("--ops-listen", "127.0.0.1:0", "--log-format", "json", *flags)
        self.process = program.start(role, *flags, env=env, within=within)
        self.role, self.lines = role, []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stderr:
            with self._news:
                self.lines.append(line.decode())
                self._news.notify_all()
        with self._news:
            self.lines.append("")  # the end
            self._news.notify_all()

    @property
    def pid(self):
        return self.process.pid

    @property
    def text(self):
        return "".join(self.lines)

    def events(self, name):
        """All log lines of that event so far."""
        lines = [json.loads(line) for line in self.lines if line.startswith("{")]
        return [line for line in lines if line["event"] == name]

    def wait_for(self, name, where=lambda line: True, timeout_s=program.TIMEOUT_S):
        """The first line of event `name` that `where` likes; fails when the process ends first."""
        deadline = time.monotonic() + timeout_s
        with self._news:
            while True:
                for line in self.events(name):
                    if where(line):
                        return line
                left = deadline - time.monotonic()
                if left <= 0 or (self.lines and self.lines[-1] == ""):
                    raise AssertionError(f"{self.role} never said {name}:\n{self.text}")
                self._news.wait(left)

    @property
    def ops(self):
        return self.wait_for("ops_listening")["address"]

    def get(self, path):
        """(status, body) of a request to the ops port."""
        return ops.get(self.ops, path)

    def total(self, name, **labels):
        """The sum of all series of `name` with these labels."""
        return sum(ops.values(self.ops, name, labels))

    def ended(self, timeout_s=program.TIMEOUT_S):
        """The exit code once it ends by itself."""
        code = self.process.wait(timeout_s)
        self._reader.join(timeout_s)
        return code

    def stop(self, how=signal.SIGTERM):
        """Gives back the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.ended()
        self.close()
        return code

    def kill(self):
        """SIGKILL, and waits until it is no zombie either: UCX takes a zombie for a live peer."""
        self.process.kill()
        self.ended()

    def close(self):
        """For the end of a test: nothing of it is left."""
        if self.process.poll() is None:
            self.process.kill()
            self.ended()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()


def stop_all(services):
    """SIGTERM to all at once; gives back the exit codes."""
    for service in services:
        if service.process.poll() is None:
            service.process.terminate()
    codes = [service.ended() for service in services]
    for service in services:
        service.close()
    return codes


class Cluster:
    """A router, an attention shard, some experts and a gateway, told so by one file."""

    def __init__(self, folder, experts=2, settings="", gateway=True, token_file="", within=None,
                 absent=(), lost_after_ms=3000):
        """`within`: role -> words in front of its program; `absent`: ranks not started yet."""
        self.within = within or {}
        self.control = free_port()
        self.config = f"{folder}/cluster.yaml"
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(
                f"cluster:\n  name: test-{self.control}\n"
                f"  lost_after_ms: {lost_after_ms}\n"
                f"  routers: ['127.0.0.1:{self.control}']\n"
                f"  join_token_file: '{token_file}'\n"
                f"control:\n  listen: '127.0.0.1:{self.control}'\n"
                f"expert:\n  ranks: {experts}\n"
                "gateway:\n  grpc_listen: '127.0.0.1:0'\n  http_listen: '127.0.0.1:0'\n"
                "admin:\n  listen: '127.0.0.1:0'\n"
                f"budget:\n  hop_ms: 60000\n{settings}"
            )
        self.started = []
        self.router = self.start("router")
        self.experts = [self.start_expert(i) for i in range(experts) if i not in absent]
        self.attention = self.start("attention")
        self.gateway = self.start("gateway") if gateway else None

    def start(self, role, *flags, env=None):
        """One more service of this cluster."""
        within = self.within.get(role, ())
        self.started.append(Service(role, "--config", self.config, *flags, env=env, within=within))
        return self.started[-1]

    def start_expert(self, rank):
        return self.start("expert", "--expert-rank", rank)

    def close(self):
        """For the end of a test: nothing of it is left."""
        for service in self.started:
            service.close()

    @property
    def services(self):
        all_of_them = [self.gateway, self.attention, *self.experts, self.router]
        return [service for service in all_of_them if service]

    def wait_until_ready(self):
        for service in self.services:
            service.wait_for("ready")
        return self

    @property
    def address(self):
        return self.gateway.wait_for("started")["grpc"]

    @property
    def url(self):
        """Of the gateway's HTTP port."""
        return self.gateway.wait_for("started")["http"]

    def stop(self):
        """Exit codes, gateway first."""
        return [service.stop() for service in self.services]
