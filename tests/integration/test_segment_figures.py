"""Figures and versions of segments: what is counted in the background, what a save leaves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, text

from envoi.customers.models import CustomField, FieldType
from envoi.db import Database, table
from envoi.errors import ConflictError, NotFoundError
from envoi.jobs import Work
from envoi.plugins import Plugins
from envoi.segments.figures import FRESH, SegmentFigures, figures_of, is_stale, refresh_figures
from envoi.segments.models import Segment
from envoi.segments.service import create_segment, get_segment, restore_version, update_segment
from envoi.segments.versions import list_versions
from factories.customers import make_customers, make_receipts, opt_out

EVERYBODY = {"all": [{"source": "all_customers", "settings": {}}]}


def city(name: str) -> dict[str, Any]:
    settings = {"criterion": "city", "operator": "is", "value": name}
    return {"source": "attribute", "settings": settings}


def made(
    database: Database, tenant_id: int, plugins: Plugins, tree: dict[str, Any], name: str = "One"
) -> Segment:
    with database.tenant_session(tenant_id) as session:
        return create_segment(session, tenant_id, name=name, tree=tree, plugins=plugins)


def due(database: Database, tenant_id: int) -> list[tuple[str, int]]:
    with database.system_session() as session:
        rows = session.execute(
            text("SELECT kind, ref FROM due_work WHERE tenant_id = :t"), {"t": tenant_id}
        )
        return [(row.kind, row.ref) for row in rows]


def test_figures_agree_with_the_rows(database: Database, tenant_id: int, plugins: Plugins) -> None:
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 40)
        make_receipts(session, tenant_id, each=2)
        session.execute(
            text(
                "UPDATE receipt SET cancelled = true WHERE tenant_id = :t AND external_id LIKE"
                " '%-C-1-%'"
            ),
            {"t": tenant_id},
        )
        opt_out(session, tenant_id, "C-4")
    segment = made(database, tenant_id, plugins, {"all": [city("berlin")]})
    assert due(database, tenant_id) == [(Work.FIGURES.value, segment.id)]
    figures = refresh_figures(database, plugins, tenant_id, segment.id)
    assert due(database, tenant_id) == []
    assert figures is not None
    with database.tenant_session(tenant_id) as session:
        sums = session.execute(
            text(
                "SELECT count(*), sum(r.amount), count(*) FILTER (WHERE city = 'Berlin') AS mine,"
                " sum(r.amount) FILTER (WHERE city = 'Berlin') AS spent FROM receipt r"
                " JOIN customer c ON c.tenant_id = r.tenant_id AND c.id = r.customer_id"
                " WHERE r.tenant_id = :t AND NOT cancelled"
            ),
            {"t": tenant_id},
        ).one()
        stored = get_segment(session, tenant_id, segment.id)
        assert figures_of(stored.figures) == figures
        assert stored.last_count == 10
    assert (figures.customers, figures.base) == (10, 40)
    assert (figures.receipts, figures.total, figures.revenue) == (sums.mine, sums.spent, sums.sum)
    assert figures.average_receipt == round(sums.spent / sums.mine)
    assert {name: n for name, n in figures.reachable.items() if n} == {"email": 9}
    assert figures.reachable.keys() == plugins.channels.keys()


def test_nobody_has_no_shares(database: Database, tenant_id: int, plugins: Plugins) -> None:
    segment = made(database, tenant_id, plugins, EVERYBODY)
    figures = refresh_figures(database, plugins, tenant_id, segment.id)
    assert figures is not None
    assert (figures.share_of_base, figures.share_of_revenue, figures.average_receipt) == (None,) * 3


def test_a_broken_segment_says_why_it_has_no_figures(
    database: Database, tenant_id: int, plugins: Plugins
) -> None:
    settings = {"criterion": "shoe_size", "operator": "ge", "value": 40}
    tree = {"all": [{"source": "custom_field", "settings": settings}]}
    with database.tenant_session(tenant_id) as session:
        session.add(CustomField(tenant_id=tenant_id, code="shoe_size", type=FieldType.NUMBER))
    segment = made(database, tenant_id, plugins, tree)
    with database.tenant_session(tenant_id) as session:
        session.execute(delete(table(CustomField)).where(text("tenant_id = :t")), {"t": tenant_id})
    figures = refresh_figures(database, plugins, tenant_id, segment.id)
    assert figures is not None
    assert "shoe_size, which was deleted" in figures.problem
    assert due(database, tenant_id) == []


def test_figures_of_a_deleted_segment_end(
    database: Database, tenant_id: int, plugins: Plugins
) -> None:
    assert refresh_figures(database, plugins, tenant_id, 123456789) is None


def test_figures_grow_old() -> None:
    now = datetime.now(UTC)
    figures = SegmentFigures(version=2, counted_at=now - FRESH)
    assert not is_stale(figures, 2, now)
    assert is_stale(figures, 2, now + timedelta(seconds=1))
    assert is_stale(figures, 3, now)
    assert is_stale(None, 1, now)


def test_every_save_is_a_version_with_its_change(
    database: Database, tenant_id: int, plugins: Plugins
) -> None:
    segment = made(database, tenant_id, plugins, {"all": [city("berlin"), city("kazan")]})
    steps: list[tuple[str, dict[str, Any]]] = [
        ("One", {"all": [city("berlin"), city("omsk")]}),
        ("Two", {"any": [city("berlin"), city("omsk")]}),
        ("Two", {"any": [city("berlin"), city("berlin"), city("omsk")]}),
    ]
    for number, (name, tree) in enumerate(steps, start=1):
        with database.tenant_session(tenant_id) as session:
            update_segment(
                session,
                tenant_id,
                segment.id,
                version=number,
                name=name,
                tree=tree,
                plugins=plugins,
            )
    with database.tenant_session(tenant_id) as session:
        last, third, second, first = list_versions(session, tenant_id, segment.id)
    assert [v.version for v in (last, third, second, first)] == [4, 3, 2, 1]
    assert first.change is None
    assert second.change is not None
    assert [c.settings["value"] for c in second.change.added] == ["omsk"]
    assert [c.settings["value"] for c in second.change.removed] == ["kazan"]
    assert third.change is not None
    assert (third.change.renamed_from, third.change.joined) == ("One", True)
    assert last.change is not None
    assert [c.settings["value"] for c in last.change.added] == ["berlin"]
    assert not last.change.removed


def test_an_older_version_is_restored_as_a_new_one(
    database: Database, tenant_id: int, plugins: Plugins
) -> None:
    segment = made(database, tenant_id, plugins, {"all": [city("berlin")]})

    def restore(number: int, version: int) -> Segment:
        with database.tenant_session(tenant_id) as session:
            return restore_version(
                session, tenant_id, segment.id, number, version=version, plugins=plugins
            )

    with database.tenant_session(tenant_id) as session:
        update_segment(
            session,
            tenant_id,
            segment.id,
            version=1,
            name="Two",
            tree=EVERYBODY,
            plugins=plugins,
        )
    restored = restore(1, version=2)
    assert (restored.version, restored.name, restored.tree) == (3, "One", segment.tree)
    with pytest.raises(ConflictError):
        restore(1, version=2)
    with pytest.raises(NotFoundError):
        restore(9, version=3)
