"""The worked example through pages, workers and SMTP: 13,257 on the screen and at the server."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from factories.customers import make_worked_example
from processes import wait_until
from product import EMAIL, PASSWORD, Product, running_product

pytestmark = pytest.mark.slow

CONTENT = {
    "subject": "{{ client.properties.first_name | default('Hello') }}, your coffee is waiting",
    "body_format": "html",
    "body": "<html><body>Coffee <a href='https://shop.fieldmarket.test/'>here</a></body></html>",
    "sender_address": "club@fieldmarket.test",
}


class Visitor:
    """A marketer's browser without a script: forms are posted as pages show them."""

    def __init__(self, product: Product) -> None:
        self._client = httpx.Client(base_url=product.address, timeout=60, follow_redirects=True)

    def __enter__(self) -> Visitor:
        self.post("/login", "/login", email=EMAIL, password=PASSWORD)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def page(self, address: str) -> str:
        answer = self._client.get(address)
        assert answer.status_code == 200, answer.text
        return answer.text

    def post(self, form_on: str, address: str, **fields: object) -> str:
        found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', self.page(form_on))
        assert found
        data = {"csrf_token": found[1], **{k: str(v) for k, v in fields.items()}}
        answer = self._client.post(address, data=data)
        assert answer.status_code == 200, answer.text
        return answer.text


def test_as_many_as_the_screen_says(tmp_path: Path) -> None:
    with running_product(tmp_path) as product:
        mailing = draft_of_the_example(product)
        with Visitor(product) as visitor:
            when = visitor.page(f"/mailings/{mailing}/when")
            assert "Send to 13,257 recipients" in when
            who = visitor.page(f"/mailings/{mailing}/who")
            shown = re.sub(r"\s", "", re.sub(r"<[^>]+>", "", who))
            for figure in ("14,730", "−71", "−404", "14,255", "−998", "13,257"):
                assert figure in shown, figure
            confirm = f"/mailings/{mailing}/confirm"
            visitor.post(f"/mailings/{mailing}/when", confirm, recipients=13257, typed="13,257")
        report = sent(product, mailing)
        assert len(set(product.sink.recipients)) == len(product.sink.recipients) == 13_257
        volume = report["volume"]
        taken = {stage["stage"]: stage["count"] for stage in volume["stages"]}
        assert (volume["customers"], taken[3], taken[4]) == (14_730, 71, 404)
        assert (volume["control"], volume["recipients"]) == (998, 13_257)


def draft_of_the_example(product: Product) -> int:
    """Make the example's customers and a draft to all of them."""
    with product.database() as database, database.tenant_session(1) as session:
        make_worked_example(session, 1)
    segment = product.envoi(
        *("segment", "create", "--tenant", "shop", "--name", "Everybody"),
        given=json.dumps({"all": [{"source": "all_customers"}]}),
    )
    document = {
        "name": "Coffee week",
        "segment_id": segment["id"],
        "control_share": 7,
        "strata": ["gender", "age_band"],
        "content": CONTENT,
    }
    made = product.envoi("mailing", "create", "--tenant", "shop", given=json.dumps(document))
    return int(made["id"])


def sent(product: Product, mailing: int) -> dict[str, Any]:
    """Wait until the mailing has ended and return its report."""
    wait_until(lambda: len(product.sink.recipients) >= 13_257, seconds=120, what="the last message")
    report: dict[str, Any] = {}

    def ended() -> bool:
        report.update(product.envoi("mailing", "report", str(mailing), "--tenant", "shop"))
        return report["finished_at"] is not None

    wait_until(ended, seconds=30, what="the end of the mailing")
    return report
