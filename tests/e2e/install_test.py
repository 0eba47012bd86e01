#!/usr/bin/env python3
"""`cmake --install`: the program and the bundled model, and nothing else, work from the prefix."""

import os
import subprocess
import unittest

from tests.support import program

ANSWER = "lighthouse (noun): a tower with a light that gives warning of shoals to passing ships.\n"


class InstallTest(program.ProgramTest):
    def install(self):
        """What was installed, as paths below the prefix."""
        prefix = self.path("prefix")
        words = ["cmake", "--install", os.environ["TROUPE_BUILD_DIR"], "--prefix", prefix]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        found = [
            os.path.relpath(os.path.join(folder, name), prefix)
            for folder, _, names in os.walk(prefix)
            for name in names
        ]
        return prefix, sorted(found)

    def test_holds_one_program_and_its_model_and_answers(self):
        prefix, found = self.install()
        model = "share/troupe/examples/troupe-tiny"
        shipped = [os.path.join(model, name) for name in os.listdir(program.TINY)]
        self.assertEqual(found, sorted(["bin/troupe", *shipped]))

        troupe = os.path.join(prefix, "bin", "troupe")
        words = [troupe, "chat", "--once", "What is a lighthouse?", "--temperature", "0"]
        done = subprocess.run(
            words, cwd="/", env=program.environment(), capture_output=True, check=False,
            timeout=program.TIMEOUT_S,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.decode(), ANSWER)

        checked = subprocess.run(
            [troupe, "doctor"], cwd="/", env=program.environment(), capture_output=True,
            check=False, timeout=program.TIMEOUT_S,
        )
        self.assertIn(os.path.join(prefix, model), checked.stdout.decode())


if __name__ == "__main__":
    unittest.main()
