#!/usr/bin/env python3
"""Fails when the tree breaks a rule of docs/style.md that a program can check.

    tidy.py [--root DIR] [--build DIR]     --build: also checks its compile_commands.json
"""

import argparse
import json
import os
import shlex
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))

from tests.tidy import rules  # noqa: E402

_SKIPPED_FOLDERS = {".git", "__pycache__", ".cache"}
_DATA = (".safetensors", ".jsonl", ".png", ".gz", ".bin")
_FORBIDDEN_FLAGS = ("-ffast-math", "-Ofast", "-funsafe-math-optimizations", "-fassociative-math")


def tracked_files(root):
    """Paths of the project's own files, relative to `root`."""
    listing = subprocess.run(
        ["git", "-C", root, "ls-files", "-z", "-co", "--exclude-standard"],
        capture_output=True,
        check=False,
    )
    if listing.returncode == 0:
        return sorted(set(listing.stdout.decode().split("\0")) - {""})
    found = []  # an unpacked archive has no git
    for folder, folders, names in os.walk(root):
        folders[:] = [
            f for f in folders if f not in _SKIPPED_FOLDERS and not f.startswith(("build", ".venv"))
        ]
        found += [os.path.relpath(os.path.join(folder, name), root) for name in names]
    return sorted(found)


def read_text(path):
    """The text of a file, or None for data."""
    if path.endswith(_DATA) or not os.path.isfile(path) or os.path.islink(path):
        return None
    with open(path, "rb") as file:
        data = file.read()
    try:
        return None if b"\0" in data[:4096] else data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def tree_problems(root):
    for path in tracked_files(root):
        text = read_text(os.path.join(root, path))
        if text:
            yield from rules.problems_of(path, text)


def compile_command_problems(entries):
    """Every C++ command must keep the canonical arithmetic (docs/adr/0001)."""
    if not entries:
        yield "compile_commands.json is empty"
    for entry in entries:
        words = entry.get("arguments") or shlex.split(entry["command"])
        name = os.path.basename(entry["file"])
        contract = [word for word in words if word.startswith("-ffp-contract=")]
        if contract[-1:] != ["-ffp-contract=off"]:
            yield f"{name}: compiled without -ffp-contract=off"
        for flag in _FORBIDDEN_FLAGS:
            if flag in words:
                yield f"{name}: compiled with {flag}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    here = os.path.dirname(os.path.abspath(__file__))
    parser.add_argument("--root", default=os.path.join(here, "..", ".."))
    parser.add_argument("--build", default="")
    arguments = parser.parse_args()
    problems = list(tree_problems(os.path.realpath(arguments.root)))
    if arguments.build:
        with open(os.path.join(arguments.build, "compile_commands.json"), encoding="utf-8") as file:
            problems += compile_command_problems(json.load(file))
    for problem in problems:
        print(problem)
    print(f"tidy: {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
