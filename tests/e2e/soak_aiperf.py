"""aiperf, a public benchmark of OpenAI-compatible servers, runs unchanged and sees no error.

Not in tests/requirements.txt: its 80 packages want other versions of some. Skipped without it.
"""

import json
import os
import shutil
import subprocess
import tempfile
import unittest

from tests.support import grpc_client, program, requirement

AIPERF = shutil.which("aiperf")
REQUESTS, TOKENS = 100, 16


class AiperfTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.served = grpc_client.Served()
        cls.addClassCleanup(cls.served.stop)

    def profile(self, kind):
        """What a run against this endpoint exported."""
        folder = tempfile.TemporaryDirectory(prefix="troupe-aiperf-")
        self.addCleanup(folder.cleanup)
        words = [AIPERF, "profile", "--model", "troupe-tiny", "--url", self.served.url]
        words += ["--endpoint-type", kind, "--streaming", "--tokenizer", program.TINY]
        words += ["--concurrency", "8", "--request-count", str(REQUESTS), "--ui", "none"]
        words += ["--synthetic-input-tokens-mean", "50", "--output-tokens-mean", str(TOKENS)]
        words += ["--extra-inputs", "ignore_eos:true", "--output-artifact-dir", folder.name]
        done = subprocess.run(words, cwd=folder.name, timeout=program.TIMEOUT_S, check=False)
        self.assertEqual(done.returncode, 0)
        path = os.path.join(folder.name, "profile_export_aiperf.json")
        with open(path, encoding="utf-8") as file:
            return json.load(file)

    def test_both_endpoints(self):
        for kind in ("chat", "completions"):
            with self.subTest(kind=kind):
                found = self.profile(kind)
                self.assertEqual(found["request_count"]["avg"], REQUESTS)
                self.assertEqual(found["error_summary"], [])
                self.assertEqual(found["total_usage_completion_tokens"]["avg"], REQUESTS * TOKENS)
                self.assertGreater(found["time_to_first_token"]["avg"], 0)


if __name__ == "__main__":
    if AIPERF is None:
        print("skipped: this test needs aiperf on PATH. Try: pip install aiperf==0.13.0")
        raise SystemExit(requirement.SKIPPED)
    unittest.main(verbosity=2)
