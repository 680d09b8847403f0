"""Counts for somebody who edits: about at once, for every condition, never many at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import text

from envoi import hookimpl
from envoi.db import Database, connect
from envoi.errors import ValidationFailedError
from envoi.plugins import Plugins, load_plugins
from envoi.segments import counting
from envoi.segments.counting import SupersededError, TooLongError, exact_count, live_count
from envoi.segments.tree import parse
from envoi.sql import SourceColumns, func
from envoi.types import SegmentSourceSpec
from factories.customers import make_customers, make_receipts

PEOPLE = 4_000


class Nothing(BaseModel):
    """No settings."""


@pytest.fixture
def own(postgres_url: str) -> Iterator[Database]:
    """A pool of its own, so that the shared one keeps its single connection."""
    opened = connect(postgres_url)
    yield opened
    opened.engine.dispose()


@pytest.fixture
def slow() -> Plugins:
    """What is installed, and a source that takes half a minute."""

    def select_slowly(settings: Nothing, columns: SourceColumns) -> Any:
        return func.pg_sleep(0.01).is_not(None) & (columns.customers.c.id > 0)

    spec = SegmentSourceSpec(name="weather", label="W", settings=Nothing, select=select_slowly)
    brings = SimpleNamespace(register_segment_sources=hookimpl(lambda: [spec]))
    return load_plugins([("partner", brings)])


@pytest.fixture
def people(database: Database, tenant_id: int) -> int:
    """The tenant, with customers of four cities."""
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, PEOPLE)
        make_receipts(session, tenant_id, each=1)
    return tenant_id


OMSK = {"source": "attribute", "settings": {"criterion": "city", "operator": "is", "value": "Omsk"}}
BOUGHT = {"source": "receipts", "settings": {"criterion": "count", "operator": "ge", "value": 1}}
TREE = {"all": [{"not": [OMSK]}, {"any": [BOUGHT, OMSK]}]}
WEATHER = {"all": [{"source": "weather", "settings": {}}]}


def asked(plugins: Plugins, editor: str = "1") -> dict[str, Any]:
    return {"editor": editor, "now": datetime.now(UTC), "plugins": plugins}


def test_a_large_base_is_counted_about_first_and_exactly_after(
    database: Database, people: int, plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "LARGE", 1_000)
    monkeypatch.setattr(counting, "SAMPLED", 1_000)
    about = live_count(database, people, parse(TREE), **asked(plugins))
    exact = exact_count(database, people, parse(TREE), **asked(plugins))
    assert not about.exact
    assert abs(about.base - PEOPLE) < 400
    assert (exact.exact, exact.base, exact.customers) == (True, PEOPLE, 3_000)
    assert abs(about.customers - 3_000) < 400
    assert abs(about.branches["all.1.any.1"] - 1_000) < 400
    assert about.branches["all.1"] == about.base


def test_every_condition_and_group_has_its_count(
    database: Database, people: int, plugins: Plugins
) -> None:
    found = live_count(database, people, parse(TREE), **asked(plugins))
    assert found.exact
    assert found.branches == {
        "": 3_000,
        "all.0": 3_000,
        "all.0.not.0": 1_000,
        "all.1": 4_000,
        "all.1.any.0": 4_000,
        "all.1.any.1": 1_000,
    }


def test_an_incomplete_condition_is_told_at_its_path(
    database: Database, people: int, plugins: Plugins
) -> None:
    broken = {"source": "attribute", "settings": {"criterion": "city", "operator": "is"}}
    with pytest.raises(ValidationFailedError) as caught:
        live_count(database, people, parse({"all": [OMSK, broken]}), **asked(plugins))
    assert [p.field for p in caught.value.problems] == ["all.1.settings.value"]


def test_an_exact_count_that_takes_too_long_is_given_up(
    database: Database, people: int, slow: Plugins
) -> None:
    with pytest.raises(TooLongError, match="simpler"):
        exact_count(database, people, parse(WEATHER), patience=0.3, **asked(slow))


def test_however_fast_one_clicks_two_counts_run_at_most(
    own: Database, database: Database, people: int, slow: Plugins
) -> None:
    """Ten counts of each kind in a second, and one of somebody else, who is left in peace."""

    def counted(count: Any, editor: str = "1") -> str:
        try:
            return str(count(own, people, parse(WEATHER), patience=60, **asked(slow, editor)))
        except SupersededError:
            return "superseded"

    running: list[int] = []
    done = threading.Event()
    with ThreadPoolExecutor(30) as pool:
        watching = pool.submit(_watch, database, done, running)
        theirs = pool.submit(counted, exact_count, "2")
        mine = []
        for _ in range(10):
            mine += [pool.submit(counted, live_count), pool.submit(counted, exact_count)]
            time.sleep(0.1)
        time.sleep(0.5)
        last = live_count(own, people, parse({"all": [OMSK]}), **asked(slow))
        outcomes = [future.result(20) for future in mine]
        assert not theirs.done()
        done.set()
        watching.result()
        _cancel(database)
        with suppress(Exception):
            theirs.result(20)
    assert last.customers == 1_000
    assert set(outcomes) == {"superseded"}
    assert 2 <= max(running) <= 3, "two of mine and one of theirs"


_SLEEPING = (
    "FROM pg_stat_activity WHERE application_name LIKE 'envoi count %' AND state = 'active'"
    " AND datname = current_database() AND query LIKE '%pg_sleep%'"
)


def _watch(database: Database, done: threading.Event, running: list[int]) -> None:
    while not done.wait(0.01):
        with database.system_session() as session:
            running.append(session.scalar(text(f"SELECT count(*) {_SLEEPING}")) or 0)


def _cancel(database: Database) -> None:
    with database.system_session() as session:
        session.execute(text(f"SELECT pg_cancel_backend(pid) {_SLEEPING}"))
