#!/usr/bin/env python3
"""The chat page in a real headless browser, served and answered by a real `troupe serve`.

Two things are done at the network layer, by Playwright's routes: a long answer is made by adding
`ignore_eos` to the page's own request, which goes on to the gateway; and what no model here says
(scripts, thoughts, tool calls, errors in mid-answer) is a made-up answer of the gateway.
"""

import json
import re
import unittest
import urllib.error
import urllib.request

from tests.support import grpc_client, openai_client, program
from tests.support.page_case import PageCase

PAGES = ("/", "/cluster")
CHAT = "**/v1/chat/completions"
LENGTH = 2000  # two such answers and their questions fit the bundled model's 4096 positions
PROMPT = ("In the beginning God created the heaven and the earth. " * 8).strip()
LIGHTHOUSE = "a tower with a light that gives warning of shoals to passing ships."
HOSTILE = (
    "<script>alert('script')</script>\n\n<img src=x onerror=\"alert('image')\">\n\n"
    "[link](javascript:alert('link')) ![i](http://elsewhere.invalid/i.png)\n\n"
    "**bold** `<b>code</b>`\n\n```html\n"
    "<iframe srcdoc=\"<script>alert(1)</script>\"></iframe>\n```\n"
)


def events(*chunks, done=True):
    """A text/event-stream of chat chunks."""
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    return "".join(lines) + ("data: [DONE]\n\n" if done else "")


def delta(finish=None, **members):
    return {"choices": [{"index": 0, "delta": members, "finish_reason": finish}]}


def answer_with(page, body, status=200, content_type="text/event-stream", headers=None):
    """From now on the gateway answers `body`, whatever the page asks."""
    page.unroute(CHAT)
    page.route(
        CHAT,
        lambda route: route.fulfill(
            status=status, body=body, headers={"Content-Type": content_type, **(headers or {})}
        ),
    )


def answer_at_length(page):
    """From now on answers go on until somebody stops them."""

    def change(route):
        body = json.loads(route.request.post_data)
        route.continue_(post_data=json.dumps({**body, "ignore_eos": True, "max_tokens": LENGTH}))

    page.unroute(CHAT)
    page.route(CHAT, change)


