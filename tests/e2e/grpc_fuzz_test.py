#!/usr/bin/env python3
"""Bytes of strangers on the gRPC port: all is refused or answered, and nothing of it stays.

    grpc_fuzz_test.py [--inputs N] [--seed S]     N: messages for each method, and connections
"""

import argparse
import os
import re
from concurrent.futures import ThreadPoolExecutor

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from tests.support import grpc_client as client
from tests.support import ops, program
from tests.support.grpc_client import request
from tests.support.http2_garbage import Conversation, converse
from tests.support.patience import patient
from tests.support.poll_until import eventually
from tests.support.protobuf_garbage import Garbage

CODE = grpc.StatusCode
REFUSALS = (CODE.INVALID_ARGUMENT, CODE.NOT_FOUND, CODE.UNIMPLEMENTED)
SERVICES = {client.INFERENCE, client.ADMIN, "grpc.health.v1.Health",
            "grpc.reflection.v1alpha.ServerReflection"}
CLIENTS = 4
CALL_S = 1  # then the call's own deadline ends it: some ask for all that the context holds
MEMORY_BYTES = 48 << 20  # between two equal passes: the allocator keeps what a flood once took
DESCRIPTORS = 8


class Method:
    """One method of a server, called with any bytes."""

    def __init__(self, channel, address, described):
        self.address, self.service = address, described.containing_service.full_name
        self.name, self.input = described.name, described.input_type
        self.path = f"/{self.service}/{self.name}"
        self.is_ours = self.service.startswith("troupe.")
        self.asks_many, self.is_stream = described.client_streaming, described.server_streaming
        asked, told = (("unary", "stream")[many] for many in (self.asks_many, self.is_stream))
        answer = message_factory.GetMessageClass(described.output_type)
        kind = getattr(channel, f"{asked}_{told}")
        self._call = kind(self.path, response_deserializer=answer.FromString)

    def call(self, message, events_max):
        """Reads so many events of a stream and goes; fails when the end is no right one."""
        try:
            asked = iter([message]) if self.asks_many else message
            answer = self._call(asked, timeout=patient(CALL_S))
            if not self.is_stream:
                return
            for count, _ in enumerate(answer, 1):
                if count == events_max or self.name == "Watch":  # whose second does not come
                    answer.cancel()
                    return
        except grpc.RpcError as error:
            self.judge(client.Failure(error))

    def judge(self, failure):
        """An error tells the client what it has done wrong: it is one of ours, and no bug's. The
        library's own services say less."""
        if failure.code == CODE.DEADLINE_EXCEEDED:
            return
        refusals = REFUSALS if self.is_ours else (*REFUSALS, CODE.INTERNAL)
        assert failure.code in refusals, f"{failure.code} {failure.message[:500]}"
        info = failure.details.get("ErrorInfo")
        told = info is not None and info.domain == "troupe"
        assert told or not self.is_ours, f"no details: {failure.message[:500]}"


def methods_of(served):
    """All that both ports have, by reflection."""
    methods = []
    for address in (served.address, served.addresses["admin"]):
        channel = grpc.insecure_channel(address)
        described = ProtoReflectionDescriptorDatabase(channel)
        pool = descriptor_pool.DescriptorPool(described)
        for name in described.get_services():
            methods += [Method(channel, address, method)
                        for method in pool.FindServiceByName(name).methods]
    services = {method.service for method in methods}
    assert services >= SERVICES, f"reflection tells of {services} only"
    return methods


def send_message(method, given, number):
    garbage = Garbage(f"{given.seed} {method.name}", number)
    message = garbage.message(method.input)
    events_max = garbage.random.choice((2, 6, 10**6))
    try:
        method.call(message, events_max)
    except Exception as error:
        raise AssertionError(f"{error} of {method.path}: {message[:4000].hex()}") from error


def open_connection(method, given, number):
    message = Garbage(f"{given.seed} {method.name}", number).message(method.input)
    said = Conversation(given.seed, number, method.path, message)
    content, abrupt = said.bytes(), said.random.random() < 0.3
    try:
        converse(method.address, content, abrupt, timeout_s=program.TIMEOUT_S)
    except Exception as error:
        told = f"{error!r} of a connection to {method.address}: {content[:4000].hex()}"
        raise AssertionError(told) from error


def everything(methods, given):
    """All inputs of the seed, several at once."""
    numbers = range(given.inputs)

    def connect(number):
        open_connection(methods[number % len(methods)], given, number)

    with ThreadPoolExecutor(CLIENTS) as pool:
        for method in methods:
            list(pool.map(lambda number, m=method: send_message(m, given, number), numbers))
        list(pool.map(connect, numbers))


class Watch:
    """What a server holds."""

    def __init__(self, served):
        self.served, self.proc = served, f"/proc/{served.process.pid}"
        self.descriptors = self._descriptors()

    def _descriptors(self):
        return len(os.listdir(f"{self.proc}/fd"))

    def resident_bytes(self):
        with open(f"{self.proc}/status", encoding="ascii") as file:
            return int(re.search(r"VmRSS:\s+(\d+)", file.read())[1]) << 10

    def total(self, metric, **labels):
        return sum(ops.values(self.served.addresses["ops"], metric, labels))

    def rests(self):
        """Waits until nothing of the requests is left."""
        for metric in ("gateway_requests_in_flight", "attention_sequences_running",
                       "attention_sequences_waiting"):
            eventually(lambda m=f"troupe_{metric}": self.total(m) == 0, f"{metric} is 0")
        used = lambda: self.total("troupe_attention_kv_pages", state="used")
        eventually(lambda: used() == 0, "no page is used")
        most = self.descriptors + DESCRIPTORS
        eventually(lambda: self._descriptors() <= most, "connections are closed")

    def has_no_bugs(self):
        for code in ("INTERNAL", "UNKNOWN"):
            bugs = self.total("troupe_gateway_requests_total", code=code)
            assert bugs == 0, f"{bugs} calls ended with {code}"


def answer_of(served):
    joined = client.stream(served, request(text="In the", temperature=0, max_tokens=8))
    return joined.ids, joined.text


def check(served, given):
    expected, methods = answer_of(served), methods_of(served)
    watch = Watch(served)
    levels = []
    for _ in range(2):
        everything(methods, given)
        watch.rests()
        levels.append(watch.resident_bytes())
    print(f"seed {given.seed}: {2 * (len(methods) + 1) * given.inputs} inputs, resident "
          f"{levels[0] >> 20} MiB after a half of them, {levels[1] >> 20} MiB at the end")
    watch.has_no_bugs()
    assert served.health() == "SERVING"
    assert answer_of(served) == expected, "another answer than before"
    if not program.has_sanitizer():  # these keep what is freed
        assert levels[1] - levels[0] < MEMORY_BYTES, levels


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=20241226)
    given = parser.parse_args()
    print(f"seed {given.seed}")
    served = client.Served(env={"MALLOC_ARENA_MAX": "1"})  # what is free is free for all threads
    try:
        check(served, given)
    finally:
        code = served.stop()  # no server outlives a finding
    assert code == program.OK, "".join(served.log)


if __name__ == "__main__":
    main()
