"""Every route of the application, asked with the numbers of what a company owns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask.testing import FlaskClient
from sqlalchemy import text
from sqlmodel import SQLModel
from werkzeug.routing import Rule

from envoi.app import create_app
from envoi.db import Database, connect
from envoi.installation import Installation
from envoi.plugins import load_plugins
from factories.companies import Company
from pages import TEST_SETTINGS, token

SHARED = {
    "channel",
    "code",
    "filename",
    "kind",
    "message_id",
    "name",
    "token",
    "year",
    "month",
    "week",
}
"""Parts of addresses that name nothing a company owns."""

SAMPLES: dict[str, Any] = {"kind": "customers", "year": 2026, "month": 11, "week": 48}
"""What such parts are asked with; the others with a channel's name."""

APP = create_app(Installation(TEST_SETTINGS, connect("postgresql://"), load_plugins()))
ASKED = sorted(
    (
        (method, rule)
        for rule in APP.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    ),
    key=lambda asked: (asked[1].rule, asked[0]),
)


def contents(database: Database, company: Company) -> dict[str, Any]:
    """Count and digest every row that a company has, by table."""
    tables = [t.name for t in SQLModel.metadata.sorted_tables if "tenant_id" in t.c]
    with database.system_session() as session:
        made = text("SELECT jsonb_array_elements_text(tables) FROM plugin_migration")
        tables += session.scalars(made)
    parts = " UNION ALL ".join(
        f"SELECT '{name}', count(*), md5(string_agg(x::text, '|' ORDER BY x::text))"
        f' FROM "{name}" AS x WHERE tenant_id = :tenant'
        for name in tables
    )
    with database.tenant_connection(company.tenant_id) as connection:
        rows = connection.execute(text(parts), {"tenant": company.tenant_id})
        return {row[0]: (row[1], row[2]) for row in rows}


def ask(
    browser: FlaskClient, method: str, rule: Rule, values: Mapping[str, Any], about: Company
) -> tuple[int, str]:
    """Ask a route; a form names everything that `about` owns."""
    address = APP.url_map.bind("localhost").build(rule.endpoint, values, method=method)
    fields: dict[str, Any] = {name: found[0] for name, found in about.numbers.items()}
    fields["id"] = list(about.numbers["mailing_id"])
    form = {
        "csrf_token": token(browser, "/own/"),
        "name": "Taken over",
        "version": 1,
        "recipients": 3,
        "company": about.tenant_id,
        "tenant_id": about.tenant_id,
        "segment": fields["segment_id"],
        "customer": fields["customer_id"],
        **fields,
    }
    if method == "POST":
        answer = browser.post(address, data=form)
    else:
        answer = browser.open(address, method=method, query_string=fields)
    with answer:
        return answer.status_code, answer.get_data().decode(errors="replace")


def named(asked: tuple[str, Rule]) -> str:
    return f"{asked[0]} {asked[1].rule}"
