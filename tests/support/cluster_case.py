"""A test case with a cluster of its own that has a join token and serves."""

import os
import tempfile
import unittest

import grpc

from tests.support import grpc_client as client
from tests.support.grpc_client import request
from tests.support.services import Cluster

TOKEN = "open sesame"
ASKED = {"text": "In the beginning God created", "temperature": 0, "max_tokens": 24}


class ClusterCase(unittest.TestCase):
    """A running cluster with a join token; as client.Served for the calls of grpc_client."""

    SETTINGS = ""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="troupe-bad-input-")
        cls.addClassCleanup(folder.cleanup)
        token = os.path.join(folder.name, "token")
        with open(token, "w", encoding="utf-8") as file:
            file.write(TOKEN + "\n")
        cls.cluster = Cluster(folder.name, settings=cls.SETTINGS, token_file=token)
        cls.addClassCleanup(cls.cluster.close)
        cls.cluster.wait_until_ready()
        cls.channel = grpc.insecure_channel(cls.cluster.address)
        cls.addClassCleanup(cls.channel.close)
        cls.inference = client.inference_pb2_grpc.InferenceServiceStub(cls.channel)
        cls.expected = client.stream(cls, request(**ASKED)).ids

    def served(self):
        self.assertEqual(client.stream(self, request(**ASKED)).ids, self.expected)
