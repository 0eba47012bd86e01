#!/usr/bin/env python3
"""Shows that the golden check can fail: makes known mistakes and expects each to be caught.

    mutate.py checkpoint     one bit of a weight, a scale, a bias; fields of config.json
    mutate.py source         mistakes in the C++ sources of a copy of the tree, rebuilt each time
    mutate.py places         whether these mistakes can still be made: each text stands where it did
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile

from tests.support import requirement

requirement.require_numpy()

import numpy as np  # noqa: E402

from tests.e2e import golden_check  # noqa: E402
from tests.mutation import mutations  # noqa: E402
from tests.support import eval_logits, safetensors  # noqa: E402

SOURCE_DIR = os.environ["TROUPE_SOURCE_DIR"]
SEED = 20241226
MODE = "f32"  # the mode that finds small mistakes
NAN_CODES = (0x7F, 0xFF)  # of e4m3: refused when weights are loaded


class MutationError(Exception):
    """The mutation itself is wrong: its place is no longer there."""


def preset_of(name):
    return golden_check.Preset(os.path.join(SOURCE_DIR, "tests", "goldens", name))


def verdict(preset, model=None, options=()):
    """What the golden check says: '' when all is well."""
    try:
        out = golden_check.run(preset, MODE, model, options)
    except eval_logits.EvalFailed as failed:
        return f"exit {failed.code}: {failed.output.strip()}"
    with np.errstate(all="ignore"):
        found = golden_check.problems(preset, MODE, out)
    return found[0] if found else ""


def routed_place(preset):
    """(layer, expert) that the golden sequence s17 is routed to."""
    layer = next(i for i in range(100) if f"s17.router.{i}.ids" in preset.arrays)
    return layer, int(np.bincount(preset.arrays[f"s17.router.{layer}.ids"].ravel()).argmax())


def shard_with(model, tensor):
    for name in sorted(os.listdir(model)):
        if name.endswith(".safetensors"):
            path = os.path.join(model, name)
            if tensor in safetensors.read_header(path)[0]:
                return path
    raise MutationError(f"no tensor {tensor} in {model}")


def element_to_flip(mutation, path, tensor, expert):
    """A seeded element of middling size: neither nothing nor an outlier, and no NaN afterwards."""
    codes = safetensors.read(path)[tensor].ravel()
    if tensor.endswith("e_score_correction_bias"):
        return expert
    bits = 8 * (codes.dtype.itemsize - 1)
    unsigned = codes.view({1: np.uint8, 2: np.uint16, 4: np.uint32}[codes.dtype.itemsize])
    magnitude = unsigned & np.array((0x80 << bits) - 1, unsigned.dtype)
    after = unsigned ^ np.array(mutation.mask << bits, unsigned.dtype)
    order = np.argsort(magnitude, kind="stable")
    if codes.dtype == np.uint8:
        order = order[~np.isin(after[order], NAN_CODES)]
    middling = order[len(order) // 2 : max(len(order) * 9 // 10, len(order) // 2 + 1)]
    if len(middling) == 0:
        raise MutationError(f"{tensor}: nothing to flip")
    return int(random.Random(f"{SEED} {mutation.name}").choice(list(middling)))


def flip_bit(mutation, preset, model):
    layer, expert = routed_place(preset)
    tensor = mutation.tensor.format(layer=layer, expert=expert)
    path = shard_with(model, tensor)
    index = element_to_flip(mutation, path, tensor, expert)
    safetensors.flip_bits(path, tensor, index, mutation.mask)
    return f"{tensor}[{index}]"


def change_config(mutation, model):
    path = os.path.join(model, "config.json")
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    for key, value in mutation.values.items():
        place = config
        *parents, last = key.split(".")
        for parent in parents:
            place = place[parent]
        if last not in place or place[last] == value:
            raise MutationError(f"{mutation.preset}: {key} is missing or already {value}")
        place[last] = value
    with open(path, "w", encoding="utf-8") as file:
        json.dump(config, file)
    return ", ".join(mutation.values)


def caught(name, preset_name, said):
    print(f"{'caught' if said else 'MISSED'}: {name} ({preset_name}): {said}", flush=True)
    return bool(said)


def checkpoint_mutations():
    """Number of mutations that nobody noticed."""
    missed = 0
    for mutation in (*mutations.BITS, *mutations.CONFIGS):
        preset = preset_of(mutation.preset)
        with tempfile.TemporaryDirectory(prefix="troupe-mutation-") as folder:
            model = os.path.join(folder, "model")
            shutil.copytree(preset.model, model)
            for name in os.listdir(model):
                os.chmod(os.path.join(model, name), 0o644)
            if isinstance(mutation, mutations.ConfigMutation):
                change_config(mutation, model)
                place = ""
            else:
                place = flip_bit(mutation, preset, model)
            said = verdict(preset, model)
            # A refusal says nothing about the numbers, unless it names what was damaged or says
            # that they overflowed.
            named = place and place.split("[")[0] in said
            if said.startswith("exit") and not named and "logits are NaN or infinite" not in said:
                print(f"unexpected: {mutation.name}: {said}")
                said = ""
            missed += not caught(f"{mutation.name} {place}".strip(), mutation.preset, said)
    return missed


def edited(path, edits):
    """The text of a file, and what `edits` make of it."""
    with open(path, encoding="utf-8") as file:
        before = after = file.read()
    for search, replace in edits:
        if before.count(search) != 1:
            raise MutationError(f"{path}: '{search}' stands {before.count(search)} times, not once")
        after = after.replace(search, replace)
    return before, after


def lost_places():
    """Number of source mutations that the sources have moved away from."""
    lost = 0
    for mutation in mutations.SOURCES:
        try:
            edited(os.path.join(SOURCE_DIR, mutation.file), mutation.edits)
        except MutationError as error:
            lost += 1
            print(f"{mutation.name}: {error}")
    print(f"{lost} of {len(mutations.SOURCES)} mutations have lost their place")
    return lost


def edit(path, edits):
    """Applies `edits`; gives back the text as it was."""
    before, after = edited(path, edits)
    with open(path, "w", encoding="utf-8") as file:
        file.write(after)
    return before


def copy_tree(target):
    listing = subprocess.run(
        ["git", "-C", SOURCE_DIR, "ls-files", "-z"], capture_output=True, check=True
    )
    for name in listing.stdout.decode().split("\0"):
        if name and os.path.exists(os.path.join(SOURCE_DIR, name)):
            os.makedirs(os.path.join(target, os.path.dirname(name)), exist_ok=True)
            shutil.copy2(os.path.join(SOURCE_DIR, name), os.path.join(target, name))


def build(tree, folder):
    subprocess.run(
        ["cmake", "--build", folder, "--target", "troupe"],
        cwd=tree,
        check=True,
        capture_output=True,
    )


def source_mutations():
    """Number of mutations that nobody noticed; each rebuilds the program."""
    missed = 0
    with tempfile.TemporaryDirectory(prefix="troupe-mutation-") as folder:
        tree = os.path.join(folder, "tree")
        binary = os.path.join(tree, "build", "ci")
        copy_tree(tree)
        # As deploy/test.sh builds, so that ccache finds what was not changed.
        os.environ.update(CCACHE_BASEDIR=tree, CCACHE_NOHASHDIR="1")
        configure = ["cmake", "--preset", "ci", "-B", binary, "-DTROUPE_TESTS=OFF"]
        subprocess.run(configure, cwd=tree, check=True, capture_output=True)
        os.environ["TROUPE_BIN"] = os.path.join(binary, "troupe")
        for mutation in mutations.SOURCES:
            path = os.path.join(tree, mutation.file)
            before = edit(path, mutation.edits)
            build(tree, binary)
            for name in mutation.presets:
                missed += not caught(
                    mutation.name, name, verdict(preset_of(name), options=mutation.options)
                )
            with open(path, "w", encoding="utf-8") as file:
                file.write(before)
    return missed


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("checkpoint", "source", "places"))
    kind = parser.parse_args().kind
    if kind == "places":
        return 1 if lost_places() else 0
    for name in sorted({mutation.preset for mutation in mutations.BITS}):
        said = verdict(preset_of(name))
        if said:  # otherwise everything would look caught
            sys.exit(f"error: {name} fails before any mutation: {said}")
    missed = checkpoint_mutations() if kind == "checkpoint" else source_mutations()
    print(f"{missed} mutations missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
