"""A headless browser of the machine, driven by Playwright, that notes whatever goes wrong in it."""

import shutil
from urllib.parse import urlsplit

from tests.support import requirement

try:
    from playwright.sync_api import expect, sync_playwright
except ImportError:
    requirement.lacking("Python's playwright")

NAMES = ("chromium-headless-shell", "chromium")


def executable():
    """The path of Debian's Chromium; Playwright's own browsers are downloads and not used."""
    for name in NAMES:
        if found := shutil.which(name):
            return found
    return requirement.lacking(" or ".join(NAMES))


class Browser:
    """One browser; `open` gives pages of their own storage. Close it at the end."""

    def __init__(self, timeout_s):
        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(executable_path=executable())
        self._timeout_ms = timeout_s * 1000

    def open(self, url, wide=True, ready="#model option", prepare=None, **options):
        """A page at `url` in a new context; its `noted` is filled as things happen. `ready`: what
        is there once it is; `prepare`: called with the page before it loads."""
        size = {"width": 1200 if wide else 390, "height": 800}
        context = self._browser.new_context(viewport=size, **options)
        context.set_default_timeout(self._timeout_ms)
        page = context.new_page()
        page.noted = Notes(page, url)
        if prepare:
            prepare(page)
        page.goto(url)
        page.wait_for_selector(ready, state="attached")
        return page

    def expect(self, page, selector, text):
        """Waits for a text. Playwright's wait_for_function would evaluate a string, which the
        page's content security policy forbids."""
        expect(page.locator(selector)).to_have_text(text, timeout=self._timeout_ms)

    def close(self):
        self._browser.close()
        self._playwright.stop()


class Notes:
    """What a page did that it should not: see each list."""

    def __init__(self, page, url):
        self.strangers = []  # requests to other hosts
        self.violations = []  # of the content security policy
        self.errors = []  # exceptions in scripts
        self.dialogs = []  # what alert() and the like said
        host = urlsplit(url).netloc
        page.on("request", lambda request: self._request(request.url, host))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("dialog", self._dialog)
        page.on("console", self._console)

    def _request(self, url, host):
        if urlsplit(url).netloc != host:
            self.strangers.append(url)

    def _dialog(self, dialog):
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def _console(self, message):
        if "Content Security Policy" in message.text or "Trusted Type" in message.text:
            self.violations.append(message.text)
