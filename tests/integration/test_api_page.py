"""The page about the API as it stands: every request on it does what the page says."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from envoi.api.keys import make_key
from envoi.customers.devices import devices_of
from envoi.customers.models import Customer
from envoi.db import Database, table
from envoi.plugins import Plugins
from envoi.tracking.app import TrackingApp
from envoi.tracking.tokens import TokenSigner
from factories.customers import customer_ids, make_customers
from pages import served

PAGE = Path(__file__).parents[2] / "docs" / "developers" / "api.md"
REQUESTS = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def address(database: Database, plugins: Plugins) -> Iterator[str]:
    app = TrackingApp(database, TokenSigner(["a secret of the tests, 32 letters"]), plugins)
    with served(app) as url:
        yield url
    app.close()


def test_every_request_of_the_page_does_what_it_says(
    address: str, database: Database, tenant_id: int
) -> None:
    c = table(Customer).c
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 1)
        [customer_id] = customer_ids(session, tenant_id)
        mine = (c.tenant_id == tenant_id, c.id == customer_id)
        session.execute(update(table(Customer)).where(*mine).values(external_id="C-1042"))
        key = make_key(session, tenant_id, "The page", None)
    answers, devices = [], []
    for request in REQUESTS:
        answers.append(_run(request, ENVOI=address, KEY=key))
        with database.tenant_session(tenant_id) as session:
            devices.append([d.token for d in devices_of(session, tenant_id, customer_id)])
    assert re.fullmatch(r'\{"id": ?\d+\}\s*', answers[0])
    assert re.fullmatch(r'\{"accepted": ?2\}\s*', answers[1])
    assert answers[2] == ""
    assert devices == [["bk3RNwTe3H0"], ["bk3RNwTe3H0"], []]


def _run(request: str, **variables: str) -> str:
    done = subprocess.run(
        ["bash", "-euc", request],
        env={**os.environ, "no_proxy": "127.0.0.1", **variables},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
