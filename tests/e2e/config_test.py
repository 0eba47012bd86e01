#!/usr/bin/env python3
"""`troupe config`: what is said of a file, and which of flag, variable, file and default wins."""

import re
import unittest

from tests.support import program


class CheckTest(program.ProgramTest):
    def check_fails(self, content, fault, says):
        return self.fails(
            program.CONFIG, fault, says, "config", "check", self.file("c.yaml", content)
        )

    def test_a_good_file(self):
        path = self.file("c.yaml", "expert:\n  rank: 1\n  ranks: 2\n")
        self.assertEqual(self.succeeds("config", "check", path), f"{path}: ok\n")

    def test_names_file_line_key_and_nearest_key(self):
        message = self.check_fails("log:\n  levle: info\n", 3002, "Did you mean log.level?")
        self.assertIn(self.path("c.yaml") + ":2: ", message)
        self.check_fails("expert:\n  rank: one\n", 3003, ["expert.rank", ":2:", "whole number"])
        self.check_fails("expert:\n  rank: 1\n  rank: 1\n", 3004, ["line 2", ":3:"])
        self.check_fails("expert:\n  rank: 4\n", 3005, ["expert.rank", "expert.ranks"])
        self.check_fails("expert:\n\trank: 4\n", 3001, ["tab", ":2:"])
        self.check_fails(b"\xff\xfe\x00bytes", 3001, [":1:"])

    def test_a_file_that_is_not_there(self):
        self.fails(program.CONFIG, 3001, "nowhere.yaml", "config", "check", "nowhere.yaml")
        self.fails(program.CONFIG, 3001, self.folder, "config", "check", self.folder)
        self.fails(program.USAGE, 1004, "FILE", "config", "check")


class PrintTest(program.ProgramTest):
    def value(self, key, *flags, env=None):
        """(value, origin) of `key` in `troupe config print`; sections are folded in."""
        section = ""
        for line in self.succeeds("config", "print", *flags, env=env).splitlines():
            if not line.startswith(" "):
                section = line.rstrip(":")
            else:
                name, value, origin = re.fullmatch(r"  (\w+): (.*?) +# (.*)", line).groups()
                if f"{section}.{name}" == key:
                    return value, origin
        return None

    def test_defaults_are_a_file_that_changes_nothing(self):
        path = self.file("defaults.yaml", self.succeeds("config", "print-defaults"))
        self.succeeds("config", "check", path)
        values = [
            re.sub(" *#.*", "", text)
            for text in (
                self.succeeds("config", "print"),
                self.succeeds("config", "print", "--config", path),
            )
        ]
        self.assertEqual(*values)

    def test_flag_wins_over_variable_wins_over_file_wins_over_default(self):
        path = self.file("c.yaml", "expert:\n  ranks: 9\n")
        key, env = "expert.ranks", {"TROUPE_EXPERT_RANKS": "8"}
        self.assertEqual(self.value(key), ("1", "default"))
        self.assertEqual(self.value(key, "--config", path), ("9", f"file {path}:2"))
        self.assertEqual(
            self.value(key, env={"TROUPE_CONFIG": path}), ("9", f"file {path}:2"), "by variable"
        )
        self.assertEqual(
            self.value(key, "--config", path, env=env), ("8", "variable TROUPE_EXPERT_RANKS")
        )
        self.assertEqual(
            self.value(key, "--config", path, "--expert-ranks", "7", env=env),
            ("7", "flag --expert-ranks"),
        )

    def test_a_bad_flag_or_variable_is_no_fault_of_the_file(self):
        self.fails(program.USAGE, 1003, "--expert-rank", "config", "print", "--expert-rank", "x")
        env = {"TROUPE_EXPERT_RANK": "x"}
        self.fails(program.USAGE, 1006, "TROUPE_EXPERT_RANK", "config", "print", env=env)
        self.fails(
            program.USAGE, 1001, "Did you mean --expert-rank?", "config", "print", "--expert-rnk=1"
        )
        self.fails(
            program.CONFIG, 3005, "expert.ranks", "config", "print", "--expert-rank", "1"
        )


if __name__ == "__main__":
    unittest.main()
