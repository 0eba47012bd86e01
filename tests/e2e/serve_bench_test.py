"""The cases of tests/bench/serve_bench.py in short: nothing hangs, nothing is left, all is refused
as it should be. With --long: for the minutes and clients that docs/performance.md names.
"""

import json
import os
import subprocess
import sys
import unittest

from tests.support import grpc_client, program  # noqa: F401: ends the test where grpc is missing
from tests.support.patience import patient

LONG = "--long" in sys.argv
BENCH = os.path.join(program.SOURCE, "tests", "bench", "serve_bench.py")


class ServeBenchTest(program.ProgramTest):
    def found(self, case, *flags):
        """What the case found on the bundled model; its tables are printed."""
        out = self.path("found.json")
        words = [sys.executable, BENCH, "--bin", program.binary(), case, "--json", out, *flags]
        done = subprocess.run([*map(str, words)], timeout=patient(3000), check=False)
        self.assertEqual(done.returncode, 0, case)
        with open(out, encoding="utf-8") as file:
            return json.load(file)

    def test_an_overloaded_gateway_refuses_and_serves_on(self):
        seconds = 300 if LONG else 4
        found = self.found(
            *("overload", "--seconds", seconds, "--sweep-s", 2, "--clients", 1, 4),
            *("--admit", 4, "--answer-tokens", 32),
        )
        self.assertLessEqual(found["by_status"].keys(), {"200", "429", "503"})
        self.assertGreater(found["by_status"]["429"], 0)
        self.assertGreater(found["completed"], 0)
        for name in ("hung", "broken", "refused_without_retry_after", "not_sent"):
            self.assertEqual(found[name], 0, name)
        self.assertTrue(all(1 <= seconds <= 60 for seconds in found["retry_after_s"]), found)

    def test_clients_that_go_leave_nothing(self):
        found = self.found("drops", "--drops", 1000 if LONG else 100)
        for name in ("sequences", "pages_used", "in_flight"):
            self.assertEqual(found[name], 0, name)
        self.assertGreater(found["cancelled"], 0)
        self.assertEqual(found["after"], "")

    def test_a_start_is_measured(self):
        found = self.found("start", "--rounds", 2)
        self.assertEqual(len(found["ready_s"]), 2)
        self.assertGreater(min(found["ready_s"]), 0)
        self.assertGreater(found["resident_mib"], found["own_mib"])

    def test_slow_readers_and_idle_streams_end_nothing(self):
        flags = () if LONG else ("--readers", 40, "--rounds", 1, "--streams", 50, "--idle-s", 1)
        found = self.found("slow_readers", *flags, "--fast-tokens", 128)
        self.assertGreater(found["beside_slow"], 0)
        for name in ("quick", "slow"):
            part = found["computing"][name]
            self.assertGreater(part["tokens_per_s"], 0)
            self.assertGreaterEqual(min(part["computed"]), 0.9 * (200 if LONG else 40), name)
            self.assertLessEqual(*part["memory_mib"])
        self.assertEqual(found["streams"], 1000 if LONG else 50)

    def test_a_second_turn_and_a_long_prompt_are_measured(self):
        found = self.found("turns", "--rounds", 1, "--prompt-tokens", 256)
        self.assertGreater(found["ratio"], 0)
        found = self.found("prefill_beside_decode", "--long-prompt", 2048)
        self.assertGreaterEqual(found["chunks"], 3)
        self.assertGreater(found["tokens_during"], 1)


if __name__ == "__main__":
    unittest.main(argv=[word for word in sys.argv if word != "--long"])
