#!/usr/bin/env python3
"""Every role in a network namespace of its own, joined by veth pairs: the bits of one process."""

import struct
import unittest

from tests.support import network_namespaces

network_namespaces.enter()

import grpc  # noqa: E402

from tests.support import grpc_client as client  # noqa: E402
from tests.support.grpc_client import request  # noqa: E402
from tests.support.services import Service, stop_all  # noqa: E402

NAMES = ("router0", "expert0", "expert1", "attention0", "gateway0")
PORT = 7400
PROMPTS = ("In the beginning God created the heaven and the earth.", "A lighthouse is " * 50)
SAMPLINGS = ({"temperature": 0}, {"seed": 7})
TOKENS = 16


def answers(served, prompts):
    """Token ids and the raw bits of their log-probabilities, for every request."""
    told = []
    for prompt in prompts:
        for sampling in SAMPLINGS:
            sampling = {"ignore_eos": True, "max_tokens": TOKENS, **sampling}
            joined = client.stream(served, request(text=prompt, logprobs=0, **sampling))
            bits = [struct.pack("<f", value).hex() for value in joined.logprobs]
            assert len(bits) == len(joined.ids) == TOKENS, joined.finished
            told.append((joined.ids, bits))
    return told


class Cluster:
    """The services, each in its namespace; as client.Served for the calls of grpc_client."""

    def __init__(self, network, lanes, within=()):
        at = network.addresses
        self.services = []
        for name in NAMES:
            role, index = name[:-1], name[-1]
            flags = ["--cluster-routers", f"{at['router0']}:{PORT}", "--transport-lanes", lanes]
            flags += ["--ops-listen", f"{at[name]}:9090"]
            flags += {
                "router": ["--control-listen", f"{at[name]}:{PORT}"],
                "attention": [],
                "expert": ["--expert-rank", index],
                "gateway": ["--gateway-grpc-listen", f"{at[name]}:50051"]
                + ["--admin-listen", f"{at[name]}:50052"],
            }[role]
            flags += ["--expert-ranks", 2] if role != "gateway" else []
            words = (*network.within(name), *within)
            self.services.append(Service(role, *flags, within=words))
        self.services[-1].wait_for("ready")
        self.channel = grpc.insecure_channel(f"{at['gateway0']}:50051")
        self.inference = client.inference_pb2_grpc.InferenceServiceStub(self.channel)

    def events(self, name):
        return [event for service in self.services for event in service.events(name)]

    def stop(self):
        self.channel.close()
        return stop_all(self.services)


class NamespacesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.network = network_namespaces.Network(NAMES)
        served = client.Served()
        try:
            cls.expected = answers(served, PROMPTS)
        finally:
            code = served.stop()
        assert code == 0, "".join(served.log)

    def run_cluster(self, prompts, *words):
        cluster = Cluster(self.network, *words)
        try:
            told = answers(cluster, prompts)
            self.assertEqual(told, self.expected[: len(told)])
            self.assertFalse(cluster.events("link_lost"))
        finally:
            codes = cluster.stop()
        self.assertEqual(codes, [0] * len(NAMES))
        links = cluster.events("link_joined")
        self.assertGreaterEqual(len(links), 2 * (1 + 1 + 2))  # both ends of each link
        self.assertEqual({event["lanes"] for event in links}, {"tcp"})
        return cluster

    def test_every_role_in_its_own_namespace_gives_the_bits_of_one_process(self):
        cluster = self.run_cluster(PROMPTS, "tcp")
        self.assertFalse(cluster.events("link_fell_back"))

    def test_without_common_memory_links_fall_back_and_say_why(self):
        cluster = self.run_cluster(PROMPTS[:1], "shm", ("unshare", "--ipc"))
        fallen = cluster.events("link_fell_back")
        self.assertEqual(len(fallen), len(cluster.events("link_joined")))
        for event in fallen:
            self.assertEqual((event["level"], event["asked"]), ("warning", "shm"))
            self.assertIn("namespaces", event["cause"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
