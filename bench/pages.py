"""pages: how fast the pages open for a company of a million customers and 500 mailings."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from statistics import quantiles

from flask.testing import FlaskClient
from sqlalchemy import text

from bench.audience import CUSTOMERS, make_base, make_history, settle
from bench.figures import Figure, at_most, info
from bench.stage import Stage
from envoi.accounts.permissions import Role
from envoi.accounts.service import create_account, set_role
from envoi.app import create_app
from envoi.db import Database
from envoi.installation import Installation
from envoi.mailings.service import create_draft
from envoi.segments.service import create_segment

MAILINGS, ROUNDS = 500, 20
P95_MS = 200
_EMAIL, _PASSWORD = "bench@envoi.test", "a password of the benchmark"

_SENT = text(
    """
WITH made AS (
    INSERT INTO mailing (tenant_id, name, channel, state, starts_at, created_at)
    SELECT :tenant, 'Mailing ' || n, 'email', 2, now() - n * interval '8 hours',
        now() - n * interval '9 hours'
    FROM generate_series(1, :mailings) AS n RETURNING id, starts_at
), run_of AS (
    INSERT INTO run (tenant_id, kind, status, mailing_id, channel, launched_on, seed, settings,
        created_at, collected_at, finished_at, recipients, sent, delivered, failed, receipts,
        amount)
    SELECT :tenant, 1, 4, id, 'email', starts_at::date, id, '{"variants": []}',
        starts_at, starts_at, starts_at, 900000, 899000, 890000, 1000, 4000, 12000000
    FROM made RETURNING id, mailing_id
)
UPDATE mailing SET run_id = run_of.id FROM run_of
WHERE mailing.tenant_id = :tenant AND mailing.id = run_of.mailing_id
"""
)
_CONTENT = text(
    "INSERT INTO variant (tenant_id, mailing_id, number, content)"
    ' SELECT :tenant, id, 1, \'{"subject": "What is new"}\' FROM mailing'
    " WHERE tenant_id = :tenant AND state = 2"
)


def run(stage: Stage, customers: int = CUSTOMERS) -> list[Figure]:
    """Open every list and every step of the editor, again and again, as one employee."""
    database, tenant_id = stage.database, stage.tenant()
    make_base(database, tenant_id, customers)
    make_history(database, tenant_id)
    with database.tenant_connection(tenant_id) as connection:
        connection.execute(_SENT, {"tenant": tenant_id, "mailings": MAILINGS})
        connection.execute(_CONTENT, {"tenant": tenant_id})
    settle(database)
    employ(stage.database, tenant_id)
    browser = signed_in(stage.installation)
    pages = list(_pages(stage, tenant_id))
    for page in pages:
        _milliseconds(browser, page)
    found = {page: [_milliseconds(browser, page) for _ in range(ROUNDS)] for page in pages}
    every = [took for times in found.values() for took in times]
    slowest = max(found, key=lambda page: _p95(found[page]))
    return [
        at_most("pages.p95_ms", _p95(every), f"ms over {len(pages)} pages", P95_MS),
        info("pages.slowest_p95_ms", _p95(found[slowest]), f"ms, {re.sub('[0-9]+', 'N', slowest)}"),
    ]


def _pages(stage: Stage, tenant_id: int) -> Iterator[str]:
    database = stage.database
    yield from ("/summary/", "/mailings/", "/mailings/email?size=100&sort=-amount")
    yield from ("/mailings/email?q=Mailing+4&status=sent", "/calendar/", "/segments/")
    yield from ("/customers/", "/customers/?q=an", "/customers/?size=100", "/audiences/")
    yield from ("/customers/import/", "/templates/", "/images/", "/settings/policies/")
    yield from ("/settings/general", "/segments/new")
    with database.tenant_session(tenant_id) as session:
        first = session.scalar(
            text("SELECT min(id) FROM customer WHERE tenant_id = :t"), {"t": tenant_id}
        )
        segment = create_segment(
            session,
            tenant_id,
            name="Everybody",
            plugins=stage.installation.plugins,
            tree={
                "all": [
                    {"source": "all_customers", "settings": {"criterion": "all", "operator": "all"}}
                ]
            },
        )
        draft = create_draft(
            session, tenant_id, channel="email", name="A draft", segment_id=segment.id
        )
    yield f"/customers/{first}"
    yield f"/mailings/{draft.id}/what"


def signed_in(installation: Installation) -> FlaskClient:
    """Give a browser with the employee of `employ` signed in."""
    browser = create_app(installation).test_client()
    form = browser.get("/login").get_data(as_text=True)
    token = re.search(r'name="csrf_token"[^>]* value="([^"]+)"', form)
    assert token
    browser.post("/login", data={"csrf_token": token[1], "email": _EMAIL, "password": _PASSWORD})
    return browser


def employ(database: Database, tenant_id: int) -> None:
    """Make the employee who looks at the pages."""
    account_id = create_account(
        database, email=_EMAIL, password=_PASSWORD, name="Bench", language="en"
    )
    set_role(database, tenant_id=tenant_id, account_id=account_id, role=Role.ADMINISTRATOR)


def _milliseconds(browser: FlaskClient, page: str) -> float:
    begin = time.perf_counter()
    answer = browser.get(page, follow_redirects=True)
    assert answer.status_code == 200, (page, answer.status_code)
    answer.get_data()
    return 1000 * (time.perf_counter() - begin)


def _p95(times: list[float]) -> float:
    return quantiles(times, n=20)[-1]
