"""What every page loads besides itself is small enough for a slow line."""

from __future__ import annotations

import gzip
import re

from flask.testing import FlaskClient

from pages import SignIn

MOST = 200 * 1024


def test_what_every_page_loads_is_at_most_200_kb_compressed(signed_in: SignIn) -> None:
    browser = signed_in()
    page = browser.get("/own/").get_data(as_text=True)
    loaded = set(re.findall(r'(?:src|href)="(/static/[^"#]+)', page))
    assert {"envoi.css", "envoi.js", "icons.svg"} <= {url.rpartition("/")[2] for url in loaded}
    weights = {url: len(gzip.compress(file(browser, url))) for url in loaded}
    assert sum(weights.values()) + len(gzip.compress(page.encode())) <= MOST, weights


def file(browser: FlaskClient, url: str) -> bytes:
    with browser.get(url) as answer:
        return answer.get_data()
