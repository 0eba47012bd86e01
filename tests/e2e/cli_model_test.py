#!/usr/bin/env python3
"""Models that are missing, refused or broken; inspect, cast and eval as commands."""

import json
import os
import resource
import shutil
import struct
import unittest

from tests.support import amx, program

V3 = os.path.join(program.GOLDENS, "v3-mini", "model")
ANY_LEVEL = ("chat", "--once", "What is a doctor?", "--temperature", "0", "--model")


class BrokenModelTest(program.ProgramTest):
    def setUp(self):
        super().setUp()
        self.model = self.path("model")
        shutil.copytree(program.TINY, self.model)

    def edit_config(self, **changes):
        path = os.path.join(self.model, "config.json")
        with open(path, encoding="utf-8") as file:
            config = {**json.load(file), **changes}
        with open(path, "w", encoding="utf-8") as file:
            json.dump(config, file)

    def refused(self, fault, says):
        self.fails(program.MODEL, fault, says, *ANY_LEVEL, self.model)
        self.fails(program.MODEL, fault, says, "model", "inspect", self.model)

    def test_path_missing(self):
        shutil.rmtree(self.model)
        self.refused(4001, ["no model directory at", self.model])
        self.file("model", "a file")
        self.refused(4001, "not a directory")

    def test_directory_without_config(self):
        os.remove(os.path.join(self.model, "config.json"))
        self.refused(4001, ["config.json", "Name the directory"])

    def test_shard_missing_names_a_tensor(self):
        os.remove(os.path.join(self.model, "model-00002-of-00002.safetensors"))
        self.refused(4001, ["model-00002-of-00002.safetensors", "lm_head.weight"])

    def test_shard_truncated(self):
        path = os.path.join(self.model, "model-00001-of-00002.safetensors")
        os.truncate(path, os.path.getsize(path) - 1)
        self.refused(4004, "model-00001-of-00002.safetensors")

    def test_logits_that_are_no_numbers_end_the_request(self):
        # The largest BF16 as final norm: every weight is a number, the logits are not.
        self.fill_tensor("model.norm.weight", b"\x7f\x7f")
        says = ["position", "logits are NaN or infinite"]
        for temperature in (0, 1):
            flags = ("--model", self.model, "--temperature", temperature)
            self.fails(program.FAILURE, 9002, says, "run", "Hello", *flags)
        ids, out = self.file("ids.json", "[[0, 5, 6]]"), self.path("out")
        command = ("eval", "logits", self.model, "--ids-file", ids, "--out", out)
        message = self.fails(program.FAILURE, 9002, says, *command, "--generate", 2)
        self.assertIn("array 0", message)
        self.assertIn("position 3", message)
        self.assertFalse(os.path.exists(out))

    def test_rows_that_are_no_numbers_are_not_hidden_by_quantising_them(self):
        # Only linears read what this norm makes infinite.
        for form in ("int8", "int8-channel", "int4-all"):
            with self.subTest(form):
                model = self.path(form)
                self.succeeds("model", "quantize", "--to", form, self.model, model)
                self.fill_tensor("model.layers.0.input_layernorm.weight", b"\x7f\x7f", model)
                flags = ("--model", model, "--mode", "int8-act")
                says = ["position", "logits are NaN or infinite"]
                self.fails(program.FAILURE, 9002, says, "run", "Hello", *flags)

    def fill_tensor(self, name, element, model=None):
        model = model or self.model
        with open(os.path.join(model, "model.safetensors.index.json"), "rb") as file:
            shard = os.path.join(model, json.load(file)["weight_map"][name])
        with open(shard, "r+b") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            begin, end = json.loads(file.read(length))[name]["data_offsets"]
            file.seek(8 + length + begin)
            file.write(element * ((end - begin) // len(element)))

    def test_v32_is_refused_with_its_reason(self):
        self.edit_config(architectures=["DeepseekV32ForCausalLM"], model_type="deepseek_v32")
        self.refused(4003, "V3.2")

    def test_wrong_shape(self):
        self.edit_config(hidden_size=512)
        self.refused(4002, "shape")

    def test_tokenizer_with_a_broken_merge(self):
        path = os.path.join(self.model, "tokenizer.json")
        with open(path, encoding="utf-8") as file:
            tokenizer = json.load(file)
        tokenizer["model"]["merges"][7] = "there-is-no-such-pair"
        with open(path, "w", encoding="utf-8") as file:
            json.dump(tokenizer, file)
        self.fails(program.MODEL, 4002, "tokenizer.json", *ANY_LEVEL, self.model)

    def test_tiktoken_alone_is_refused_and_ids_still_work(self):
        os.remove(os.path.join(self.model, "tokenizer.json"))
        with open(os.path.join(self.model, "tiktoken.model"), "wb"):
            pass
        self.fails(program.MODEL, 4005, ["tiktoken.model", "--ids"], *ANY_LEVEL, self.model)
        ids = self.succeeds("run", "--model", self.model, "--ids", "0,5", "--max-tokens", 2)
        self.assertEqual(len(ids.split()), 2)

    def test_eval_logits_needs_no_tokenizer(self):
        for name in ("tokenizer.json", "generation_config.json"):
            with open(os.path.join(self.model, name), "w", encoding="utf-8") as file:
                file.write("{ nonsense")
        ids, out = self.file("ids.json", "[[0, 5, 6]]"), self.path("out")
        command = ("eval", "logits", self.model, "--ids-file", ids, "--out", out, "--generate", 2)
        says = ["tokenizer.json", "(line 1, column 4)"]
        message = self.fails(program.MODEL, 4002, says, *command)
        self.assertNotIn("exception", message)
        self.succeeds(*command, "--valid-vocab", 100)
        os.remove(os.path.join(self.model, "tokenizer.json"))
        self.succeeds(*command)

    def test_bad_generation_config(self):
        path = os.path.join(self.model, "generation_config.json")
        for text in ('{"temperature": "hot"}', '{"top_p": 7}', "{"):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            self.fails(program.MODEL, 4002, "generation_config.json", *ANY_LEVEL, self.model)
        os.remove(path)
        self.succeeds(*ANY_LEVEL, self.model)

    def test_truncated_while_mapped(self):
        self.dies_once_shards_have(lambda size: 4096)

    def test_truncated_by_one_byte_while_mapped(self):
        # Inside the last page there is no SIGBUS: the missing byte would be a zero.
        self.dies_once_shards_have(lambda size: size - 1)

    def dies_once_shards_have(self, bytes_left):
        child = program.start("chat", "--temperature", 0, "--model", self.model)
        child.stdin.write(b"What is a doctor?\n")
        child.stdin.flush()
        self.assertEqual(child.stdout.readline()[:6], b"doctor")
        for shard in ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"):
            path = os.path.join(self.model, shard)
            os.truncate(path, bytes_left(os.path.getsize(path)))
        _, stderr = child.communicate(b"What is a lighthouse?\n", timeout=program.TIMEOUT_S)
        self.assertEqual(child.returncode, program.MODEL, stderr)
        self.assertIn(b".safetensors", stderr)


class InspectTest(program.ProgramTest):
    def test_text_and_json(self):
        text = self.succeeds("model", "inspect", program.TINY)
        for part in ("experts", "router", "attention", "F8_E4M3"):
            self.assertIn(part, text)
        json.loads(self.succeeds("model", "inspect", program.TINY, "--json"))


class CastTest(program.ProgramTest):
    def test_casts_with_progress_by_tenths(self):
        out = self.path("bf16")
        done = program.run("model", "cast", "--to", "bf16", program.TINY, out)
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = [x for x in done.stderr.decode().splitlines() if x.startswith("casting")]
        self.assertLessEqual(len(lines), 10)
        self.assertRegex(lines[-1], r"^casting  (\S+)/\1 MiB(  |$)")
        self.assertNotIn(b"\r", done.stderr)
        self.assertIn("tensors cast to BF16, 2 files written", done.stderr.decode())
        self.assertIn("BF16", self.succeeds("model", "inspect", out))
        again = program.run("model", "cast", "--to", "bf16", "--no-progress", program.TINY, out)
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertEqual(len(again.stderr.splitlines()), 1, again.stderr)

    def test_refuses_other_targets_and_places(self):
        self.fails(
            program.USAGE, 1003, "bf16", "model", "cast", "--to", "int4", program.TINY, "out"
        )
        occupied = self.path("occupied")
        os.mkdir(occupied)
        self.file("occupied/mine.txt", "mine")
        cast = ("model", "cast", "--to", "bf16", program.TINY)
        self.fails(program.USAGE, 1003, "occupied", *cast, occupied)
        self.fails(program.MODEL, 4001, "nowhere", "model", "cast", "--to", "bf16", "nowhere", "o")

    def test_a_place_that_cannot_be_made_is_no_fault_of_the_model(self):
        below_a_file = os.path.join(self.file("file", ""), "out")
        says = ["cannot create", below_a_file, "another place"]
        cast = ("model", "cast", "--to", "bf16", program.TINY, below_a_file)
        self.fails(program.FAILURE, 9001, says, *cast)


class QuantizeTest(program.ProgramTest):
    def test_quantises_with_progress_and_inspects(self):
        out = self.path("int4")
        done = program.run("model", "quantize", "--to", "int4", program.TINY, out)
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = [x for x in done.stderr.decode().splitlines() if x.startswith("quantising")]
        self.assertRegex(lines[-1], r"^quantising  (\S+)/\1 MiB(  |$)")
        # gate, up and down of 32 experts in 4 layers and the MTP layer; what else is FP8
        self.assertIn(": 480 tensors quantised, 48 cast to BF16, ", done.stderr.decode())
        self.assertIn("INT4", self.succeeds("model", "inspect", out))
        self.assertTrue(self.succeeds("run", "In the beginning", "--max-tokens", 4, "--model", out))

    def test_refuses_other_targets_and_quantised_models(self):
        quantize = ("model", "quantize")
        self.fails(program.USAGE, 1004, "--to int4, int4-all, int8", *quantize, program.TINY, "out")
        self.fails(program.USAGE, 1003, "int8", *quantize, "--to", "int2", program.TINY, "out")
        self.fails(program.MODEL, 4001, "nowhere", *quantize, "--to", "int4", "nowhere", "out")
        out, again = self.path("int8"), self.path("again")
        self.succeeds(*quantize, "--to", "int8", program.TINY, out)
        int4 = (*quantize, "--to", "int4", out, again)
        said = self.fails(program.USAGE, 1003, "quantised already", *int4)
        self.assertIn("FP8 or BF16", said)


class EvalLogitsTest(program.ProgramTest):
    def command(self, ids, *flags):
        file = self.file("ids.json", ids if isinstance(ids, str) else json.dumps(ids))
        return ("eval", "logits", V3, "--ids-file", file, "--out", self.path("o"), *flags)

    def test_bad_ids_name_the_array(self):
        for ids, fault, says in (
            ("", 1103, "ids.json"),
            ("{}", 1103, "non-empty array"),
            ([], 1103, "non-empty array"),
            ([[1], []], 1103, "array 1 is empty"),
            ([[1], 2], 1103, "array 1 is not an array"),
            ([[1], [2, "x"]], 1103, "array 1 holds"),
            ([[1], [2, 1.5]], 1103, "array 1 holds"),
            ([[1], [2], [1, 320]], 1104, ["array 2", "320", "319"]),
            ([[-1]], 1104, ["array 0", "-1"]),
            ([[1], [1] * 5000], 1104, ["array 1", "5000", "context"]),
        ):
            with self.subTest(ids=str(ids)[:40]):
                self.fails(program.USAGE, fault, says, *self.command(ids))
                self.assertEqual(os.listdir(self.folder), ["ids.json"])

    def test_ids_from_a_pipe(self):
        command = list(self.command([[1]]))
        at = command.index("--ids-file") + 1
        for name in ("-", "/dev/stdin"):
            command[at] = name
            self.succeeds(*command, stdin=b"[[0, 5], [7]]")
            self.assertEqual(self.header()["logits.0"], ("F32", [2, 320]))
        read_end, write_end = os.pipe()
        with open(write_end, "wb") as pipe:
            pipe.write(b"[[0, 5, 6]]")
        command[at] = f"/dev/fd/{read_end}"
        self.succeeds(*command, pass_fds=[read_end])
        os.close(read_end)
        self.assertEqual(self.header()["logits.0"], ("F32", [3, 320]))
        command[at] = self.folder
        self.fails(program.USAGE, 1103, "Is a directory", *command)

    def test_other_mistakes(self):
        flags = ("--layout", "experts=17")
        self.fails(program.USAGE, 1105, ["17", "16"], *self.command([[1]], *flags))
        self.fails(program.USAGE, 1003, "320", *self.command([[1]], "--valid-vocab", 321))
        self.fails(program.USAGE, 1104, "context", *self.command([[1]], "--generate", 100000))
        command = list(self.command([[1]]))
        command[command.index("--out") + 1] = self.path("no/such/folder")
        self.fails(program.FAILURE, 9001, "no/such/folder", *command)
        command[command.index("--ids-file") + 1] = "nowhere.json"
        self.fails(program.USAGE, 1103, "nowhere.json", *command)

    def test_writes_the_arrays_that_were_asked_for(self):
        self.file("o", "old")
        self.succeeds(*self.command([[0, 5, 6], [7]]))
        both = {"logits.0": ("F32", [3, 320]), "logits.1": ("F32", [1, 320])}
        self.assertEqual(self.header(), both)
        self.succeeds(*self.command([[0, 5, 6]], "--generate", 4))
        self.assertEqual(
            self.header(),
            {
                "logits.0": ("F32", [3, 320]),
                "tokens.0": ("I32", [4]),
                "logprobs.0": ("F32", [4]),
                "generated_logits.0": ("F32", [4, 320]),
            },
        )
        self.assertEqual(sorted(os.listdir(self.folder)), ["ids.json", "o"])

    def header(self):
        with open(self.path("o"), "rb") as file:
            data = file.read()
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + length])
        self.assertEqual(max(t["data_offsets"][1] for t in header.values()), len(data) - 8 - length)
        return {name: (t["dtype"], t["shape"]) for name, t in header.items()}


