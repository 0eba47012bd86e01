#!/usr/bin/env python3
"""Services of a running cluster are killed, stopped and started. Argument: [--rounds N].

Whatever is hit, every request ends: with the right tokens, or with an error that names the peer.
"""

import os
import signal
import sys
import time
import unittest

import grpc

from tests.support import grpc_client as client
from tests.support import ops, up_cluster
from tests.support.grpc_client import request
from tests.support.patience import patient
from tests.support.poll_until import eventually

PROMPT = "In the beginning God created the heaven and the"
ASKED = {"text": PROMPT, "temperature": 0, "max_tokens": 48}
# Errors of each name the peer that was hit, and say when to come back.
REASONS = {
    "expert": {"EXPERT_UNCOVERED", "SERVICE_LOST"},  # the second: it has rows and does not answer
    "attention": {"SERVICE_LOST"},
    "router": {"SERVICE_LOST", "EXPERT_UNCOVERED"},  # the second: a new director misses everybody
}
# The longest honest way to an error: three attempts of a hop (2 s each), an uncovered expert (5 s).
BUDGET_S = patient(30)
FLAGS = ("--experts", 2, "--set", "drain.timeout_s=10")
# A killed expert is back within it, on any machine.
WAIT_FOR_AN_EXPERT_S = 120
ROLES = ("expert", "attention", "router", "gateway")
FREEZE_EVERY = 5  # rounds
FROZEN_S = 5  # longer than a service may be silent before it is LOST (3 s)
DESCRIPTORS_SPARE = 4
ATTENTION, ROUTER = (up_cluster.ROLES[role] for role in ("attention", "router"))


