#!/usr/bin/env python3
"""Services of one machine that run as different users: links over tcp, and a log that says why."""

import json
import os
import shutil

from tests.support import grpc_client as client
from tests.support import program, requirement
from tests.support.poll_until import eventually
from tests.support.services import Cluster

STRANGER = ("setpriv", "--reuid", "64321", "--regid", "64321", "--clear-groups", "--")


def lines_of(service):
    """Everything it has said; fails on a line that is not JSON."""
    return [json.loads(line) for line in service.lines if line]


class ForeignUserTest(program.ProgramTest):
    def cluster(self, role):
        os.chmod(self.folder, 0o755)
        cluster = Cluster(self.folder, experts=1, within={role: STRANGER})
        self.addCleanup(cluster.close)
        return cluster.wait_until_ready()

    def served(self, cluster):
        """The tokens of a request."""
        with client.grpc.insecure_channel(cluster.address) as channel:
            cluster.inference = client.inference_pb2_grpc.InferenceServiceStub(channel)
            asked = client.request(ids=[5, 6, 7], temperature=0, max_tokens=8, ignore_eos=True)
            return client.stream(cluster, asked).ids

    def check_fallback(self, dialler, peer):
        """The dialler of that link has said once that it could not, and then how it could."""
        failed = dialler.wait_for("meeting_failed", lambda line: line["peer"] == peer)
        self.assertIn("hared memory", failed["cause"])
        fell = dialler.wait_for("link_fell_back", lambda line: line["peer"] == peer)
        self.assertEqual((fell["level"], fell["lanes"]), ("warning", "tcp"))
        self.assertIn("one user", fell["cause"])
        self.assertIn("tcp", dialler.wait_for("link_joined", lambda l: l["peer"] == peer)["lanes"])

    def test_an_expert_of_another_user_is_reached_over_tcp(self):
        cluster = self.cluster("expert")
        self.check_fallback(cluster.router, "expert 0")
        other = cluster.attention.wait_for("link_joined", lambda l: l["peer"] == "router 0")
        self.assertIn("posix", other["lanes"])  # whoever can share memory still does
        self.assertEqual(len(self.served(cluster)), 8)
        # Whoever was not let in has UCX's own word for it, as a line of ours.
        said = [line for service in cluster.services for line in lines_of(service)]
        own = [line for line in said if line["event"] == "ucx" and line["level"] == "error"]
        self.assertTrue(own, said)
        self.assertTrue(all(line["msg"] and ":" in line["source"] for line in own), own)
        self.assertEqual(set(cluster.stop()), {0})

    def test_an_attention_shard_of_another_user_reaches_its_router_over_tcp(self):
        cluster = self.cluster("attention")
        self.check_fallback(cluster.attention, "router 0")
        self.check_fallback(cluster.gateway, "attention 0")
        self.assertEqual(len(self.served(cluster)), 8)
        self.assertEqual(set(cluster.stop()), {0})


class LogTest(program.ProgramTest):
    def test_every_line_of_a_cluster_that_is_hurt_is_json(self):
        for lanes in ("shm", "tcp"):
            with self.subTest(lanes=lanes):
                settings = f"transport:\n  lanes: {lanes}\n"
                cluster = Cluster(self.folder, experts=2, settings=settings)
                self.addCleanup(cluster.close)
                cluster.wait_until_ready()
                cluster.experts[1].kill()
                for service in (cluster.router, cluster.gateway):
                    service.wait_for("not_ready")
                cluster.router.kill()
                cluster.attention.wait_for("not_ready")
                eventually(lambda: cluster.attention.events("link_lost"), "the loss of the router")
                for service in cluster.started:
                    service.stop()
                    lines_of(service)


if __name__ == "__main__":
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        requirement.lacking("root and setpriv, to run services as different users", "sudo ctest")
    import unittest

    unittest.main()