class WebPageTest(PageCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.served = grpc_client.Served()
        cls.addClassCleanup(cls.served.stop)

    def open(self, url=None, **options):
        page = self.open_page((url or self.served.url) + "/", **options)
        page.click("#open-settings")
        page.fill("#temperature", "0")
        page.click("#settings button[value=save]")
        return page

    def ask(self, page, text, key="Enter"):
        page.fill("#question", text)
        page.press("#question", key)

    def last_answer(self, page):
        """Text of the last answer, once it is complete."""
        page.wait_for_selector(".message:last-child .foot > *")
        return page.inner_text(".message:last-child > .text")

    def test_chat_streams_an_answer_and_remembers(self):
        page = self.open()
        self.ask(page, "What is a lighthouse?")
        self.assertIn(LIGHTHOUSE, self.last_answer(page))
        figures = page.inner_text(".message:last-child .figures")
        self.assertRegex(figures, r"^\d+ tokens · first after [\d.]+ s · [\d.]+ tok/s$")
        with page.expect_request(CHAT) as asked:
            self.ask(page, "Again?")
        roles = [m["role"] for m in asked.value.post_data_json["messages"]]
        self.assertEqual(roles, ["user", "assistant", "user"])
        self.last_answer(page)
        page.reload()
        self.assertEqual(page.locator(".message").count(), 4)
        self.assertIn(LIGHTHOUSE, page.inner_text("#log"))

    def test_stop_by_key_and_by_button_keeps_what_came(self):
        page = self.open()
        answer_at_length(page)
        for stop in (lambda: page.keyboard.press("Escape"), lambda: page.click("#stop")):
            self.ask(page, "What is a doctor?")
            self.browser.expect(page, "#live", re.compile(r" tok/s$"))
            self.assertFalse(page.is_visible("#send"))
            stop()
            text = self.last_answer(page)
            self.assertTrue(text)
            self.assertRegex(page.inner_text(".message:last-child .figures"), r"^stopped · \d+ tok")
            self.assertTrue(page.is_visible("#send"))
        self.assertEqual(page.inner_text("#status"), "The answer was stopped.")

    def test_regenerate_asks_the_same_again(self):
        page = self.open()
        self.ask(page, "What is a lighthouse?")
        first = self.last_answer(page)
        with page.expect_request(CHAT) as asked:
            page.click("button[aria-label='Regenerate the answer']")
        self.assertEqual(len(asked.value.post_data_json["messages"]), 1)
        self.assertEqual(self.last_answer(page), first)
        self.assertEqual(page.locator(".message").count(), 2)

    def test_settings_reach_the_gateway_and_bad_ones_do_not(self):
        page = self.open()
        page.click("#open-settings")
        for field, value in (("temperature", "3"), ("seed", "-1"), ("max_tokens", "1.5")):
            before = page.input_value(f"#{field}")
            page.fill(f"#{field}", value)
            page.click("#settings button[value=save]")
            self.assertTrue(page.is_visible("#settings"), field)  # the browser shows what is wrong
            page.fill(f"#{field}", before)
        fields = {"temperature": "0.5", "top_p": "0.9", "max_tokens": "3", "seed": "7"}
        for field, value in fields.items():
            page.fill(f"#{field}", value)
        page.fill("#system", "Be brief.")
        page.fill("#api_key", "secret")
        page.click("#settings button[value=save]")
        with page.expect_request(CHAT) as asked:
            self.ask(page, "What is a lighthouse?")
        body = asked.value.post_data_json
        for field, value in fields.items():
            self.assertEqual(body[field], float(value))
        self.assertEqual(body["messages"][0], {"role": "system", "content": "Be brief."})
        self.assertEqual(asked.value.headers["authorization"], "Bearer secret")
        self.last_answer(page)
        self.assertIn("cut at the token limit", page.inner_text(".message:last-child .figures"))

    def test_an_error_of_the_gateway_is_shown_with_its_next_step(self):
        page = self.open()
        page.wait_for_function("() => localStorage['troupe.settings']")  # once models are listed
        page.evaluate("() => { const s = JSON.parse(localStorage['troupe.settings']);"
                      "s.temperature = '9'; localStorage['troupe.settings'] = JSON.stringify(s); }")
        page.reload()
        self.ask(page, "What is a doctor?")
        error = page.wait_for_selector(".error")
        self.assertIn("temperature", error.inner_text())
        self.assertRegex(error.inner_text(), r"req-[0-9a-f]{32}")
        page.evaluate("() => localStorage.removeItem('troupe.settings')")

    def test_errors_before_and_in_mid_answer(self):
        page = self.open()
        refusal = {"error": {"message": "3 requests wait. Try again in 4 s.", "code": "queue_full"}}
        told = {"Retry-After": "4", "X-Request-Id": "req-1"}
        answer_with(page, json.dumps(refusal), 429, "application/json", told)
        self.ask(page, "What is a doctor?")
        shown = page.wait_for_selector(".error").inner_text()
        for words in ("Try again in 4 s.", "asks to wait 4 s", "queue_full", "req-1"):
            self.assertIn(words, shown)
        broken = {"error": {"message": "An expert was lost.", "code": "expert_uncovered"}}
        for body in (events(delta(content="So far"), broken, done=False),
                     events(delta(content="So far"), done=False)):
            answer_with(page, body)
            page.click(".error button")  # try again
            page.wait_for_selector(".message:last-child .error")
            self.assertEqual(page.inner_text(".message:last-child > .text"), "So far")
        page.unroute(CHAT)
        page.click(".error button")
        self.assertIn("medical practitioner", self.last_answer(page))
        self.assertEqual(page.locator(".error").count(), 0)

    def test_nobody_there(self):
        page = self.open()
        page.route(CHAT, lambda route: route.abort("connectionrefused"))
        self.ask(page, "What is a doctor?")
        self.assertIn("does not answer", page.wait_for_selector(".error").inner_text())

    def test_scripts_in_the_answer_are_inert(self):
        page = self.open()
        answer_with(page, events(delta(content=HOSTILE), delta(finish="stop")))
        self.ask(page, HOSTILE)
        text = self.last_answer(page)
        self.assertIn("<script>alert('script')</script>", text)
        self.assertIn("<img src=x onerror=", text)
        page.reload()  # what is kept is as inert
        page.wait_for_selector(".message .code")
        for tag in ("script", "img", "iframe", "b", "object", "style"):
            self.assertEqual(page.locator(f"#log {tag}").count(), 0, tag)
        self.assertEqual(page.locator("#log .theirs strong").inner_text(), "bold")
        self.assertEqual(page.locator("#log .theirs p > code").inner_text(), "<b>code</b>")
        hrefs = page.eval_on_selector_all("#log a", "all => all.map(a => a.href)")
        self.assertEqual(hrefs, ["http://elsewhere.invalid/i.png"])  # a link; nothing is fetched

    def test_thoughts_are_folded_and_tool_calls_shown(self):
        page = self.open()
        call = [{"index": 0, "function": {"name": "weather", "arguments": '{"city": '}}]
        rest = [{"index": 0, "function": {"arguments": '"Oslo"}'}}]
        answer_with(
            page,
            events(
                delta(reasoning_content="Let me "),
                delta(reasoning_content="think."),
                delta(content="Here:"),
                delta(tool_calls=call),
                delta(tool_calls=rest),
                delta(finish="tool_calls"),
            ),
        )
        self.ask(page, "How is the weather?")
        self.last_answer(page)
        thoughts = page.locator(".thinking .text")
        self.assertFalse(thoughts.is_visible())
        page.click(".thinking summary")
        self.assertEqual(thoughts.inner_text(), "Let me think.")
        self.assertEqual(page.inner_text(".tool strong"), "weather")
        self.assertEqual(page.inner_text(".tool pre"), '{"city": "Oslo"}')

    def test_prompt_progress(self):
        page = self.open()
        progress = {"choices": [], "prompt_progress": {"done": 3, "total": 8}}
        # An answer that never ends: the page shows how far the prompt is.
        page.evaluate(
            """body => { window.fetch = async (path, { body: asked }) => {
                window.asked = JSON.parse(asked);
                return new Response(new ReadableStream({
                    start(c) { c.enqueue(new TextEncoder().encode(body)); } })); }; }""",
            events(progress, done=False),
        )
        self.ask(page, "What is a doctor?")
        self.browser.expect(page, "#live", "reading the prompt, 3 of 8 tokens")
        self.assertEqual(page.get_attribute("#prompt-bar", "max"), "8")
        self.assertEqual(page.evaluate("document.getElementById('prompt-bar').value"), 3)
        asked = page.evaluate("window.asked")
        self.assertIs(asked["include_prompt_progress"], True)
        self.assertIs(asked["stream"], True)

    def test_progress_of_a_long_prompt_is_shown_before_the_first_token(self):
        slow = ("--level", "reference", "--threads", 1, "--chunk", 1)  # one token a step
        served = grpc_client.Served(*slow)
        self.addCleanup(served.stop)
        page = self.open(url=served.url)
        answer_at_length(page)
        page.evaluate(
            """() => { window.shown = [];
                const live = document.getElementById("live");
                const bar = document.getElementById("prompt-bar");
                new MutationObserver(() => window.shown.push(
                    { words: live.textContent, done: bar.value, of: bar.max, bar: !bar.hidden }
                )).observe(live, { childList: true, characterData: true, subtree: true }); }"""
        )
        self.ask(page, PROMPT)
        self.browser.expect(page, "#live", re.compile(r" tok/s$"))
        page.keyboard.press("Escape")
        self.last_answer(page)
        shown = page.evaluate("window.shown")
        prompt = self.tokens_of(served, PROMPT)
        first = next(i for i, one in enumerate(shown) if one["words"].endswith(" tok/s"))
        reading = [one for one in shown[:first] if one["words"].startswith("reading")]
        self.assertGreater(len(reading), 2, shown[: first + 1])
        counts = [one["done"] for one in reading]
        self.assertEqual(counts, sorted(counts))
        for one in reading:
            words = f"reading the prompt, {one['done']} of {prompt} tokens"
            self.assertEqual(one, {"words": words, "done": one["done"], "of": prompt, "bar": True})
        self.assertTrue(all(not one["bar"] for one in shown[first:]), "gone with the first token")

    @staticmethod
    def tokens_of(served, question):
        """How many tokens the prompt of a conversation of one question has."""
        body = {"messages": [{"role": "user", "content": question}]}
        return openai_client.ask(served.url, "/tokenize", body).json["count"]

    def test_conversations_are_made_renamed_and_deleted(self):
        page = self.open()
        self.ask(page, "What is a doctor?")
        self.last_answer(page)
        page.click("#new-chat")
        page.wait_for_selector(".welcome")
        page.click(".examples button >> nth=0")
        self.last_answer(page)
        titles = page.locator("#chats .open").all_inner_texts()
        self.assertEqual(titles, ["What is a lighthouse?", "What is a doctor?"])
        page.click("button[aria-label='Rename What is a doctor?']")
        page.fill("#name", "<b>Medicine</b>")
        page.keyboard.press("Enter")
        page.click("button[aria-label='Delete What is a lighthouse?']")
        page.click("#remove button[value=save]")
        page.wait_for_selector(".welcome")
        page.reload()
        self.assertEqual(page.locator("#chats .open").all_inner_texts(), ["<b>Medicine</b>"])
        self.assertEqual(page.inner_text("#chat-title"), "<b>Medicine</b>")

    def test_keys(self):
        page = self.open()
        page.focus("#question")
        page.keyboard.type("one")
        page.keyboard.press("Shift+Enter")
        page.keyboard.type("two")
        self.assertEqual(page.input_value("#question"), "one\ntwo")
        page.keyboard.press("Enter")
        page.wait_for_selector(".mine")
        self.assertEqual(page.inner_text(".mine .text"), "one\ntwo")
        self.last_answer(page)
        focused = "document.activeElement.id || document.activeElement.getAttribute('aria-label')"
        page.reload()
        page.focus("#new-chat")
        order = ["new-chat"]
        for _ in range(10):
            page.keyboard.press("Tab")
            order.append(page.evaluate(focused))
        places = [order.index(name) for name in ("new-chat", "theme", "log", "question")]
        self.assertEqual(places, sorted(places), order)

    def test_theme_follows_the_system_until_it_is_chosen(self):
        ground = "getComputedStyle(document.body).backgroundColor"
        light, dark = self.open(color_scheme="light"), self.open(color_scheme="dark")
        self.assertNotEqual(light.evaluate(ground), dark.evaluate(ground))
        light.click("#theme")
        light.click("#theme")
        self.assertEqual(light.get_attribute("#theme", "aria-label"), "Theme: dark")
        self.assertEqual(light.evaluate(ground), dark.evaluate(ground))
        light.reload()
        self.assertEqual(light.evaluate(ground), dark.evaluate(ground))

    def test_narrow_screens_have_the_conversations_behind_a_button(self):
        page = self.open(wide=False)
        self.assertFalse(page.is_visible("#new-chat"))
        page.click("#open-side")
        self.assertTrue(page.is_visible("#new-chat"))
        page.keyboard.press("Escape")
        page.wait_for_selector("#new-chat", state="hidden")
        wide = "document.documentElement.scrollWidth <= innerWidth"
        self.assertTrue(page.evaluate(wide), "nothing stands out at the side")

    def test_two_tabs_see_each_others_conversations(self):
        page = self.open()
        other = page.context.new_page()
        other.goto(self.served.url + "/")
        self.ask(page, "What is a doctor?")
        self.last_answer(page)
        other.wait_for_selector("#chats .open")
        self.assertEqual(other.inner_text("#chats .open"), "What is a doctor?")


class PageFilesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.served = grpc_client.Served()
        cls.addClassCleanup(cls.served.stop)

    def get(self, path, headers=None, method="GET"):
        """(status, headers, body)."""
        url = self.served.url + path
        request = urllib.request.Request(url, headers=headers or {}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=program.TIMEOUT_S) as response:
                return response.status, response.headers, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read()

    def test_every_file_has_its_type_and_headers_and_is_kept_by_its_etag(self):
        names = list(PAGES)
        for name in names:  # grows by what a file names
            status, headers, body = self.get(name)
            named = re.findall(r'(?:href=|src=|from )"(/web/[^"#]+)', body.decode())
            names += sorted(set(named) - set(names))
            self.assertEqual(status, 200, name)
            self.assertTrue(body, name)
            self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
            policy = headers["Content-Security-Policy"]
            self.assertTrue(policy.startswith("default-src 'none'; script-src 'self';"), policy)
            self.assertNotIn("unsafe", policy)
            known = {"If-None-Match": f'"x", W/{headers["ETag"]}'}
            self.assertEqual(self.get(name, known)[0::2], (304, b""), name)
            self.assertEqual(self.get(name, {"If-None-Match": '"x"'})[0], 200)
            self.assertEqual(self.get(name, method="HEAD")[0::2], (200, b""))
        for name in ("/web/markdown.js", "/web/cluster_grid.js", "/web/icons.svg"):
            self.assertIn(name, names)
        for path in PAGES:
            self.assertEqual(self.get(path)[1]["Content-Type"], "text/html; charset=utf-8")
        script = self.get("/web/main.js")[1]["Content-Type"]
        self.assertEqual(script, "text/javascript; charset=utf-8")

    def test_the_pages_have_no_script_and_no_style_of_their_own(self):
        for path in PAGES:
            page = self.get(path)[2].decode()
            self.assertEqual(re.findall(r"<script(?![^>]* src=)", page), [])
            self.assertEqual(re.findall(r"<style|\sstyle=|\son\w+=", page), [])
            self.assertEqual(re.findall(r'(?:src|href)="(?![/#])', page), [])

    def test_what_is_not_there(self):
        own = ("/web/index.html", "/web/cluster.html")  # these have a path each
        for path in ("/web/", "/web/nothing.js", "/web/../web/main.js", "/cluster/", *own):
            status, headers, _ = self.get(path)
            self.assertEqual(status, 404, path)
            self.assertEqual(headers["Content-Type"], "application/json", path)
        for path in PAGES:
            self.assertEqual(self.get(path, method="POST")[0], 405)


if __name__ == "__main__":
    unittest.main()