class LossTest(unittest.TestCase):
    rounds = 1

    @classmethod
    def setUpClass(cls):
        wait = f"budget.uncovered_ms={1000 * WAIT_FOR_AN_EXPERT_S}"
        cls.up = up_cluster.Up(*FLAGS, "--set", wait)
        cls.expected = client.stream(cls.up, request(**ASKED)).ids
        assert len(cls.expected) == 48

    @classmethod
    def tearDownClass(cls):
        assert cls.up.stop() == 0, cls.up.text

    def served_again(self):
        """Whether one more request is answered rightly."""
        try:
            return client.stream(self.up, request(**ASKED), timeout=BUDGET_S).ids == self.expected
        except grpc.RpcError:
            return False

    def replaced(self, role, old):
        """Whether another process has taken the place of `old`."""
        pid = self.up.pid(role)
        return pid is not None and pid != old

    def check(self, role, answers):
        for answer in answers:
            if answer.failure is None:
                self.assertEqual(answer.ids, self.expected)
                continue
            failure = answer.failure
            self.assertLess(answer.seconds, BUDGET_S, failure.message)
            self.assertEqual(failure.code, grpc.StatusCode.UNAVAILABLE, failure.message)
            if role == "gateway" and "ErrorInfo" not in failure.details:
                continue  # of a gateway that is gone nobody is left to name it
            if role != "gateway":
                self.assertRegex(failure.message, rf"\b{role} 0\b")
                self.assertIn(failure.reason, REASONS[role], failure.message)
            self.assertIn("RetryInfo", failure.details, failure.message)

    def kill(self, role):
        """Gives back what clients were answered meanwhile."""
        old = eventually(lambda: self.up.pid(role), f"a {role}")
        load = up_cluster.Load(self.up, request(**ASKED))
        eventually(lambda: len(load.answers) >= 2, "load")
        os.kill(old, signal.SIGKILL)
        eventually(lambda: self.replaced(role, old), f"another {role}: {self.up.text}")
        eventually(self.served_again, f"service after the {role} was killed: {self.up.text}")
        answers = load.stop()
        self.check(role, answers)
        return answers

    def freeze(self, role):
        pid = eventually(lambda: self.up.pid(role), f"a {role}")
        load = up_cluster.Load(self.up, request(**ASKED))
        eventually(lambda: len(load.answers) >= 2, "load")
        os.kill(pid, signal.SIGSTOP)
        stopped = time.monotonic()
        try:
            if role in ("expert", "attention"):  # the director is elsewhere, and gives them up
                eventually(lambda: self.up.lost(pid), f"the {role} to be LOST: {self.up.text}")
            elif role == "router":
                eventually(lambda: self.up.pid(role) != pid, f"the {role} to be missed")
            else:  # it is asked for the status
                self.assertRaises(AssertionError, eventually, self.up.status, "an answer", 5)
            eventually(lambda: time.monotonic() - stopped >= FROZEN_S, "five seconds")
        finally:
            os.kill(pid, signal.SIGCONT)
        eventually(lambda: self.up.pid(role) == pid, f"the same {role} again: {self.up.text}")
        eventually(self.served_again, f"service after the {role} was stopped: {self.up.text}")
        self.check(role, load.stop())

    def links(self, metric):
        """A count of links, over the router and the attention service."""
        members = [m for m in self.up.status().members if m.role in (ROUTER, ATTENTION)]
        return ops.total([m.ops_address for m in members], f"troupe_transport_{metric}_total")

    def test_kill_an_expert_service(self):
        before = self.links("errors"), self.links("reconnects")
        answers = self.kill("expert")
        # Whoever was being answered waits for it, and so does whoever asks meanwhile.
        self.assertEqual([a.failure.message for a in answers if a.failure], [])
        # The router's link to it: lost, and there again.
        self.assertGreater(self.links("errors"), before[0])
        self.assertGreater(self.links("reconnects"), before[1])

    def test_kill_the_router_service(self):
        self.kill("router")

    def test_kill_the_attention_service(self):
        self.kill("attention")

    def test_kill_the_gateway(self):
        self.kill("gateway")

    def test_stop_an_expert_service_for_a_while(self):
        self.freeze("expert")

    def test_stop_the_attention_service_for_a_while(self):
        self.freeze("attention")

    def test_stop_the_router_service_for_a_while(self):
        self.freeze("router")

    def test_stop_the_gateway_for_a_while(self):
        self.freeze("gateway")

    def held(self, hurt):
        """{(role, index, pid): open descriptors} of the services beside the one that is hurt."""
        active = eventually(lambda: len(self.up.active()) == 5 and self.up.active(), "all services")
        beside = {(*name, pid) for name, pid in active.items() if name[0] != hurt or name[1] == 1}
        return {name: up_cluster.descriptors(name[2]) for name in beside}

    def settled(self, before, segments):
        """Whether they hold no more than then; closed links keep theirs for half a minute."""
        now = {name: up_cluster.descriptors(name[2]) for name in before}
        grown = [name for name in before if now[name] > before[name] + DESCRIPTORS_SPARE]
        return not grown and len(up_cluster.shared_memory()) <= segments + 2

    def test_leaves_neither_descriptors_nor_shared_memory_behind(self):
        short = self.rounds == 1
        for role in ("attention", "router") if short else ROLES:
            self.kill(role)  # reach the steady state first
            before, segments = self.held(role), len(up_cluster.shared_memory())
            for number in range(self.rounds):
                self.kill(role)
                if number % FREEZE_EVERY == FREEZE_EVERY - 1:
                    self.freeze(role)
            now = self.held(role)
            self.assertEqual(set(now), set(before), f"a service beside the {role} has ended")
            eventually(lambda: self.settled(before, segments), f"{before}, not {now}", 120)
            print(f"{self.rounds} times {role}: {before} became {self.held(role)}", flush=True)


class OrphansTest(unittest.TestCase):
    def test_killing_the_parent_ends_every_service(self):
        up = up_cluster.Up(*FLAGS)
        children = up.children()
        self.assertEqual(len(children), 5)
        up.stop(signal.SIGKILL)

        def gone(pid):
            try:
                with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
                    return file.read().rsplit(")", 1)[1].split()[0] == "Z"
            except FileNotFoundError:
                return True

        eventually(lambda: all(map(gone, children)), "no orphans")

    def test_ctrl_c_stops_everything(self):
        up = up_cluster.Up(*FLAGS)
        children = up.children()
        self.assertEqual(up.stop(signal.SIGINT), 0)
        for pid in children:
            self.assertFalse(os.path.exists(f"/proc/{pid}"), up.text)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--rounds"]:
        LossTest.rounds = int(sys.argv[2])
        del sys.argv[1:3]
    unittest.main(verbosity=2)
