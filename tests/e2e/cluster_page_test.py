#!/usr/bin/env python3
"""The cluster page in a real headless browser, showing clusters that the test makes up.

The page comes from a real `troupe serve`; its answers of /cluster/status are replaced at the
network layer, by Playwright's routes. cluster_page_live_test.py shows a real cluster.
"""

import json
import math
import re
import unittest

from tests.support import grpc_client
from tests.support.made_up_cluster import BOARD, STATUS, MadeUpCluster, member
from tests.support.page_case import PageCase
from tests.support.poll_until import eventually

HOSTILE = "<img src=x onerror=\"alert('model')\"><script>alert('script')</script>"

# A point in a cell, in CSS pixels of the canvas and not its middle, and the colours inside of it.
CELL = """async ([status, layer, expert]) => {
    const { Cluster } = await import("/web/cluster_data.js");
    const { Places } = await import("/web/cluster_places.js");
    const cluster = new Cluster();
    cluster.take(status, 0);
    const canvas = document.getElementById("grid");
    const ratio = devicePixelRatio;
    const places = new Places(cluster, canvas.parentElement.clientWidth, ratio);
    const [x, y, width, height] = places.box(layer, expert);
    const [w, h] = [Math.max(1, width >> 1), Math.max(1, height >> 1)];
    const at = [x + (width - w >> 1), y + (height - h >> 1)];
    const { data } = canvas.getContext("2d").getImageData(...at, w, h);
    const colours = new Set();
    for (let i = 0; i < data.length; i += 4) colours.add(data.slice(i, i + 3).join());
    const place = { x: (x + 0.75 * width) / ratio, y: (y + 0.75 * height) / ratio };
    return { ...place, colours: [...colours] };
}"""

# What cluster_data.js makes of answers that come at the given seconds.
TAKE = """async (answers) => {
    const { Cluster } = await import("/web/cluster_data.js");
    const cluster = new Cluster();
    return answers.map(([now, status]) => {
        cluster.take(status, now);
        const { rates, totals, states, measured } = cluster;
        const imbalance = cluster.imbalance("rates");
        const layer = cluster.imbalance("rates", 0);
        return { rates: [...rates], totals: [...totals], states, measured, imbalance, layer };
    });
}"""

# Counts requests as they are made; a route hears of them later.
COUNT_REQUESTS = """{ const send = window.fetch; window.asked = 0;
    window.fetch = (...words) => { ++window.asked; return send(...words); }; }"""
HIDE = """(hidden) => {
    Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange")); }"""


def counting(page):
    """The clock stands until the test moves it, and window.asked counts requests."""
    page.add_init_script(COUNT_REQUESTS)
    page.clock.install(time=0)
    page.clock.pause_at(1)


