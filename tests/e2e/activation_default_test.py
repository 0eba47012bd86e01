#!/usr/bin/env python3
"""Mode `auto`: the weights' format decides the activations, the same in every process."""

import json
import os
import re
import tempfile
import unittest

from tests.support import grpc_client as client
from tests.support import program, services, up_cluster
from tests.support.free_ports import free_port
from tests.support.poll_until import eventually

SAID = (
    "activations: INT8, 1x128 (mode int8-act, the default for int8 weights; costs a mean KL of "
    "about 0.0017 nats on the bundled model, docs/performance.md; --mode bf16 keeps them as they "
    "are)"
)
# Long enough and drawn from all tokens: the two modes part on the way.
ASKED = ("In the beginning", "--temperature", 1, "--top-p", 1, "--top-k", 0, "--seed", 11,
         "--max-tokens", 160)
MEMBERS = {("gateway", 0), ("attention", 0), ("router", 0), ("expert", 0), ("expert", 1)}


class ActivationDefaultTest(program.ProgramTest):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="troupe-activations-")
        cls.addClassCleanup(folder.cleanup)
        cls.model = os.path.join(folder.name, "int8")
        done = program.run("model", "quantize", "--to", "int8", program.TINY, cls.model)
        assert done.returncode == 0, done.stderr
        cls.answers = {mode: cls.local("--mode", mode)[0] for mode in ("bf16", "int8-act")}

    @classmethod
    def local(cls, *flags, model=None, env=None):
        """(stdout, stderr) of `run` with the model in its own process."""
        done = program.run("run", "--model", model or cls.model, *ASKED, *flags, env=env)
        assert done.returncode == 0, done.stderr
        return done.stdout, done.stderr.decode()

    def asked_at(self, address):
        """stdout of `run` that asks a gateway."""
        done = program.run("run", "--url", address, *ASKED)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn(b"activations", done.stderr, "they are the server's")
        return done.stdout

    def start(self, cluster, *flags, env=None):
        one = cluster(*flags, env=env)
        self.addCleanup(one.stop)
        return one

    def fingerprint(self, served):
        status = served.admin.GetClusterStatus(client.admin_pb.GetClusterStatusRequest())
        return status.system_fingerprint

    def test_run_takes_int8_and_says_so_on_stderr(self):
        self.assertNotEqual(self.answers["bf16"], self.answers["int8-act"], "nothing is compared")
        for flags, env in (((), None), (("--mode", "auto"), {"TROUPE_MODE": "f32"})):
            text, said = self.local(*flags, env=env)
            self.assertEqual(text, self.answers["int8-act"])
            self.assertEqual(said.count(SAID + "\n"), 1, said)

    def test_run_is_silent_about_bf16(self):
        text, said = self.local(env={"TROUPE_MODE": "bf16"})
        self.assertEqual(text, self.answers["bf16"])
        self.assertNotIn("activations", said)
        self.assertNotIn("activations", self.local(model=program.TINY)[1])

    def test_processes_of_a_run_compute_with_the_mode_of_one(self):
        layout = ("--layout", "processes:experts=2")
        self.assertEqual(self.local(*layout)[0], self.answers["int8-act"])

    def test_chat_and_batch_say_it_too(self):
        words = ("--once", "What is a lighthouse?", "--max-tokens", 4)
        done = program.run("chat", "--model", self.model, *words)
        self.assertEqual(done.stderr.decode().count(SAID), 1, done.stderr)
        line = {"custom_id": "a", "method": "POST", "url": "/v1/completions",
                "body": {"prompt": "In the", "max_tokens": 4}}
        requests = self.file("in.jsonl", json.dumps(line) + "\n")
        done = program.run("batch", requests, self.path("out.jsonl"), "--model", self.model)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr.decode().count(SAID), 1, done.stderr)

    def test_serve_answers_as_run_does(self):
        by_default = self.start(client.Served, self.model)
        named = self.start(client.Served, self.model, "--mode", "int8-act")
        bf16 = self.start(client.Served, self.model, "--mode", "bf16")
        self.assertEqual("".join(by_default.log).count(SAID + "\n"), 1)
        self.assertEqual(self.asked_at(by_default.address), self.answers["int8-act"])
        self.assertEqual(self.asked_at(bf16.address), self.answers["bf16"])
        self.assertEqual(self.fingerprint(by_default), self.fingerprint(named))
        self.assertNotEqual(self.fingerprint(by_default), self.fingerprint(bf16))

    def check_up(self, said, mode, *flags, env=None):
        up = self.start(up_cluster.Up, *flags, env=env)
        self.assertIn(f"troupe up: activations: {said}", up.text)
        eventually(lambda: len(up.active()) == len(MEMBERS), f"all are active: {up.text}")
        members = {(role, 0 if role == "gateway" else i) for role, i in up.active()}
        self.assertEqual(members, MEMBERS)
        self.assertEqual(self.asked_at(up.address), self.answers[mode])
        return up.status().system_fingerprint

    def test_up_decides_once_and_all_its_services_agree(self):
        served = self.start(client.Served, self.model)
        said = SAID.removeprefix("activations: ") + "\n"
        self.assertEqual(self.check_up(said, "int8-act", self.model), self.fingerprint(served))

    def test_a_mode_that_is_named_wins(self):
        said = "BF16 (mode bf16, as asked)\n"
        file = self.file("c.yaml", f"engine:\n  mode: bf16\nmodel:\n  path: '{self.model}'\n")
        found = {
            self.check_up(said, "bf16", self.model, "--mode", "bf16"),
            self.check_up(said, "bf16", self.model, "--set", "engine.mode=bf16",
                          env={"TROUPE_ENGINE_MODE": "f32"}),
            self.check_up(said, "bf16", env={"TROUPE_ENGINE_MODE": "bf16",
                                             "TROUPE_MODEL_PATH": self.model}),
            self.check_up(said, "bf16", env={"TROUPE_CONFIG": file}),
        }
        self.assertEqual(len(found), 1)

    def test_up_refuses_a_mode_that_there_is_not(self):
        ports = [word for port in ("http", "grpc", "admin")
                 for word in (f"--{port}-listen", "127.0.0.1:0")]
        ports += ["--ops-listen", f"127.0.0.1:{free_port()}"]
        for flags in (("--mode", "int4-act"), ("--set", "engine.mode=int4-act")):
            self.fails(program.USAGE, 1003, "auto, ", "up", *flags, *ports)

    def test_services_that_are_started_by_themselves_agree(self):
        settings = f"model:\n  path: '{self.model}'\n"
        cluster = services.Cluster(self.folder, experts=2, settings=settings)
        self.addCleanup(cluster.close)
        named = cluster.start("attention", "--attention-index", 1, "--engine-mode", "int8-act")
        cluster.wait_until_ready()
        numerics = [one.wait_for("started")["numerics"] for one in cluster.services]
        for line in numerics:
            self.assertRegex(line, r"^fp_[0-9a-f]{16}, int8-act by default for int8 weights, KV")
        numerics.append(named.wait_for("started")["numerics"])
        self.assertIn(", int8-act, KV", numerics[-1])
        self.assertEqual(len({re.match("fp_[0-9a-f]+", line)[0] for line in numerics}), 1)
        self.assertEqual(self.asked_at(cluster.address), self.answers["int8-act"])
        other = cluster.start("attention", "--attention-index", 2, "--engine-mode", "bf16")
        self.assertEqual(other.ended(), program.CONNECTION)
        self.assertIn("numerics id", other.text)

    def test_what_measures_stays_at_bf16(self):
        ids = self.file("ids.json", "[[0, 5, 6, 7]]")
        found = {}
        for mode in (None, "bf16", "int8-act", "auto"):
            out = self.path(f"{mode}.safetensors")
            flags = ("--mode", mode) if mode else ()
            self.succeeds("eval", "logits", self.model, "--ids-file", ids, "--out", out, *flags)
            with open(out, "rb") as file:
                found[mode] = file.read()
        self.assertEqual(found[None], found["bf16"])
        self.assertNotEqual(found[None], found["int8-act"])
        self.assertEqual(found["auto"], found["int8-act"])
        text = self.file("text", "In the beginning was a lighthouse, and the sea around it.")
        kl = ("eval", "kl", self.model, "--text", text, "--json")
        for flags, modes in (
            (("--against", program.TINY), ("bf16", "bf16")),
            (("--against", program.TINY, "--mode", "auto"), ("int8-act", "bf16")),
            (("--mode", "auto", "--against-mode", "bf16"), ("int8-act", "bf16")),
        ):
            with self.subTest(flags):
                got = json.loads(self.succeeds(*kl, *flags))
                self.assertEqual((got["mode"], got["reference_mode"]), modes)
        bench = ("bench", "model", self.model, "--prompt", 1, "--generate", 0, "--repetitions", 1)
        for flags, mode in (((), "bf16"), (("--mode", "auto"), "int8-act")):
            self.assertEqual(json.loads(self.succeeds(*bench, "--json", *flags))["mode"], mode)


if __name__ == "__main__":
    unittest.main()
