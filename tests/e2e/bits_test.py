#!/usr/bin/env python3
"""The same request gives the same bits, however it is laid out: bits_test.py PRESET MODE [FORMAT].

Compares SHA-256 digests over token ids and the raw bits of log-probabilities and logits. FORMAT:
what `troupe model quantize` makes of the preset first (int8, int8-channel, int4), or a form of
tests/support/packed_int4.py (awq, gptq, ...).
"""

import hashlib
import os
import sys
import tempfile
import unittest

from tests.support import requirement

requirement.require_numpy()

from tests.e2e import golden_check  # noqa: E402
from tests.support import amx, eval_logits, packed_int4, patience, program  # noqa: E402

GOLDENS = os.path.join(os.environ["TROUPE_SOURCE_DIR"], "tests", "goldens")
# Around the boundaries of pages (64), of splits (256) and of frames (512); 16 in one batch.
LENGTHS = (1, 2, 3, 7, 16, 17, 31, 63, 64, 65, 66, 100, 127, 129, 270, 530)
if patience.FACTOR > 1:  # sanitizers look at what the threads do, not at every length
    LENGTHS = (1, 3, 17, 64, 65, 130)
WHOLE = max(LENGTHS)
GENERATED = 8
ARRAYS = ("tokens", "logprobs", "logits", "generated_logits")
UNAVAILABLE = 6  # exit code: the machine lacks the level
CPU_FLAG_OF_LEVEL = {
    "reference": "",
    "avx2": "avx2",
    "avx2_vnni": "avx_vnni",
    "avx512": "avx512f",
    "avx512_vnni": "avx512_vnni",
    "avx512_bf16": "avx512_bf16",
    "avx512_amx": "amx_int8",
}


def cpu_flags():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        return next(line for line in file if line.startswith("flags")).split()


class BitsCase(unittest.TestCase):
    """What one process says of LENGTHS, and comparison of others with it."""

    preset_name, mode, weights = "v3-mini", "bf16", None

    @classmethod
    def setUpClass(cls):
        cls.preset = golden_check.Preset(os.path.join(GOLDENS, cls.preset_name))
        cls.model = cls.preset.model
        if cls.weights:
            folder = tempfile.TemporaryDirectory(prefix="troupe-bits-")
            cls.addClassCleanup(folder.cleanup)
            cls.model = os.path.join(folder.name, cls.weights)
            cls.write_weights()
        tokens = cls.preset.tokens[-1]
        cls.sequences = [tokens[i : i + length] for i, length in enumerate(LENGTHS)]
        cls.expected = cls.digests("--threads", 1, "--chunk", WHOLE)

    @classmethod
    def write_weights(cls):
        if cls.weights in packed_int4.FORMS:
            packed_int4.write(cls.preset.model, packed_int4.FORMS[cls.weights], cls.model)
            return
        words = ("model", "quantize", "--to", cls.weights, cls.preset.model, cls.model)
        done = program.run(*words)
        assert done.returncode == 0, done.stderr

    @classmethod
    def digests(cls, *options, requests=None, mode=None):
        """Request -> digest of everything the program says about it."""
        requests = range(len(LENGTHS)) if requests is None else requests
        options = ("--mode", mode or cls.mode, "--generate", GENERATED, *options)
        picked = [cls.sequences[i] for i in requests]
        out = eval_logits.eval_logits(cls.model, picked, options)
        return {
            request: hashlib.sha256(
                b"".join(out[f"{array}.{place}"].tobytes() for array in ARRAYS)
            ).hexdigest()
            for place, request in enumerate(requests)
        }

    def check(self, *options, requests=None, mode=None):
        got = self.digests(*options, requests=requests, mode=mode)
        changed = [f"{LENGTHS[i]} tokens" for i in got if got[i] != self.expected[i]]
        self.assertFalse(changed, f"{' '.join(map(str, options))}: other bits for {changed}")


class BitsTest(BitsCase):
    def test_do_not_depend_on_the_number_of_expert_shards(self):
        for shards in (2, 3, 8):
            self.check("--layout", f"experts={shards},attention=1,routers=1")

    def test_do_not_depend_on_attention_shards_and_routers(self):
        self.check("--layout", "experts=1,attention=2,routers=2")
        self.check("--layout", "experts=3,attention=2,routers=2", "--threads", 2, "--chunk", 7)

    def test_do_not_depend_on_threads(self):
        self.check("--threads", 2)

    def test_do_not_depend_on_prompt_chunks(self):
        for chunk in (7, 64):
            self.check("--chunk", chunk)
        self.check("--chunk", 1, requests=range(0, len(LENGTHS), 3))

    def test_are_those_of_the_request_alone(self):
        for request in range(0, len(LENGTHS), 5):
            self.check(requests=[request])

    def test_are_those_of_every_level_of_this_machine(self):
        flags = cpu_flags()
        for level, flag in CPU_FLAG_OF_LEVEL.items():
            lacking = flag and flag not in flags
            if lacking or (level == "avx512_amx" and not amx.granted()):
                with self.assertRaises(eval_logits.EvalFailed) as refused:
                    self.check("--level", level)
                self.assertEqual(refused.exception.code, UNAVAILABLE)
                print(f"untested: level {level}, which this machine lacks")
            else:
                self.check("--level", level)
                self.check("--level", level, "--chunk", 7, "--threads", 2)

    def test_do_not_change_from_run_to_run(self):
        self.check()
        self.check()

    def test_of_fp8_act_without_fp8_weights_are_those_of_bf16(self):
        plain = self.weights is not None or "fp8-act" not in self.preset.modes()
        if self.mode == "bf16" and plain:
            self.check(mode="fp8-act")


if __name__ == "__main__":
    BitsTest.preset_name, BitsTest.mode = sys.argv[1:3]
    BitsTest.weights = sys.argv[3] if len(sys.argv) > 3 else None
    unittest.main(argv=sys.argv[:1])
