#!/usr/bin/env python3
"""`troupe bench kernels` and `troupe bench model`: tables, JSON, mistakes, Ctrl-C."""

import json
import signal
import unittest

from tests.support import program

QUICK = ("--min-time", 0, "--working-set-mib", 16)


class KernelsTest(program.ProgramTest):
    def measured(self, text, *flags):
        """The JSON of the cases with `text` in their name, each run once."""
        flags = ("--filter", text, *QUICK, *flags)
        found = json.loads(self.succeeds("bench", "kernels", *flags, "--json"))
        for one in found["results"]:
            self.assertIn(text, one["name"])
            self.assertEqual(one["runs"], 1)
            self.assertGreater(one["seconds"], 0)
            self.assertAlmostEqual(one["gb_per_s"], one["bytes"] / one["seconds"] / 1e9)
        return found

    def test_shares_are_of_the_limits_of_the_same_run(self):
        found = self.measured("bench-1b/linear/q_b/fp8/", "--threads", 2)
        self.assertEqual((found["threads"], found["pool_bytes"]), (2, 16 << 20))
        self.assertEqual([one["rows"] for one in found["results"]], [1, 2, 4, 8, 32, 64, 128, 512])
        for one in found["results"]:
            self.assertAlmostEqual(one["read_share"], one["gb_per_s"] / found["read_gb_per_s"])
            self.assertEqual(one["block_flops"] * 8, one["flops"])
            blocks = one["gflops"] / 8 / found["fma_gflops"]
            self.assertAlmostEqual(one["fma_share"], one["gflops"] / found["fma_gflops"] + blocks)
            self.assertAlmostEqual(one["bf16_share"], one["gflops"] / found["bf16_gflops"])
            self.assertAlmostEqual(one["peak_share"], one["bf16_share"] + blocks)
            self.assertIsNone(one["int8_share"])

    def test_sums_in_the_order_of_tiles_are_measured_against_what_tiles_can_do(self):
        for name in ("linear/q_b/fp8-tiles/8", "dense_ffn/bf16-tiles/8"):
            found = self.measured(f"bench-1b/{name}")
            (one,) = found["results"]
            self.assertAlmostEqual(one["bf16_share"], one["gflops"] / found["tile_gflops"])
            self.assertEqual(one["peak_share"], one["bf16_share"])

    def test_int8_rows_are_measured_against_the_int8_peak(self):
        for name in ("linear/q_b/w4a8/8", "experts/w8a8/1"):
            found = self.measured(f"bench-1b/{name}")
            (one, *_) = found["results"]
            self.assertAlmostEqual(one["int8_share"], one["gflops"] / found["int8_gops"])
            self.assertEqual(one["peak_share"], one["int8_share"])
            self.assertEqual((one["fma_share"], one["bf16_share"]), (None, None))

    def test_weights_with_zero_points_are_measured_with_their_scales(self):
        (one, *_) = self.measured("bench-1b/linear/q_b/awq/1")["results"]
        codes = 16 * 192 * 512 // 2
        self.assertEqual(one["bytes"], codes + codes // 64 * 4)
        self.assertIsNotNone(one["fma_share"])

    def test_every_operation_has_cases(self):
        for operation in ("experts/fp8-act/1", "dense_ffn/int8-channel/1", "absorb/bf16/1",
                          "attention/prompt", "write_cache", "gate", "rms_norm", "rope",
                          "embed", "combine"):
            self.assertTrue(self.measured(f"bench-1b/{operation}")["results"], operation)
        for operation in ("swiglu", "quantise", "quantise_int8"):
            (one, *_) = self.measured(f"bench-1b/{operation}")["results"]
            self.assertEqual((one["read_share"], one["fma_share"]), (None, None))

    def test_the_level_can_be_chosen(self):
        self.assertEqual(self.measured("1b/gate", "--level", "reference")["level"], "reference")

    def test_a_matrix_larger_than_the_working_set_has_room(self):
        found = self.measured("1b/linear/q_b/bf16/8", "--working-set-mib", 1)
        self.assertEqual(found["pool_bytes"], 2 * 16 * 192 * 512)

    def test_table(self):
        text = self.succeeds("bench", "kernels", "--filter", "1b/swiglu", *QUICK, "--threads", 1)
        lines = text.splitlines()
        own = r"((BF16|tiles) [\d.]+ GFLOP/s, ){0,2}"  # where the level has instructions for them
        limits = rf"read [\d.]+ GB/s, FMA [\d.]+ GFLOP/s, {own}INT8 [\d.]+ GOP/s"
        self.assertRegex(lines[0], rf"^level \w+, threads 1: {limits}$")
        self.assertEqual(lines[3].split()[:4], ["model", "operation", "part", "dtype"])
        self.assertEqual(len(lines), 4 + 8)

    def test_mistakes(self):
        for says, *flags in (
            (["zeppelin", "MODEL/OPERATION"], "--filter", "zeppelin"),
            (["--threads"], "--threads", 0),
            (["--min-time"], "--min-time", -1),
            (["--level", "avx2"], "--level", "sse"),
            (["--working-set-mib"], "--working-set-mib", "x"),
        ):
            self.fails(program.USAGE, 1003, says, "bench", "kernels", *flags)
        self.fails(program.USAGE, 1005, "surplus", "bench", "kernels", "surplus")
        self.fails(program.USAGE, 1001, "Did you mean --filter?", "bench", "kernels", "--fliter=x")
        version = json.loads(self.succeeds("version", "--json"))
        for level in set(version["known_levels"]) - set(version["levels"]):
            self.fails(program.RESOURCE, 2001, level, "bench", "kernels", "--level", level)

    def test_interrupt_ends_a_case(self):
        flags = ("--filter", "1b/rms_norm", "--working-set-mib", 1, "--min-time", 600)
        bench = program.start("bench", "kernels", *flags)
        self.addCleanup(bench.communicate)
        self.addCleanup(bench.kill)
        self.assertIn(b"level", bench.stdout.readline())
        bench.send_signal(signal.SIGINT)
        _, err = bench.communicate(timeout=program.TIMEOUT_S)
        self.assertEqual(bench.returncode, program.INTERRUPTED, err)

    def test_ends_quietly_when_its_reader_leaves(self):
        flags = ("--filter", "1b/rms_norm", "--working-set-mib", 1, "--min-time", 0)
        bench = program.start("bench", "kernels", *flags)
        bench.stdout.close()
        self.assertEqual(bench.stderr.read(), b"")
        self.assertEqual(bench.wait(timeout=program.TIMEOUT_S), 0)
        for pipe in (bench.stdin, bench.stderr):
            pipe.close()


class ModelTest(program.ProgramTest):
    def bench(self, *flags):
        return ("bench", "model", program.TINY, "--repetitions", 2, *flags)

    def test_every_batch_with_every_number_of_threads(self):
        flags = ("--prompt", 8, "--generate", 4, "--batch", "1,3", "--threads", "1,2")
        found = json.loads(self.succeeds(*self.bench(*flags, "--seed", 5, "--json")))
        self.assertEqual((found["model"], found["seed"], found["mode"]), ("troupe-tiny", 5, "bf16"))
        tests = [(one["threads"], one["batch"], one["test"]) for one in found["results"]]
        expected = [(t, b, name) for t in (1, 2) for b in (1, 3) for name in ("pp8", "tg4")]
        self.assertEqual(tests, expected)
        for one in found["results"]:
            self.assertEqual(len(one["samples"]), 2)
            self.assertGreater(min(one["samples"]), 0)
            self.assertAlmostEqual(one["tokens_per_s"], sum(one["samples"]) / 2)
            rate = one["tokens_per_s"] / 1e9
            self.assertAlmostEqual(one["gb_per_s"], one["bytes_per_token"] * rate)
            self.assertAlmostEqual(one["gflops"], one["flops_per_token"] * rate)
            self.assertAlmostEqual(one["read_share"], one["gb_per_s"] / one["read_gb_per_s"])
            self.assertAlmostEqual(one["fma_share"], one["gflops"] / one["fma_gflops"])
            self.assertLessEqual(one["peak_share"], one["fma_share"] * (1 + 1e-9))

    def test_work_depends_on_the_shape_only(self):
        def work(*flags):
            return [
                (one["bytes_per_token"], one["flops_per_token"])
                for one in json.loads(self.succeeds(*self.bench(*flags, "--json")))["results"]
            ]

        flags = ("--prompt", 0, "--generate", 4, "--threads", 1)
        one, eight = work(*flags, "--batch", "1,8")
        self.assertLess(eight[0], one[0])  # sequences share the weights
        self.assertEqual(eight[1], one[1])
        self.assertEqual(work(*flags, "--mode", "f32")[0][1], one[1])
        fp8 = work(*flags, "--kv-cache", "fp8")[0]
        self.assertLess(fp8[0], one[0])
        self.assertEqual(fp8[1], one[1])

    def test_depths_come_before_every_test(self):
        flags = ("--prompt", 8, "--generate", 4, "--batch", "1,3", "--threads", 1)
        command = self.bench(*flags, "--depth", "0,128", "--json")
        found = json.loads(self.succeeds(*command))["results"]
        tests = [(one["depth"], one["batch"], one["test"]) for one in found]
        names = {0: ("pp8", "tg4"), 128: ("pp8 @ d128", "tg4 @ d128")}
        expected = [(d, b, name) for d in (0, 128) for b in (1, 3) for name in names[d]]
        self.assertEqual(tests, expected)
        for shallow, deep in zip(found[:4], found[4:]):
            more = deep["cache_bytes_per_token"] - shallow["cache_bytes_per_token"]
            self.assertGreater(more, 0)
            self.assertAlmostEqual(more, deep["bytes_per_token"] - shallow["bytes_per_token"])
            self.assertGreater(deep["flops_per_token"], shallow["flops_per_token"])
            share = deep["cache_bytes_per_token"] / deep["bytes_per_token"]
            self.assertAlmostEqual(deep["cache_read_share"], deep["read_share"] * share)
        (one, three) = (test for test in found if test["test"] == "tg4 @ d128")
        self.assertEqual(one["cache_bytes_per_token"], three["cache_bytes_per_token"])

    def test_the_deepest_that_fits(self):
        flags = ("--prompt", 0, "--generate", 63, "--depth", 4032, "--threads", 2)
        (one,) = json.loads(self.succeeds(*self.bench(*flags, "--json")))["results"]
        self.assertEqual((one["test"], len(one["samples"])), ("tg63 @ d4032", 2))

    def test_table(self):
        flags = ("--prompt", 4, "--generate", 0, "--threads", 1, "--batch", 2)
        lines = self.succeeds(*self.bench(*flags)).splitlines()
        self.assertRegex(lines[0], r"^seed \d+, mode bf16$")
        self.assertEqual(len(lines), 5)
        cells = [cell.strip() for cell in lines[4].strip("|").split("|")]
        self.assertEqual((cells[0], cells[3:6]), ("troupe-tiny", ["1", "2", "pp4"]))
        self.assertRegex(cells[6], r"^[\d.]+ ± +[\d.]+$")
        self.assertEqual(len({len(line) for line in lines[2:]}), 1)

    def test_mistakes(self):
        nothing = ("--prompt", 0, "--generate", 0)
        self.fails(program.USAGE, 1003, "nothing to measure", *self.bench(*nothing))
        for flag in ("--batch", "--threads"):
            for value in ("0", "1,,2", "1,", "x", "9999"):
                self.fails(program.USAGE, 1003, [flag, "1,8,32"], *self.bench(flag, value))
        self.fails(program.USAGE, 1003, "--level", *self.bench("--level", "sse"))
        self.fails(program.USAGE, 1003, "--mode", *self.bench("--mode", "int3"))
        self.fails(program.USAGE, 1102, ["5000", "4096"], *self.bench("--prompt", 5000))
        self.fails(program.USAGE, 1102, ["4096"], *self.bench("--generate", 4096))
        self.fails(program.USAGE, 1003, ["--depth", "multiples of 64"], *self.bench("--depth", 100))
        says = ["behind --depth 4096", "4096 positions", "or the depth"]
        self.fails(program.USAGE, 1102, says, *self.bench("--depth", "0,4096"))
        self.fails(program.USAGE, 1004, "DIR", "bench", "model")
        self.fails(program.MODEL, 4001, "nowhere", "bench", "model", "nowhere")

    def test_interrupt_ends_it_with_what_it_has(self):
        flags = ("--prompt", 16, "--repetitions", 1000)
        bench = program.start(*self.bench(*flags))
        self.addCleanup(bench.communicate)
        self.addCleanup(bench.kill)
        self.assertIn(b"seed", bench.stdout.readline())
        bench.send_signal(signal.SIGINT)
        _, err = bench.communicate(timeout=program.TIMEOUT_S)
        self.assertEqual(bench.returncode, program.INTERRUPTED, err)


if __name__ == "__main__":
    unittest.main()
