#!/usr/bin/env python3
"""The cluster page in a real headless browser, showing a real `troupe up --experts 4`."""

import os
import signal
import unittest

from tests.support import grpc_client as client
from tests.support import ops
from tests.support.grpc_client import request
from tests.support.made_up_cluster import BOARD
from tests.support.page_case import PageCase
from tests.support.up_cluster import ACTIVE, ROLES, Up

ASKED = {"text": "In the beginning God created", "temperature": 0, "max_tokens": 64}
LAYERS, EXPERTS, PER_TOKEN = 4, 32, 4  # of the bundled model
RANKS = 4
COMPUTED = "troupe_expert_rank_tokens_total"


class LivePageTest(PageCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.up = Up("--experts", RANKS)
        cls.addClassCleanup(cls.up.stop)

    def computed(self):
        """Pairs of each rank, as its own metrics say."""
        ranks = {
            member.index: member.ops_address
            for member in self.up.status().members
            if member.role == ROLES["expert"] and member.state == ACTIVE
        }
        return {rank: int(sum(ops.values(at, COMPUTED, {}))) for rank, at in ranks.items()}

    def shows_what_was_computed(self, page):
        """What the page says about totals is what the ranks say; gives those back."""
        computed = self.computed()
        self.shows(page, total=f"{sum(computed.values()):,}")
        cards = page.locator("#ranks > li").all_inner_texts()
        for rank, pairs in computed.items():
            self.assertIn(f" · {pairs:,} pairs\n", cards[rank])
        return computed

    def test_shows_what_ranks_compute_and_a_rank_that_dies(self):
        page = self.open_page(f"http://{self.up.http_address}/cluster", ready=BOARD)
        page.click("#totals")
        served = {"serving": "Serving", "uncovered": "all experts covered",
                  "ranks_active": "4 of 4"}
        extent = f"{LAYERS} layers of {EXPERTS} experts, {PER_TOKEN} per token"
        self.shows(page, **served, extent=extent)
        roles = page.locator("#members td:first-child").all_inner_texts()
        self.assertEqual(sorted(roles), ["attention", "gateway", "router"])

        before = self.shows_what_was_computed(page)
        joined = client.stream(self.up, request(**ASKED))
        after = self.shows_what_was_computed(page)
        rows = joined.finished.usage.prompt_tokens + len(joined.ids) - 1  # the last is not read
        sampled = len(joined.ids)  # the last layer goes on with the rows that these are drawn from
        pairs = (rows * (LAYERS - 1) + sampled) * PER_TOKEN
        self.assertEqual(sum(after.values()) - sum(before.values()), pairs)

        held = range(2 * EXPERTS // RANKS, 3 * EXPERTS // RANKS)  # of rank 2
        os.kill(self.up.process.pid, signal.SIGSTOP)  # so that nothing is started again yet
        try:
            os.kill(self.up.pid("expert", 2), signal.SIGKILL)
            uncovered = f"experts {held.start}–{held.stop - 1} uncovered"
            self.shows(page, serving="Not serving", uncovered=uncovered, ranks_active="3 of 4")
            self.assertIn("Rank 2\nLOST\n", page.inner_text("#ranks > li:nth-child(3)"))
        finally:
            os.kill(self.up.process.pid, signal.SIGCONT)
        self.shows(page, **served)
        self.assertEqual(client.stream(self.up, request(**ASKED)).ids, joined.ids)
        again = self.shows_what_was_computed(page)
        self.assertLessEqual(again[2], after[2] - before[2], "its process began anew")
        self.assertGreater(again[1], after[1])


if __name__ == "__main__":
    unittest.main()
