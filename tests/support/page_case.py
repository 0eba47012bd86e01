"""A test case with a browser, whose pages must do nothing that they should not."""

import unittest

from tests.support import browser, program


class PageCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.browser = browser.Browser(program.TIMEOUT_S)
        cls.addClassCleanup(cls.browser.close)

    def open_page(self, url, **options):
        """A page of its own storage that is checked and closed at the end; see Browser.open."""
        page = self.browser.open(url, **options)
        self.addCleanup(page.context.close)
        self.addCleanup(self.check_notes, page.noted)
        return page

    def check_notes(self, noted):
        for name in ("strangers", "violations", "errors", "dialogs"):
            self.assertEqual(getattr(noted, name), [], name)

    def shows(self, page, **texts):
        """Waits until every element with that id has its text; `_` in names stands for `-`."""
        for name, text in texts.items():
            self.browser.expect(page, "#" + name.replace("_", "-"), text)