class ClusterPageCase(PageCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.served = grpc_client.Served()
        cls.addClassCleanup(cls.served.stop)

    def open(self, cluster, ready=BOARD, prepare=lambda page: None, **options):
        """The page of a cluster that is made up."""

        def serve(page):
            cluster.serve_to(page)
            prepare(page)

        url = self.served.url + "/cluster"
        return self.open_page(url, ready=ready, prepare=serve, **options)

    def cell(self, page, cluster, layer, expert):
        """A point in it on the screen, and its colours; `layer` is a number, not an id."""
        found = page.evaluate(CELL, [cluster.status, layer, expert])
        box = page.locator("#grid").bounding_box()
        return box["x"] + found["x"], box["y"] + found["y"], found["colours"]


class ClusterPageTest(ClusterPageCase):
    def test_shows_the_figures_of_a_cluster(self):
        cluster = MadeUpCluster()
        cluster.compute(lambda layer, expert: 10 * (expert + 1))
        page = self.open(cluster)
        self.shows(page, model="made-up", serving="Serving", uncovered="all experts covered",
                   epoch="7", term="director's term 2", ranks_active="4 of 4",
                   silent="active, all answer", total="4,080", pairs="0.0", imbalance="–",
                   scale="no load", extent="3 layers of 16 experts, 4 per token")
        page.click("#totals")
        of_ranks = [100, 260, 420, 580]  # in each layer
        imbalance = f"{max(of_ranks) * 4 / sum(of_ranks):.2f} ×"
        self.shows(page, imbalance=imbalance, scale="160 pairs, the busiest cell of the grid")
        self.assertEqual(page.get_attribute("#totals", "aria-pressed"), "true")
        cards = page.locator("#ranks > li").all_inner_texts()
        self.assertEqual([card.split("\n") for card in cards], [
            [f"Rank {rank}", "ACTIVE", f"{100 * pairs / 1360:.1f} % · {3 * pairs:,} pairs",
             f"experts {4 * rank}–{4 * rank + 3} · 0 rows queued"]
            for rank, pairs in enumerate(of_ranks)])
        rows = page.locator("#members tr").all_inner_texts()
        self.assertEqual([row.split("\t") for row in rows], [
            [role, index, "ACTIVE", "0", "0.1 s", "1.2.3"]
            for role, index in (("gateway", "7"), ("attention", "0"), ("router", "0"))])

    def test_the_busier_a_cell_the_further_its_colour_goes(self):
        cluster = MadeUpCluster()
        cluster.compute(lambda layer, expert: expert if layer == 0 else 0)
        page = self.open(cluster, color_scheme="light")
        page.click("#totals")
        self.shows(page, scale="15 pairs, the busiest cell of the grid")
        colours = [self.cell(page, cluster, 0, expert)[2] for expert in range(16)]
        self.assertEqual([len(all_of_cell) for all_of_cell in colours], [1] * 16)
        light = [sum(map(int, one.split(","))) for [one] in colours]
        self.assertEqual(light, sorted(light, reverse=True))
        self.assertEqual(len(set(light)), 16)
        self.assertEqual(self.cell(page, cluster, 2, 15)[2], colours[0], "as one without load")

    def test_rates_grow_and_fade(self):
        cluster = MadeUpCluster()
        page = self.open(cluster)
        self.shows(page, pairs="0.0", tokens="0.0 tokens/s")
        cluster.compute(lambda layer, expert: 100)
        self.shows(page, total="4,800", pairs=re.compile(r"^[1-9][\d,]+$"), imbalance="1.00 ×",
                   tokens=re.compile(r"^[1-9][\d,]* tokens/s$"),
                   scale=re.compile(r"^[\d.]+K? pairs/s, the busiest cell of the grid$"))
        self.shows(page, total="4,800", pairs="0.0", scale="no load")

    def test_experts_that_no_rank_holds_are_hatched_and_named(self):
        cluster = MadeUpCluster()
        page = self.open(cluster)
        self.shows(page, uncovered="all experts covered")
        cluster.lose(2)
        self.shows(page, serving="Not serving", uncovered="experts 8–11 uncovered",
                   ranks_active="3 of 4", silent="active; no figures of 2")
        self.assertGreater(len(self.cell(page, cluster, 1, 8)[2]), 1, "a pattern")
        self.assertEqual(len(self.cell(page, cluster, 1, 7)[2]), 1)
        self.assertIn("Rank 2\nLOST\nno figures", page.inner_text("#ranks > li:nth-child(3)"))
        page.focus("#grid")
        page.keyboard.press("End")
        for _ in range(4):
            page.keyboard.press("ArrowLeft")
        said = "Layer 1, expert 11: uncovered: no rank holds it, rank 2 LOST"
        self.shows(page, status=said, cell_ranks="rank 2 LOST", cell_replicas="0",
                   cell_total="–")
        cluster.expert(2).update(state="LOADING", load_progress=0.25)
        self.browser.expect(page, "#ranks > li:nth-child(3) .figures >> nth=0",
                            "25.0 % of its weights read")
        self.shows(page, uncovered="experts 8–11 uncovered")
        cluster.status = MadeUpCluster().status
        self.shows(page, serving="Serving", uncovered="all experts covered", cell_replicas="1")
        self.assertEqual(len(self.cell(page, cluster, 1, 8)[2]), 1)

    def test_a_rank_that_says_nothing_is_not_called_uncovered(self):
        cluster = MadeUpCluster()
        cluster.silence(1)
        page = self.open(cluster)
        self.shows(page, uncovered="all experts covered", silent="active; no figures of 1")
        self.assertGreater(len(self.cell(page, cluster, 0, 4)[2]), 1, "a pattern")
        page.focus("#grid")
        for _ in range(4):
            page.keyboard.press("ArrowRight")
        self.shows(page, status="Layer 1, expert 4: no figures, rank 1 ACTIVE")

    def test_a_rank_that_never_came_is_absent(self):
        cluster = MadeUpCluster()
        cluster.silence(3)
        cluster.status["members"].remove(cluster.expert(3))
        page = self.open(cluster)
        self.shows(page, uncovered="experts 12–15 uncovered", ranks_active="3 of 4")
        self.assertIn("Rank 3\nABSENT", page.inner_text("#ranks > li:nth-child(4)"))

    def test_details_stay_where_they_were_pinned(self):
        cluster = MadeUpCluster(layers=(3, 5), experts=8, ranks=2)
        cluster.compute(lambda layer, expert: 100 * layer + expert)
        page = self.open(cluster)
        page.click("#totals")
        x, y, _ = self.cell(page, cluster, 1, 6)
        page.mouse.move(x, y)
        self.shows(page, cell_title="Layer 5, expert 6", cell_ranks="rank 1 ACTIVE",
                   cell_replicas="1", cell_rate="0.0", cell_total="106", cell_even="even: 12.5 %",
                   cell_share=f"{100 * 106 / 828:.1f} %", cell_layer=f"{422 * 2 / 828:.2f} ×")
        page.mouse.click(x, y)
        x, y, _ = self.cell(page, cluster, 0, 0)
        page.mouse.move(x, y)
        self.shows(page, pointed="Layer 3, expert 0: 0 pairs, rank 0 ACTIVE",
                   cell_title="Layer 5, expert 6")
        page.mouse.move(1, 1)
        self.shows(page, pointed="", cell_title="Layer 5, expert 6")
        page.click("#unpin")
        page.mouse.click(x, y)
        self.shows(page, cell_title="Layer 3, expert 0")

    def test_keys_reach_every_cell_and_pin_it(self):
        page = self.open(MadeUpCluster())
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")  # the link that skips what stands before
        self.assertEqual(page.evaluate("document.activeElement.id"), "grid")
        cells = (("ArrowUp", 1, 0), ("ArrowLeft", 1, 0), ("ArrowDown", 2, 0), ("End", 2, 15),
                 ("ArrowRight", 2, 15), ("ArrowDown", 3, 15), ("ArrowDown", 3, 15),
                 ("ArrowLeft", 3, 14), ("Home", 3, 0), ("ArrowRight", 3, 1))
        for key, layer, expert in cells:
            page.keyboard.press(key)
            said = re.compile(f"^Layer {layer}, expert {expert}: ")
            self.shows(page, status=said, cell_title=f"Layer {layer}, expert {expert}")
        self.assertFalse(page.is_visible("#unpin"))
        page.keyboard.press("Enter")
        page.wait_for_selector("#unpin")
        page.keyboard.press("ArrowRight")
        self.shows(page, cell_title="Layer 3, expert 1", pointed=re.compile("^Layer 3, expert 2:"))
        page.keyboard.press("Escape")
        self.shows(page, cell_title="Layer 3, expert 2")
        page.keyboard.press("Tab")
        page.wait_for_selector("#cell", state="hidden")
        self.assertTrue(page.is_visible("#grid-keys"))

    def test_large_grids_fit_and_every_cell_can_be_pointed_at(self):
        for layers, experts, ranks in ((58, 256, 16), (61, 384, 64)):
            cluster = MadeUpCluster(range(3, 3 + layers), experts, ranks)
            cluster.compute(lambda layer, expert: 1)
            for wide in (True, False):
                with self.subTest(experts=experts, wide=wide):
                    page = self.open(cluster, wide=wide, device_scale_factor=2)
                    page.click("#totals")
                    self.shows(page, scale=re.compile("^1 pair, "), total=f"{layers * experts:,}")
                    fits = "document.documentElement.scrollWidth <= innerWidth"
                    self.assertTrue(page.evaluate(fits), "nothing stands out at the side")
                    sharp = "(g => g.width / g.clientWidth)(document.getElementById('grid'))"
                    self.assertEqual(page.evaluate(sharp), 2, "pixels of the device")
                    for layer in (0, layers // 2, layers - 1):
                        for expert in (0, 1, experts // 2 - 1, experts - 1):
                            self.check_place(page, cluster, layer, expert)

    def check_place(self, page, cluster, layer, expert):
        page.locator("#grid").scroll_into_view_if_needed()
        x, y, colours = self.cell(page, cluster, layer, expert)
        if y < 80 or y > 780:  # under the header, or below the screen
            page.evaluate("far => scrollBy(0, far)", y - 400)
            x, y, colours = self.cell(page, cluster, layer, expert)
        page.mouse.move(x, y)
        self.shows(page, cell_title=f"Layer {layer + 3}, expert {expert}")
        self.assertEqual(len(colours), 1)

    def test_a_hostile_name_of_the_model_stays_text(self):
        cluster = MadeUpCluster()
        cluster.status["model"] = HOSTILE
        cluster.status["members"][0]["version"] = HOSTILE
        page = self.open(cluster)
        self.shows(page, model=HOSTILE)
        self.assertIn(HOSTILE, page.inner_text("#members"))
        for tag in ("#board img", "header.top img[src=x]", "body script"):
            self.assertEqual(page.locator(tag).count(), 0, tag)

    def test_chat_and_cluster_lead_to_each_other_and_share_the_theme(self):
        page = self.open(MadeUpCluster(), color_scheme="light")
        ground = "getComputedStyle(document.querySelector('.top')).backgroundColor"
        cell = self.cell(page, MadeUpCluster(), 0, 0)[2]
        light = page.evaluate(ground)
        page.click("#theme")
        page.click("#theme")
        self.assertEqual(page.get_attribute("#theme", "aria-label"), "Theme: dark")
        self.assertNotEqual(page.evaluate(ground), light)
        page.reload()
        page.wait_for_selector(BOARD)
        self.shows(page, scale="no load")
        self.assertNotEqual(self.cell(page, MadeUpCluster(), 0, 0)[2], cell)
        page.click("a[aria-label='Chat']")
        page.wait_for_selector("#theme[aria-label='Theme: dark']")
        page.click("a[aria-label='Cluster']")
        page.wait_for_selector(BOARD)


class TroubleTest(ClusterPageCase):
    def test_a_key_is_asked_for_sent_and_kept(self):
        cluster = MadeUpCluster()
        cluster.key = "right"
        page = self.open(cluster, ready="#key-form:not([hidden])")
        self.shows(page, notice=re.compile(r"^There is no key\. .* every 5 s\.$"))
        self.assertFalse(page.is_visible("#board"))
        page.evaluate("localStorage['troupe.settings'] = JSON.stringify({ seed: '7' })")
        page.fill("#api_key", "wrong")
        page.keyboard.press("Enter")
        self.shows(page, notice=re.compile(r"^The key may not\."))
        page.fill("#api_key", "right")
        page.click("#key-form button")
        page.wait_for_selector(BOARD)
        page.wait_for_selector("#key-form", state="hidden")
        self.shows(page, notice="")
        self.assertEqual({*cluster.asked}, {"", "wrong", "right"})
        kept = page.evaluate("JSON.parse(localStorage['troupe.settings'])")
        self.assertEqual((kept["api_key"], kept["seed"]), ("right", "7"))
        page.reload()
        page.wait_for_selector(BOARD)

    def test_the_last_picture_stays_while_the_gateway_refuses_or_is_gone(self):
        cluster = MadeUpCluster()
        cluster.compute(lambda layer, expert: 1)
        page = self.open(cluster)
        cluster.refusal = (503, "No director answers.")
        told = r"^No director answers\. What is shown is of \d\d:\d\d:\d\d\. .* every 5 s\.$"
        self.shows(page, notice=re.compile(told))
        self.assertEqual(page.locator("#board.stale").count(), 1)
        self.assertEqual(page.inner_text("#total"), "48")
        page.unroute(STATUS)
        page.route(STATUS, lambda route: route.abort("connectionrefused"))
        self.shows(page, notice=re.compile("^The gateway does not answer"))
        page.unroute(STATUS)
        cluster.refusal = None
        cluster.status["epoch"] = 8
        cluster.serve_to(page)
        self.shows(page, epoch="8", notice="")
        self.assertEqual(page.locator("#board.stale").count(), 0)

    def asked(self, page):
        return page.evaluate("window.asked")

    def failing(self, cluster):
        """A page that waits to ask again after a failure."""
        page = self.open(cluster, prepare=counting)
        cluster.refusal = (503, "No director answers.")
        page.clock.run_for(1000)
        self.shows(page, notice=re.compile("^No director answers"))
        return page

    def test_asks_less_often_while_it_fails(self):
        cluster = MadeUpCluster()
        page = self.failing(cluster)
        before = self.asked(page)
        page.clock.run_for(4999)
        self.assertEqual(self.asked(page), before)
        cluster.refusal = None
        page.clock.run_for(1)
        self.assertEqual(self.asked(page), before + 1)
        self.shows(page, notice="")
        page.clock.run_for(999)
        self.assertEqual(self.asked(page), before + 1)
        page.clock.run_for(1)
        self.assertEqual(self.asked(page), before + 2)

    def test_asks_nothing_while_nobody_looks(self):
        cluster = MadeUpCluster()
        page = self.failing(cluster)
        before = self.asked(page)
        page.evaluate(HIDE, True)
        page.clock.run_for(60000)
        self.assertEqual(self.asked(page), before)
        cluster.refusal = None
        page.evaluate(HIDE, False)
        self.assertEqual(self.asked(page), before + 1)
        self.shows(page, notice="")

    def test_asks_one_at_a_time(self):
        cluster, held = MadeUpCluster(), []

        def hold(page):
            counting(page)
            page.unroute(STATUS)
            page.route(STATUS, lambda route: held.append(route))

        page = self.open(cluster, ready="#waiting", prepare=hold)
        page.clock.run_for(9998)
        page.evaluate(HIDE, False)  # as if the user came back
        self.assertEqual(self.asked(page), 1)
        self.assertEqual(page.inner_text("#notice"), "")
        page.clock.run_for(2)  # a gateway that says nothing for 10 s
        self.shows(page, notice=re.compile("^The gateway does not answer"))
        page.clock.run_for(1)
        self.assertEqual(self.asked(page), 2, "it was asked to while one was under way")
        # A call of Playwright lets it hear of requests.
        eventually(lambda: page.title() and len(held) == 2, "both requests are out")
        held[1].fulfill(status=200, body=json.dumps(cluster.status))
        page.wait_for_selector(BOARD)


class ClusterDataTest(ClusterPageCase):
    """cluster_data.js alone, in the browser."""

    def take(self, *answers):
        """What comes of (second, cluster's status), each."""
        page = self.open(MadeUpCluster())
        return page.evaluate(TAKE, [[now, status] for now, status in answers])

    def test_rates_are_of_the_time_between_two_answers_smoothed(self):
        cluster = MadeUpCluster(layers=(1,), experts=2, ranks=2)
        answers = [(10.0, cluster.copy())]
        for now, pairs in ((12.0, (40, 20)), (13.0, (0, 20))):
            cluster.compute(lambda layer, expert, pairs=pairs: pairs[expert])
            answers.append((now, cluster.copy()))
        first, second, third = self.take(*answers)
        self.assertEqual((first["rates"], first["measured"]), ([0, 0], False))
        self.assertEqual((second["rates"], second["measured"]), ([20, 10], True))
        self.assertAlmostEqual(second["imbalance"], 20 * 2 / 30)
        left = math.exp(-1)  # of the old rate, after one second
        for rate, was, new in zip(third["rates"], (20, 10), (0, 20)):
            self.assertAlmostEqual(rate, new + left * (was - new))
        self.assertEqual(third["totals"], [40, 40])

    def test_counts_that_fell_count_from_0(self):
        cluster = MadeUpCluster(layers=(1,), experts=4, ranks=2)
        cluster.compute(lambda layer, expert: 100)
        before = cluster.copy()
        cluster.compute(lambda layer, expert: 6)
        cluster.pairs(0)[0][:] = [104, 8]  # began anew: the first grew beyond what it was
        _, after = self.take((0, before), (2, cluster.copy()))
        self.assertEqual(after["rates"], [52, 4, 3, 3])
        self.assertEqual(after["totals"], [104, 8, 106, 106])

    def test_a_rank_that_was_silent_goes_on_from_what_it_said_last(self):
        cluster = MadeUpCluster(layers=(1,), experts=2, ranks=2)
        answers = [(0, cluster.copy())]
        cluster.compute(lambda layer, expert: 30)
        later = cluster.copy()
        cluster.silence(1)
        answers += [(1, cluster.copy()), (3, later)]
        _, silent, back = self.take(*answers)
        self.assertEqual(silent["states"], ["known", "silent"])
        self.assertEqual((silent["rates"], silent["totals"]), ([30, 0], [30, 0]))
        self.assertEqual(back["rates"][1], 10)

    def test_what_several_ranks_hold_is_the_sum(self):
        cluster = MadeUpCluster(layers=(1, 2), experts=4, ranks=2)
        load = {"rank": 2, "first": 1, "count": 2, "pairs": [[1, 2], [3, 4]]}
        cluster.status["loads"].append(load)
        cluster.status["members"].append(member("expert", 2, experts=(1, 3)))
        before = cluster.copy()
        cluster.compute(lambda layer, expert: 10)
        _, after = self.take((0, before), (1, cluster.copy()))
        self.assertEqual(after["rates"], [10, 20, 20, 10] * 2)
        self.assertEqual(after["totals"], [10, 21, 22, 10, 10, 23, 24, 10])
        self.assertEqual((after["imbalance"], after["layer"]), (1, 1))
        cluster.lose(0)
        [lost] = self.take((0, cluster.copy()))
        self.assertEqual(lost["states"], ["uncovered", "known", "known", "known"])


if __name__ == "__main__":
    unittest.main()
