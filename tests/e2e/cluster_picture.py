#!/usr/bin/env python3
"""Makes docs/cluster_page.png: the cluster page of `troupe up --experts 4` under some load.

cluster_picture.py FILE, with TROUPE_BIN, TROUPE_SOURCE_DIR and PYTHONPATH as ctest sets them
"""

import sys

from tests.support import browser, program
from tests.support.grpc_client import request
from tests.support.made_up_cluster import BOARD
from tests.support.up_cluster import Load, Up

WIDTH, HEIGHT = 1200, 800
QUESTIONS = ("What is a lighthouse?", "What is a doctor?", "Write about the sea.",
             "In the beginning God created the heaven and the earth.")
PAIRS_MIN = 50000  # computed before the picture is taken


def pairs(page):
    return int(page.inner_text("#total").replace(",", ""))


def take(page, file):
    page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    while pairs(page) < PAIRS_MIN:
        page.wait_for_function("had => document.getElementById('total').textContent !== had",
                               arg=page.inner_text("#total"))
    page.focus("#grid")
    for key in ("ArrowDown", *["ArrowRight"] * 11, "Enter"):
        page.keyboard.press(key)
    page.wait_for_selector("#unpin")
    page.evaluate("document.activeElement.blur()")
    page.screenshot(path=file)


def main(file):
    up = Up("--experts", 4)
    window = browser.Browser(program.TIMEOUT_S)
    asked = [request(text=text, seed=seed, max_tokens=400, ignore_eos=True)
             for seed, text in enumerate(QUESTIONS)]
    loads = [Load(up, one, threads=1) for one in asked]
    try:
        url = f"http://{up.http_address}/cluster"
        take(window.open(url, ready=BOARD, color_scheme="light"), file)
    finally:
        for load in loads:
            load.stop()
        window.close()
        up.stop()


if __name__ == "__main__":
    main(sys.argv[1])