class EvalTokenizerTest(program.ProgramTest):
    def answers(self, *lines, code=0):
        question, answer = self.file("in", "".join(x + "\n" for x in lines)), self.path("out")
        done = program.run("eval", "tokenizer", program.TINY, "--in", question, "--out", answer)
        self.assertEqual(done.returncode, code, done.stderr)
        with open(answer, encoding="ascii") as file:
            return [json.loads(line) for line in file]

    def test_answers_line_by_line(self):
        ids, text, chat = self.answers(
            '{"text": "In the beginning"}',
            '{"ids": [0, 53, 1]}',
            '{"messages": [{"role": "user", "content": "<｜User｜>x"}]}',
        )
        self.assertEqual(ids["text"], "In the beginning")
        self.assertEqual("".join(text["steps"]) + text["tail"], text["text"])
        self.assertTrue(chat["rendered"].endswith("<｜User｜><｜User｜>x<｜Assistant｜>"))
        self.assertGreater(len(chat["served_ids"]), len(chat["ids"]))

    def test_bad_lines_are_answered_and_the_rest_goes_on(self):
        answers = self.answers("{", '{"text": "a"}', '{"messages": 5}', "", '{"ids": [0]}', code=1)
        self.assertEqual(["error" in answer for answer in answers], [1, 0, 1, 1, 0])

    def test_missing_files(self):
        command = ("eval", "tokenizer", program.TINY, "--out", self.path("o"), "--in")
        self.fails(program.USAGE, 1103, "nowhere", *command, "nowhere")
        self.fails(
            program.MODEL, 4005, "tokenizer.json",
            "eval", "tokenizer", V3, "--in", self.file("i", ""), "--out", self.path("o"),
        )


