"""A running `troupe up`, its processes, and load that goes on while they are hurt."""

import os
import re
import signal
import threading
import time

import grpc

from tests.support import grpc_client as client
from tests.support import program
from tests.support.free_ports import free_ports
from tests.support.patience import patient
from tests.support.poll_until import eventually

ROLES = {"gateway": 1, "attention": 2, "router": 3, "expert": 4}
ACTIVE = client.admin_pb.MEMBER_STATE_ACTIVE
LOST = client.admin_pb.MEMBER_STATE_LOST


class Up:
    """`troupe up` on free ports; as client.Served for the calls of grpc_client."""

    def __init__(self, *flags, env=None):
        self.address, self.admin_address, self.ops_address, self.http_address = (
            f"127.0.0.1:{port}" for port in free_ports(4)
        )
        listen = ("--grpc-listen", self.address, "--admin-listen", self.admin_address)
        listen += ("--http-listen", self.http_address)
        listen += ("--ops-listen", self.ops_address)
        self.process = program.start("up", *flags, *listen, env=env)
        self.log = []
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._ready.wait(program.TIMEOUT_S) or self.process.poll() is not None:
            self.process.kill()
            raise AssertionError("troupe up did not start: " + self.text)
        self.channel = grpc.insecure_channel(self.address, options=self._patience())

    @staticmethod
    def _patience():
        # A gateway that comes back is found at once.
        backoff = ("initial_reconnect_backoff_ms", "min_reconnect_backoff_ms")
        options = [(f"grpc.{name}", 50) for name in backoff]
        return [*options, ("grpc.max_reconnect_backoff_ms", 200)]

    def _read(self):
        for line in self.process.stderr:
            self.log.append(line.decode(errors="replace"))
            if b"troupe up: ready" in line:
                self._ready.set()
        self._ready.set()

    @property
    def text(self):
        return "".join(self.log)

    @property
    def inference(self):
        return client.inference_pb2_grpc.InferenceServiceStub(self.channel)

    def status(self):
        """GetClusterStatus, None while nobody answers."""
        with grpc.insecure_channel(self.admin_address) as channel:
            stub = client.cluster_pb2_grpc.ClusterServiceStub(channel)
            try:
                asked = client.admin_pb.GetClusterStatusRequest()
                return stub.GetClusterStatus(asked, timeout=patient(5))
            except grpc.RpcError:
                return None

    def active(self):
        """(role, index) -> process id of every ACTIVE member."""
        status = self.status()
        names = {number: name for name, number in ROLES.items()}
        members = status.members if status else ()
        return {(names[m.role], m.index): m.pid for m in members if m.state == ACTIVE}

    def pid(self, role, index=0):
        """Process id of a service of this cluster; gateways have indices of their own."""
        for (name, number), pid in self.active().items():
            if name == role and (role == "gateway" or number == index):
                return pid
        return None

    def lost(self, pid):
        """Whether the director has given this process up."""
        status = self.status()
        return status is not None and pid not in [
            member.pid for member in status.members if member.state != LOST
        ]

    def children(self):
        """Process ids of everything `troupe up` has started and that still lives."""
        path = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        with open(path, encoding="ascii") as file:
            return [int(pid) for pid in file.read().split()]

    def stop(self, how=signal.SIGTERM):
        """Gives back the exit code."""
        self.channel.close()
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(program.TIMEOUT_S)
        self._reader.join(program.TIMEOUT_S)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()
        return code


class Answer:
    """What became of one request of the load."""

    def __init__(self, ids=(), failure=None, seconds=0.0):
        self.ids, self.failure, self.seconds = list(ids), failure, seconds


class Load:
    """The same requests again and again from a few threads, until stopped."""

    def __init__(self, cluster, asked, threads=2, timeout_s=patient(60)):
        self.cluster, self.asked, self.timeout_s = cluster, asked, timeout_s
        self.answers = []
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, daemon=True) for _ in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def _run(self):
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                joined = client.stream(self.cluster, self.asked, timeout=self.timeout_s)
                self.answers.append(Answer(joined.ids, None, time.monotonic() - began))
            except grpc.RpcError as error:
                failure = client.Failure(error)
                self.answers.append(Answer((), failure, time.monotonic() - began))
                self._stop.wait(0.05)  # a refusal comes at once: do not spin

    def stop(self):
        """Waits for the last answers and gives all of them back."""
        self._stop.set()
        for thread in self._threads:
            thread.join(self.timeout_s + 10)
            assert not thread.is_alive(), "a request hangs"
        return self.answers


def descriptors(pid):
    """How many descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def shared_memory():
    """What lies in shared memory, by name."""
    return {name for name in os.listdir("/dev/shm") if re.search("ucx|posix|troupe", name)}
