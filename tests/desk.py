"""A browser with one employee signed in, and what pages answer it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from pages import token


@dataclass(frozen=True)
class Shown:
    """An answer: its status, its source, and its words without tags."""

    answer: TestResponse

    @property
    def status(self) -> int:
        return self.answer.status_code

    @property
    def source(self) -> str:
        return self.answer.get_data(as_text=True)

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", self.source))


class Desk:
    """A browser with one employee signed in."""

    def __init__(self, browser: FlaskClient) -> None:
        self.browser = browser
        self.token = token(browser, "/own/")

    def get(self, address: str, **headers: str) -> Shown:
        return Shown(self.browser.get(address, headers=headers))

    def post(self, address: str, **fields: Any) -> Shown:
        return Shown(self.browser.post(address, data={"csrf_token": self.token, **fields}))