class MachineTest(program.ProgramTest):
    def test_a_level_this_machine_lacks(self):
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            flags = file.read()
        levels = {name: name for name in ("avx512_vnni", "avx512_bf16")}
        levels |= {"avx2_vnni": "avx_vnni", "avx512": "avx512f", "avx512_amx": "amx_int8"}
        lacking = [level for level, flag in levels.items() if flag not in flags]
        if not lacking:
            self.skipTest("this machine has every level")
        for level in lacking:
            self.fails(program.RESOURCE, 2001, f"level {level};", "run", "x", "--level", level)

    def test_tiles_that_the_kernel_refuses(self):
        level = "avx512_amx"
        facts = json.loads(program.run("version", "--json", preexec_fn=amx.refuse).stdout)
        self.assertNotIn(level, facts["levels"])
        if not amx.granted():
            self.skipTest("this machine's kernel grants none")
        command = ("run", "x", "--level", level)
        self.fails(program.RESOURCE, 2001, f"level {level};", *command, preexec_fn=amx.refuse)

    def test_too_little_address_space(self):
        if program.has_sanitizer():
            self.skipTest("sanitizers reserve terabytes of address space")

        def limited(mib):
            return lambda: resource.setrlimit(resource.RLIMIT_AS, (mib << 20, mib << 20))

        # The program and its libraries; below, it is the loader that says so.
        least = 32
        while program.run("version", preexec_fn=limited(least)).returncode != 0:
            least += 8
        command = ("run", "x", "--threads", 2, "--max-tokens", 2)
        for more in (0, 32):
            self.fails(program.RESOURCE, 2002, "", *command, preexec_fn=limited(least + more))
        # Where it is a thread that does not come, one of several: no limit makes it end unsaid.
        for more in range(2, 72, 2):
            done = program.run(*command, preexec_fn=limited(least + more))
            self.assertIn(done.returncode, (program.OK, program.RESOURCE), done.stderr)
            if done.returncode != program.OK:
                self.assertEqual(program.FAULT.search(done.stderr.decode())[1], "2002")


if __name__ == "__main__":
    unittest.main()
