#!/usr/bin/env python3
"""API keys among each other: none crowds out another, and none goes first beyond its priority."""

import threading
import unittest

from tests.support import openai_client as oai
from tests.support import ops, program
from tests.support.error_row_case import TEXT, RowTest, bearer, settings
from tests.support.grpc_client import request, unary
from tests.support.poll_until import eventually


class FairKeysTest(RowTest):
    FLOOD, POLITE = 8, 2  # requests of either
    # 33 pages of 64 each, of a cache with 64: one is computed after the other.
    PROMPT_TOKENS, KV_TOKENS = 2100, 4096

    def setUp(self):
        super().setUp()
        file = self.path("keys.txt")
        words = ("flooding", ()), ("polite", ()), ("bound", ("--priority-max", 3))
        self.keys = {name: self.succeeds("keys", "add", file, name, *flags).strip()
                     for name, flags in words}
        self.file_of_keys = file
        self.serve("--kv-tokens", self.KV_TOKENS, "--prefix-cache", "off",
                   *settings(f"gateway.api_keys_file={file}"))
        self.ended, self.lock = [], threading.Lock()

    def ask(self, name, number):
        """Notes whose it is once it has ended; no two prompts are alike."""
        options, _ = bearer(self.keys[name])
        body = {"prompt": [number] * self.PROMPT_TOKENS, "max_tokens": 1, "ignore_eos": True}
        answer = oai.ask(self.served.url, TEXT, body, **options)
        with self.lock:
            self.ended.append(name if answer.status == 200 else answer.body)

    def waiting(self):
        return ops.total([self.served.addresses["ops"]], "troupe_attention_sequences_waiting")

    def test_one_key_that_floods_does_not_hold_up_another(self):
        asked = request(ids=[4] * self.PROMPT_TOKENS, max_tokens=1900, ignore_eos=True)
        _, grpc_options = bearer(self.keys["flooding"])
        holder = self.served.inference.Generate(asked, **grpc_options)
        self.addCleanup(holder.cancel)
        while next(holder).WhichOneof("event") != "delta":
            pass
        threads = []
        for name, count in (("flooding", self.FLOOD), ("polite", self.POLITE)):
            for _ in range(count):
                threads.append(threading.Thread(target=self.ask, args=(name, 5 + len(threads))))
                threads[-1].start()
            # All of the flood were there first.
            eventually(lambda: self.waiting() == len(threads), "all of them wait")
        holder.cancel()
        for thread in threads:
            thread.join(program.TIMEOUT_S)
        self.assertEqual(self.ended.count("flooding"), self.FLOOD, self.ended)
        self.assertEqual(self.ended.count("polite"), self.POLITE, self.ended)
        # In turns at the least; the order of arrival would have them last.
        self.assertEqual(self.ended[:2 * self.POLITE].count("polite"), self.POLITE, self.ended)

    def test_a_priority_above_the_keys_bound_is_refused(self):
        http_options, grpc_options = bearer(self.keys["bound"])
        body = {"prompt": "a", "max_tokens": 1}
        told = self.over_http("insufficient_permissions", TEXT, {**body, "priority": 4},
                              **http_options)
        self.assertEqual(told.error["param"], "priority")
        self.assertIn("a priority of 3 at most, not 4", told.error["message"])
        chat = {"messages": [{"role": "user", "content": "a"}], "max_tokens": 1, "priority": 4}
        self.over_http("insufficient_permissions", "/v1/chat/completions", chat, **http_options)
        failed = self.over_grpc("insufficient_permissions",
                                request(text="a", max_tokens=1, priority=4), **grpc_options)
        self.assertEqual(failed.metadata["priority_max"], "3")
        self.assertIn("a priority of 3 at most, not 4", failed.message)

    def test_up_to_its_bound_and_without_one_a_key_is_served(self):
        for name, priorities in (("bound", (None, -1000000, 3)), ("polite", (1000000,))):
            http_options, grpc_options = bearer(self.keys[name])
            for priority in priorities:
                given = {} if priority is None else {"priority": priority}
                body = {"prompt": "a", "max_tokens": 1, **given}
                answer = oai.ask(self.served.url, TEXT, body, **http_options)
                self.assertEqual(answer.status, 200, answer.body)
                unary(self.served, request(text="a", max_tokens=1, **given), **grpc_options)

    def test_the_bound_is_listed_and_checked(self):
        listed = self.succeeds("keys", "list", self.file_of_keys)
        self.assertRegex(listed, r"(?m)^bound .* 3$")
        self.assertRegex(listed, r"(?m)^polite .* -$")
        self.fails(program.USAGE, 1003, "--priority-max", "keys", "add", self.file_of_keys, "c",
                   "--priority-max", "-1")


if __name__ == "__main__":
    unittest.main()
