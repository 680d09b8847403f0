"""Saving, deleting and counting segments, and what happens when they are broken."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import delete, func, text

from envoi import hookimpl
from envoi.customers.models import CustomField, FieldType
from envoi.db import Database, connect, table
from envoi.errors import ConflictError, NotFoundError, PluginError, ValidationFailedError
from envoi.mailings.models import Mailing
from envoi.plugins import Plugins, load_plugins
from envoi.segments.catalogue import load_catalogue
from envoi.segments.compile import customer_ids
from envoi.segments.counting import SupersededError, exact_count, live_count
from envoi.segments.criteria import in_words
from envoi.segments.models import Segment
from envoi.segments.queries import list_segments
from envoi.segments.service import (
    count_segment,
    create_segment,
    delete_segment,
    get_segment,
    update_segment,
)
from envoi.segments.tree import parse
from envoi.types import SegmentSourceSpec
from factories.customers import make_customers, make_receipts

EVERYBODY = {"all": [{"source": "all_customers", "settings": {}}]}


def now() -> datetime:
    return datetime.now(UTC)


def tree(source: str, **settings: Any) -> dict[str, Any]:
    return {"all": [{"source": source, "settings": settings}]}


def member_of(segment_id: int) -> dict[str, Any]:
    return tree("segment", criterion="segment", operator="in", segment=segment_id)


def make(database: Database, tenant_id: int, plugins: Plugins, name: str, what: Any) -> Segment:
    with database.tenant_session(tenant_id) as session:
        return create_segment(session, tenant_id, name=name, tree=what, plugins=plugins)


def problems(error: pytest.ExceptionInfo[ValidationFailedError]) -> list[tuple[str, str]]:
    return [(problem.field, problem.message) for problem in error.value.problems]


def test_a_segment_is_saved_counted_and_listed(
    database: Database, tenant_id: int, plugins: Plugins
) -> None:
    berlin = tree("attribute", criterion="city", operator="is", value="berlin")
    made = make(database, tenant_id, plugins, " Berliners ", berlin)
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 20)
        counted_at = now()
        assert count_segment(session, tenant_id, made.id, plugins=plugins, now=counted_at) == 5
    with database.tenant_session(tenant_id) as session:
        (row,) = list_segments(session, tenant_id)
    assert (row.name, row.customers, row.counted_at) == ("Berliners", 5, counted_at)


def test_a_change_needs_the_newest_version(
    database: Database, tenant_id: int, plugins: Plugins
) -> None:
    made = make(database, tenant_id, plugins, "Everybody", EVERYBODY)

    def change(version: int, name: str) -> Segment:
        with database.tenant_session(tenant_id) as session:
            return update_segment(
                session,
                tenant_id,
                made.id,
                version=version,
                name=name,
                tree=EVERYBODY,
                plugins=plugins,
            )

    assert change(1, "All").version == 2
    with pytest.raises(ConflictError, match="Somebody else has changed"):
        change(1, "Mine")
    with database.tenant_session(tenant_id) as session:
        assert get_segment(session, tenant_id, made.id).name == "All"


def test_a_used_segment_is_not_deleted(
    database: Database, tenant_id: int, plugins: Plugins
) -> None:
    made = make(database, tenant_id, plugins, "Base", EVERYBODY)
    user = make(database, tenant_id, plugins, "Upper", member_of(made.id))
    with database.tenant_session(tenant_id) as session:
        session.add(
            Mailing(tenant_id=tenant_id, name="Spring", channel="email", segment_id=made.id)
        )
    with (
        pytest.raises(ConflictError, match="the mailing Spring, the segment Upper"),
        database.tenant_session(tenant_id) as session,
    ):
        delete_segment(session, tenant_id, made.id)
    with database.tenant_session(tenant_id) as session:
        delete_segment(session, tenant_id, user.id)
    with database.tenant_session(tenant_id) as session, pytest.raises(NotFoundError):
        get_segment(session, tenant_id, user.id)


def test_a_segment_never_contains_itself(
    database: Database, tenant_id: int, plugins: Plugins
) -> None:
    low = make(database, tenant_id, plugins, "Low", EVERYBODY)
    high = make(database, tenant_id, plugins, "High", member_of(low.id))
    for target in (low.id, high.id):
        with (
            pytest.raises(ValidationFailedError, match="would contain itself") as caught,
            database.tenant_session(tenant_id) as session,
        ):
            update_segment(
                session,
                tenant_id,
                low.id,
                version=1,
                name="Low",
                tree=member_of(target),
                plugins=plugins,
            )
        assert problems(caught)[0][0] == "all.0"


def test_a_segment_used_many_times_is_compiled_once(
    database: Database, tenant_id: int, plugins: Plugins
) -> None:
    """Each of 20 segments names the one below twice: a million times the lowest, if copied."""
    below = make(database, tenant_id, plugins, "S0", EVERYBODY).id
    for number in range(1, 21):
        node = member_of(below)["all"][0]
        below = make(database, tenant_id, plugins, f"S{number}", {"any": [node, node]}).id
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 3)
        query = customer_ids(session, tenant_id, member_of(below), now=now(), plugins=plugins)
        assert len(session.scalars(query).all()) == 3
        assert len(str(query)) < 100_000


def test_a_deleted_field_or_segment_is_named(
    database: Database, tenant_id: int, plugins: Plugins
) -> None:
    with database.tenant_session(tenant_id) as session:
        session.add(CustomField(tenant_id=tenant_id, code="shoe_size", type=FieldType.NUMBER))
    wide = tree("custom_field", criterion="shoe_size", operator="ge", value=46)
    made = make(database, tenant_id, plugins, "Wide", wide)
    user = make(database, tenant_id, plugins, "User", member_of(made.id))
    with database.tenant_session(tenant_id) as session:
        field = table(CustomField)
        session.execute(delete(field).where(field.c.tenant_id == tenant_id))
    for segment_id in (made.id, user.id):
        with (
            pytest.raises(ValidationFailedError, match="field shoe_size, which was deleted"),
            database.tenant_session(tenant_id) as session,
        ):
            count_segment(session, tenant_id, segment_id, plugins=plugins, now=now())
    with database.tenant_session(tenant_id) as session:
        session.execute(delete(table(Segment)).where(table(Segment).c.id == made.id))
    with (
        pytest.raises(ValidationFailedError, match=f"segment {made.id}, which was deleted"),
        database.tenant_session(tenant_id) as session,
    ):
        count_segment(session, tenant_id, user.id, plugins=plugins, now=now())


def test_another_tenants_segment_does_not_exist(
    database: Database, tenant_id: int, plugins: Plugins
) -> None:
    from uuid import uuid4

    from envoi.tenants.service import create_tenant

    other = create_tenant(database, slug=f"o{uuid4().hex[:8]}", name="Other").id
    theirs = make(database, other, plugins, "Theirs", EVERYBODY)
    with pytest.raises(ValidationFailedError, match="never existed"):
        make(database, tenant_id, plugins, "Mine", member_of(theirs.id))
    with database.tenant_session(tenant_id) as session, pytest.raises(NotFoundError):
        get_segment(session, tenant_id, theirs.id)


@pytest.mark.parametrize(
    ("settings", "field", "words"),
    [
        ({"criterion": "city", "operator": "is"}, "value", "Enter a text"),
        ({"criterion": "city", "operator": "near", "value": "x"}, "operator", "one of"),
        ({"criterion": "city", "operator": "is", "value": "x\0"}, "value", "Enter a text"),
        ({"criterion": "age", "operator": "ge", "value": "old"}, "value", "Enter a number"),
        ({"criterion": "age", "operator": "ge", "value": -1}, "value", "whole number from 0"),
        ({"criterion": "age", "operator": "ge", "value": 10**400}, "value", "Enter a number"),
        ({"criterion": "age", "operator": "between", "value": 3}, "upper", "whole number"),
        ({"criterion": "birth_date", "operator": "eq", "value": "1.2.3"}, "value", "a date"),
        ({"criterion": "birth_date", "operator": "eq", "value": "0001-01-01"}, "value", "1900"),
        ({"criterion": "time_zone", "operator": "is", "value": "Mars/X"}, "value", "time zone"),
        ({"criterion": "city", "operator": "empty", "value": "x"}, "value", "no setting"),
        ({"criterion": "gender", "operator": "is", "value": "cat"}, "value", "never existed"),
    ],
)
def test_incomplete_settings_are_marked(
    database: Database,
    tenant_id: int,
    plugins: Plugins,
    settings: dict[str, Any],
    field: str,
    words: str,
) -> None:
    with pytest.raises(ValidationFailedError, match=words) as caught:
        make(database, tenant_id, plugins, "Bad", tree("attribute", **settings))
    assert problems(caught)[0][0] == f"all.0.settings.{field}"


def test_extreme_values_are_counted(database: Database, tenant_id: int, plugins: Plugins) -> None:
    """Whatever the checks let through, the database can compare."""
    for settings in (
        {"source": "receipts", "criterion": "sum", "operator": "ge", "value": 2e12},
        {"source": "receipts", "criterion": "count", "operator": "ge", "value": 2_000_000_000},
        {"source": "receipts", "criterion": "last", "operator": "in_last", "days": 2_000_000_000},
        {"source": "receipts", "criterion": "last", "operator": "ge", "value": "1900-01-01"},
        {"source": "receipts", "criterion": "last", "operator": "eq", "value": "2199-12-31"},
        {"source": "attribute", "criterion": "age", "operator": "gt", "value": 2_000_000_000},
        {"source": "attribute", "criterion": "registered_on", "operator": "in_last", "days": 10**9},
    ):
        what = tree(settings.pop("source"), **settings)  # type: ignore[arg-type]
        with database.tenant_session(tenant_id) as session:
            query = customer_ids(session, tenant_id, what, now=now(), plugins=plugins)
            assert session.scalars(query).all() == []


class Nothing(BaseModel):
    """No settings."""


def broken(**more: Any) -> Plugins:
    spec = SegmentSourceSpec(name="weather", label="Weather", settings=Nothing, **more)
    brings = SimpleNamespace(register_segment_sources=hookimpl(lambda: [spec]))
    return load_plugins([("partner", brings)])


def _failing_ids(settings: Nothing) -> Iterator[str]:
    yield "C-1"
    raise OSError("warehouse is away")


@pytest.mark.parametrize(
    "source",
    [
        {"select": lambda settings, columns: 1 / 0},
        {"select": lambda settings, columns: "SELECT 1"},
        {"iter_external_ids": _failing_ids},
    ],
)
def test_a_failing_source_is_named(
    database: Database, tenant_id: int, source: dict[str, Any]
) -> None:
    loaded = broken(**source)
    with (
        pytest.raises(PluginError, match="Plugin partner"),
        database.tenant_session(tenant_id) as session,
    ):
        customer_ids(session, tenant_id, tree("weather"), now=now(), plugins=loaded)


def test_a_source_that_is_not_there_is_named(
    database: Database, tenant_id: int, plugins: Plugins
) -> None:
    with pytest.raises(ValidationFailedError, match="source weather, which is not on"):
        make(database, tenant_id, plugins, "Rain", tree("weather"))


def test_a_live_count_is_exact_or_about(
    database: Database, tenant_id: int, plugins: Plugins
) -> None:
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 5_000)
        make_receipts(session, tenant_id, each=1)
    group = parse(tree("attribute", criterion="city", operator="is", value="Omsk"))
    asked: dict[str, Any] = {"editor": "e", "now": now(), "plugins": plugins}
    exact = live_count(database, tenant_id, group, **asked)
    assert (exact.customers, exact.base, exact.exact) == (1_250, 5_000, True)
    assert exact.branches == {"": 1_250, "all.0": 1_250}
    assert len(exact.examples) == 10
    after = exact_count(database, tenant_id, group, **asked)
    assert (after.customers, after.base, after.exact) == (1_250, 5_000, True)


def slow(seconds: str) -> Any:
    """A source that takes its time unless it looks at a sample, which has no customers."""

    def select_slowly(settings: Nothing, columns: Any) -> Any:
        return func.pg_sleep(text(seconds)).is_not(None) & (columns.customers.c.id > 0)

    return select_slowly


def test_a_count_that_takes_too_long_is_about(database: Database, tenant_id: int) -> None:
    loaded = broken(select=slow("0.05"))
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 300)
    group, asked = parse(tree("weather")), {"editor": "e", "now": now(), "plugins": loaded}
    count = live_count(database, tenant_id, group, patience=0.5, **asked)  # type: ignore[arg-type]
    assert not count.exact
    assert 0 < count.customers == count.base


@pytest.fixture
def own(postgres_url: str) -> Iterator[Database]:
    """A pool of its own, so that the shared one keeps its single connection."""
    opened = connect(postgres_url)
    yield opened
    opened.engine.dispose()


def test_a_newer_count_cancels_the_older(
    database: Database, own: Database, tenant_id: int, plugins: Plugins
) -> None:
    loaded = broken(select=slow("10"))
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 3)
    outcome: list[Exception] = []

    def counted(what: Any, editor: str, brought: Plugins = plugins) -> int:
        asked: dict[str, Any] = {"editor": editor, "now": now(), "plugins": brought}
        return live_count(own, tenant_id, parse(what), patience=60, **asked).customers

    def older() -> None:
        try:
            counted(tree("weather"), "7", loaded)
        except SupersededError as error:
            outcome.append(error)

    thread = threading.Thread(target=older)
    thread.start()
    _until_counting(database)
    assert counted(EVERYBODY, "8") == 3
    assert thread.is_alive()
    assert counted(EVERYBODY, "7") == 3
    thread.join(20)
    assert [type(error) for error in outcome] == [SupersededError]


def _until_counting(database: Database) -> None:
    running = text(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'envoi count %'"
        " AND datname = current_database() AND state = 'active' AND query LIKE '%pg_sleep%'"
    )
    deadline = datetime.now(UTC).timestamp() + 20
    while datetime.now(UTC).timestamp() < deadline:
        with database.system_session() as session:
            if session.scalar(running):
                return
    pytest.fail("the older count never began")


def test_a_segment_is_said_in_words(database: Database, tenant_id: int, plugins: Plugins) -> None:
    base = make(database, tenant_id, plugins, "Regulars", EVERYBODY)
    what = {
        "all": [
            member_of(base.id)["all"][0],
            {
                "any": [
                    tree("attribute", criterion="city", operator="in", values=["Kazan", "Omsk"])[
                        "all"
                    ][0],
                    tree("receipts", criterion="sum", operator="ge", value=20.5, within_days=30)[
                        "all"
                    ][0],
                ]
            },
            {"not": tree("receipts", criterion="last", operator="in_last", days=7)["all"]},
        ]
    }
    with database.tenant_session(tenant_id) as session:
        catalogue = load_catalogue(session, tenant_id, plugins)
        said = in_words(parse(what), catalogue, plugins)
    assert said == (
        "Segment Regulars and (City is one of: Kazan, Omsk or Sum of receipts at least 20.5 EUR"
        " in the last 30 days) and not (Last receipt in the last 7 days)"
    )
