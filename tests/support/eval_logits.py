"""Runs `troupe eval logits` and gives back what it wrote."""

import json
import os
import subprocess
import tempfile

from tests.support import safetensors
from tests.support.patience import patient

TIMEOUT_S = patient(600)


class EvalFailed(Exception):
    """The program ended with another code than 0; `code` and `output` tell."""

    def __init__(self, command, code, output):
        super().__init__(f"exit {code}: {' '.join(command)}\n{output}")
        self.code, self.output = code, output


def troupe_program():
    """The program under test."""
    return os.environ["TROUPE_BIN"]


def vocabulary(model):
    """One past the highest id that is a token; logits beyond are of none."""
    with open(os.path.join(model, "tokenizer.json"), encoding="utf-8") as file:
        tokenizer = json.load(file)
    highest = max(tokenizer["model"]["vocab"].values())
    return 1 + max([highest] + [token["id"] for token in tokenizer["added_tokens"]])


def eval_logits(model, sequences, options=(), timeout_s=TIMEOUT_S):
    """Name -> array of the answers to `sequences` (lists of token ids), one request each. A link
    that does not take the lane that was asked for is a failure."""
    with tempfile.TemporaryDirectory(prefix="troupe-eval-") as folder:
        ids_file, out_file = os.path.join(folder, "ids.json"), os.path.join(
            folder, "out.safetensors"
        )
        with open(ids_file, "w", encoding="utf-8") as file:
            json.dump([[int(token) for token in tokens] for tokens in sequences], file)
        command = [troupe_program(), "eval", "logits", model, "--ids-file", ids_file]
        command += ["--out", out_file, *map(str, options)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        if done.returncode != 0:
            raise EvalFailed(command, done.returncode, done.stdout + done.stderr)
        if "link_fell_back" in done.stderr:
            raise EvalFailed(command, 0, done.stderr)
        return safetensors.read(out_file)
