"""Target audiences: sets of customers with a size that is always right, and who uses them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import insert, text

from envoi.db import Database, table
from envoi.errors import ConflictError, NotFoundError, ValidationFailedError
from envoi.mailings.models import Mailing
from envoi.plugins import Plugins
from envoi.segments.members import customers_among
from envoi.segments.service import create_segment
from envoi.target_audiences.models import AudienceMember
from envoi.target_audiences.pending import ask_change, change_pending
from envoi.target_audiences.queries import list_audiences, members_of
from envoi.target_audiences.service import (
    add_customers,
    change_by_segment,
    create_audience,
    delete_audience,
    get_audience,
    one_change_at_a_time,
    one_customer,
    remove_customers,
    rename_audience,
)
from envoi.tenants.service import create_tenant
from factories.customers import customer_ids, index_customers, make_customers


def city(name: str) -> dict[str, Any]:
    settings = {"criterion": "city", "operator": "is", "value": name}
    return {"all": [{"source": "attribute", "settings": settings}]}


@pytest.fixture
def audience_id(database: Database, tenant_id: int) -> int:
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 40)
        index_customers(session.connection(), tenant_id)
        return create_audience(session, tenant_id, " Regulars ").id


def size_and_rows(database: Database, tenant_id: int, audience_id: int) -> tuple[int, int]:
    with database.tenant_session(tenant_id) as session:
        size = get_audience(session, tenant_id, audience_id).size
        count = text("SELECT count(*) FROM audience_member WHERE tenant_id = :t")
        return size, session.scalar(count, {"t": tenant_id}) or 0


def test_segments_are_added_and_taken_out_as_sets(
    database: Database, tenant_id: int, plugins: Plugins, audience_id: int
) -> None:
    def change(name: str, *, add: bool) -> int:
        with database.tenant_session(tenant_id) as session:
            return change_by_segment(
                session, tenant_id, audience_id, city(name), add=add, plugins=plugins
            )

    assert change("berlin", add=True) == 10
    assert change("berlin", add=True) == 0
    assert change("omsk", add=True) == 10
    assert change("berlin", add=False) == 10
    assert change("berlin", add=False) == 0
    assert size_and_rows(database, tenant_id, audience_id) == (10, 10)


def test_two_changes_at_once_keep_the_size_right(
    database: Database, tenant_id: int, plugins: Plugins, audience_id: int
) -> None:
    def change(step: tuple[str, bool]) -> int:
        with database.tenant_session(tenant_id) as session:
            return change_by_segment(
                session, tenant_id, audience_id, city(step[0]), add=step[1], plugins=plugins
            )

    steps = [("berlin", True), ("omsk", True), ("berlin", True), ("kazan", True)] * 2
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(change, steps)) == 30
    assert size_and_rows(database, tenant_id, audience_id) == (30, 30)


def test_asking_for_a_change_does_not_wait_for_one_that_goes_on(
    database: Database, tenant_id: int, plugins: Plugins, audience_id: int
) -> None:
    """A million customers take a while to add; who presses the button meanwhile goes on."""
    with database.tenant_session(tenant_id) as running:
        one_change_at_a_time(running, tenant_id, [audience_id])
        member = {"tenant_id": tenant_id, "audience_id": audience_id, "customer_id": 10**9}
        running.execute(insert(table(AudienceMember)).values(member))
        with database.tenant_session(tenant_id) as session:
            session.execute(text("SET LOCAL lock_timeout = '1s'"))
            ask_change(session, tenant_id, audience_id, city("omsk"), add=True, plugins=plugins)


def test_a_change_that_cannot_be_made_does_not_hold_up_the_next(
    database: Database, tenant_id: int, plugins: Plugins, audience_id: int
) -> None:
    with database.tenant_session(tenant_id) as session:
        ask_change(session, tenant_id, audience_id, city("berlin"), add=True, plugins=plugins)
        audience = get_audience(session, tenant_id, audience_id)
        gone = {"all": [{"source": "segment", "settings": {"segment": 10**9}}]}
        audience.pending = [{"tree": gone, "add": True}, *audience.pending]
    change_pending(database, plugins, tenant_id, audience_id)
    assert size_and_rows(database, tenant_id, audience_id) == (10, 10)


def test_members_are_listed_by_pages_and_found(
    database: Database, tenant_id: int, plugins: Plugins, audience_id: int
) -> None:
    with database.tenant_session(tenant_id) as session:
        change_by_segment(
            session, tenant_id, audience_id, city("berlin"), add=True, plugins=plugins
        )
        ids = members_of(tenant_id, audience_id)
        first = customers_among(session, tenant_id, ids, size=6)
        second = customers_among(session, tenant_id, ids, after=first.after, size=6)
        back = customers_among(session, tenant_id, ids, before=second.before, size=6)
        found = customers_among(session, tenant_id, ids, search="c-40")
        nobody = customers_among(session, tenant_id, ids, search="c-39")
    assert (len(first.customers), len(second.customers)) == (6, 4)
    assert (first.before, second.after) == (None, None)
    assert back == first
    assert [c.external_id for c in found.customers] == ["C-40"]
    assert nobody.customers == []


def test_one_customer_is_taken_out(database: Database, tenant_id: int, audience_id: int) -> None:
    with database.tenant_session(tenant_id) as session:
        [number] = customer_ids(session, tenant_id, "C-7")
        assert add_customers(session, tenant_id, audience_id, one_customer(tenant_id, number)) == 1
        stranger = one_customer(tenant_id, 10**12)
        assert add_customers(session, tenant_id, audience_id, stranger) == 0
        one = one_customer(tenant_id, number)
        assert remove_customers(session, tenant_id, audience_id, one) == 1
    assert size_and_rows(database, tenant_id, audience_id) == (0, 0)


@pytest.mark.parametrize("name", ["", "  ", "x" * 201, "a\0b", "Regulars"])
def test_names_are_given_and_new(
    database: Database, tenant_id: int, audience_id: int, name: str
) -> None:
    with (
        pytest.raises(ValidationFailedError) as caught,
        database.tenant_session(tenant_id) as session,
    ):
        create_audience(session, tenant_id, name)
    assert caught.value.problems[0].field == "name"


def test_an_audience_is_renamed(database: Database, tenant_id: int, audience_id: int) -> None:
    with database.tenant_session(tenant_id) as session:
        create_audience(session, tenant_id, "Others")
        assert rename_audience(session, tenant_id, audience_id, "Friends").name == "Friends"
        assert rename_audience(session, tenant_id, audience_id, "Friends").name == "Friends"
        with pytest.raises(ValidationFailedError, match="already"):
            rename_audience(session, tenant_id, audience_id, "Others")


def test_a_used_audience_is_not_deleted(
    database: Database, tenant_id: int, plugins: Plugins, audience_id: int
) -> None:
    member = {"criterion": "audience", "operator": "in", "audience": audience_id}
    tree = {"all": [{"source": "audience", "settings": member}]}
    with database.tenant_session(tenant_id) as session:
        segment = create_segment(session, tenant_id, name="Upper", tree=tree, plugins=plugins)
        mailing = Mailing(
            tenant_id=tenant_id, name="Spring", channel="email", control_audience_id=audience_id
        )
        session.add(mailing)
        session.flush()
        [row] = list_audiences(session, tenant_id)
        assert [(use.kind, use.id) for use in row.used_by] == [
            ("mailing", mailing.id),
            ("segment", segment.id),
        ]
        with pytest.raises(ConflictError, match="the mailing Spring, the segment Upper"):
            delete_audience(session, tenant_id, audience_id)
        session.delete(segment)
        session.delete(mailing)
        session.flush()
        delete_audience(session, tenant_id, audience_id)
        with pytest.raises(NotFoundError):
            get_audience(session, tenant_id, audience_id)


def test_another_companys_audience_does_not_exist(
    database: Database, tenant_id: int, plugins: Plugins, audience_id: int
) -> None:
    other = create_tenant(database, slug=f"o{uuid4().hex[:8]}", name="Other").id
    asked: list[Callable[[Any], object]] = [
        lambda session: get_audience(session, other, audience_id),
        lambda session: delete_audience(session, other, audience_id),
        lambda session: rename_audience(session, other, audience_id, "Mine"),
        lambda session: change_by_segment(
            session, other, audience_id, city("berlin"), add=True, plugins=plugins
        ),
    ]
    for ask in asked:
        with database.tenant_session(other) as session, pytest.raises(NotFoundError):
            ask(session)
