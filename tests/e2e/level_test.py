#!/usr/bin/env python3
"""The CPU level that is asked for, by flag or variable, is the one that computes."""

import json
import re
import unittest

from tests.support import grpc_client as client
from tests.support import program, services, up_cluster
from tests.support.free_ports import free_port
from tests.support.poll_until import eventually

SLOWEST = "reference"
SERVICES = {"gateway": 1, "router": 1, "attention": 1, "expert": 2}


class LevelTest(program.ProgramTest):
    def setUp(self):
        super().setUp()
        self.levels = json.loads(self.succeeds("version", "--json"))["levels"]

    def served_level(self, *flags, env=None):
        served = client.Served(*flags, env=env)
        self.addCleanup(served.stop)
        return re.search(r"(?m)^serving \S+ \(.+, level (\w+), mode ", "".join(served.log))[1]

    def test_serve_takes_that_of_the_variable_unless_a_flag_names_one(self):
        self.assertEqual(self.served_level(), self.levels[-1])
        env = {"TROUPE_LEVEL": SLOWEST}
        self.assertEqual(self.served_level(env=env), SLOWEST)
        self.assertEqual(self.served_level("--level", "auto", env=env), self.levels[-1])

    def up_levels(self, *flags, env=None):
        """What each service of an `up` says that it computes at."""
        up = up_cluster.Up("--log-level", "info", *flags, env=env)
        self.addCleanup(up.stop)
        said = re.compile(r'"numerics": ?"fp_[0-9a-f]{16}, [^"]*, (\w+), \d+ threads"')
        services = sum(SERVICES.values())
        eventually(lambda: len(said.findall(up.text)) == services, "all have said it: " + up.text)
        return said.findall(up.text)

    def test_all_services_of_up_take_the_flag_or_the_variable(self):
        services = sum(SERVICES.values())
        for flags, env, level in (
            ((), None, self.levels[-1]),
            (("--level", SLOWEST), {"TROUPE_ENGINE_LEVEL": "auto"}, SLOWEST),
            ((), {"TROUPE_LEVEL": SLOWEST}, SLOWEST),
            ((), {"TROUPE_ENGINE_LEVEL": SLOWEST}, SLOWEST),
            (("--level", SLOWEST, "--set", "engine.level=auto"), None, self.levels[-1]),
        ):
            with self.subTest(flags=flags, env=env):
                self.assertEqual(self.up_levels(*flags, env=env), [level] * services)

    def test_a_service_of_its_own_takes_the_flag_or_the_variable(self):
        address = f"127.0.0.1:{free_port()}"
        for flags, env in ((("--level", SLOWEST), None), ((), {"TROUPE_LEVEL": SLOWEST})):
            with self.subTest(flags=flags, env=env):
                router = services.Service("router", "--control-listen", address,
                                          "--cluster-routers", address, *flags, env=env)
                self.addCleanup(router.close)
                self.assertIn(f", {SLOWEST}, ", router.wait_for("started")["numerics"])
                router.close()
        self.fails(program.CONFIG, 3005, ["engine.level", "mmx"], "expert", "--level", "mmx",
                   "--cluster-routers", address)

    def test_up_refuses_a_level_that_there_is_not(self):
        self.fails(program.USAGE, 1003, ["--level", SLOWEST], "up", "--level", "mmx")
        known = json.loads(self.succeeds("version", "--json"))["known_levels"]
        for level in set(known) - set(self.levels):
            self.fails(program.RESOURCE, 2001, f"level {level};", "up", "--level", level)


if __name__ == "__main__":
    unittest.main()
