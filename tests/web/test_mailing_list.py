"""The list of mailings: sorting, filters, saved views, totals, and acting on many at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event, select, text

from desk import Desk
from envoi.accounts.permissions import Role
from envoi.db import Database, table
from envoi.delivery.figures import keep_figures
from envoi.delivery.models import Run
from envoi.mailings import queries, service
from envoi.mailings.models import Mailing, MailingState
from envoi.receipts.attribution import attribute
from envoi.tenants.service import create_tenant
from ledger_rows import add_customers, add_messages, add_receipt, add_run
from pages import SignIn

TODAY = datetime.now(UTC).date()


@pytest.fixture
def desk(signed_in: SignIn) -> Desk:
    return Desk(signed_in())


def made(database: Database, tenant_id: int, name: str, author: int | None = None) -> int:
    with database.tenant_session(tenant_id) as session:
        draft = service.create_draft(
            session, tenant_id, channel="email", name=name, account_id=author
        )
        return draft.id


def sent(database: Database, tenant_id: int, name: str, **figures: int) -> int:
    """A mailing whose run has ended with these figures."""
    run = add_run(database, tenant_id)
    c = table(Run).c
    with database.tenant_session(tenant_id) as session:
        service.get_mailing(session, tenant_id, run.mailing_id).name = name
        mine = (c.tenant_id == tenant_id, c.id == run.run_id)
        session.execute(table(Run).update().where(*mine).values({"failed": 0, **figures}))
    return run.mailing_id


def stored(database: Database, tenant_id: int, mailing_id: int) -> Mailing:
    with database.tenant_session(tenant_id) as session:
        return service.get_mailing(session, tenant_id, mailing_id)


def titles(source: str) -> list[str]:
    return re.findall(r'class="ev-row-title"[^>]*>([^<]+)<', source)


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    """Collect the statements that the database is asked."""
    asked: list[str] = []

    def note(*given: object) -> None:
        asked.append(str(given[2]))

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(database.engine, "before_cursor_execute", note)


class TestSorting:
    @pytest.mark.parametrize("column", queries.SORTED_BY)
    def test_by_every_column_both_ways(
        self, desk: Desk, database: Database, tenant_id: int, column: str
    ) -> None:
        for number, name in enumerate("abc", 1):
            figures = dict.fromkeys(("recipients", "sent", "delivered", "receipts"), number)
            sent(database, tenant_id, f"Leaflet {name}", amount=number, **figures)
        with database.tenant_session(tenant_id) as session:
            for row in session.scalars(
                select(Mailing).where(table(Mailing).c.tenant_id == tenant_id)
            ):
                day = datetime(2026, 1, "abc".index(row.name[-1]) + 1, tzinfo=UTC)
                row.created_at = row.starts_at = day
        page = desk.get(f"/mailings/?sort={column}")
        assert 'aria-sort="ascending"' in page.source
        up, down = titles(page.source), titles(desk.get(f"/mailings/?sort=-{column}").source)
        everybody = ["Leaflet a", "Leaflet b", "Leaflet c"]
        if column in ("status", "channel"):
            assert sorted(up) == sorted(down) == everybody
        else:
            assert up == everybody
            assert down == everybody[::-1]

    def test_what_is_not_counted_comes_last(
        self, desk: Desk, database: Database, tenant_id: int
    ) -> None:
        made(database, tenant_id, "Draft")
        sent(database, tenant_id, "Leaflet", sent=4, recipients=4, delivered=4)
        for sort in ("sent", "-sent"):
            assert titles(desk.get(f"/mailings/?sort={sort}").source) == ["Leaflet", "Draft"]

    def test_every_heading_leads_to_its_order(
        self, desk: Desk, database: Database, tenant_id: int
    ) -> None:
        made(database, tenant_id, "Draft")
        headings = re.findall(r"sort=-?([a-z_]+)", desk.get("/mailings/").source)
        assert set(queries.SORTED_BY) <= set(headings)


class TestFilters:
    def test_each_is_in_the_address_and_comes_back(
        self, desk: Desk, database: Database, tenant_id: int
    ) -> None:
        made(database, tenant_id, "Tea week")
        sent(database, tenant_id, "Coffee week")
        filters = f"q=week&status=sent&status=draft&created_from={TODAY}"
        address = f"/mailings/email?{filters}&size=25&sort=name"
        page = desk.get(address)
        assert titles(page.source) == ["Coffee week", "Tea week"]
        assert 'value="week"' in page.source
        assert len(re.findall(r'name="status" value="(?:sent|draft)" checked', page.source)) == 2
        assert f'name="created_from" value="{TODAY}"' in page.source
        removed = re.search(r'href="([^"]+)" aria-label="Remove filter Status: Draft"', page.source)
        assert removed
        without = removed[1].replace("&amp;", "&")
        assert "status=sent" in without
        assert "size=25" in without
        assert titles(desk.get(without).source) == ["Coffee week"]

    def test_statuses_with_commas_mean_the_same(
        self, desk: Desk, database: Database, tenant_id: int
    ) -> None:
        made(database, tenant_id, "Tea week")
        assert titles(desk.get("/mailings/?status=sent,draft").source) == ["Tea week"]
        assert titles(desk.get("/mailings/?status=sent,paused").source) == []

    def test_periods_are_the_companys_days(
        self, desk: Desk, database: Database, tenant_id: int
    ) -> None:
        number = made(database, tenant_id, "Late at night")
        with database.tenant_session(tenant_id) as session:
            mailing = service.get_mailing(session, tenant_id, number)
            mailing.starts_at = datetime(2026, 3, 28, 23, 30, tzinfo=UTC)
        on_the_29th = "/mailings/?sent_from=2026-03-29&sent_to=2026-03-29"
        assert titles(desk.get(on_the_29th).source) == ["Late at night"]
        assert titles(desk.get("/mailings/?sent_to=2026-03-28").source) == []

    def test_author_and_segment(self, desk: Desk, database: Database, tenant_id: int) -> None:
        made(database, tenant_id, "Nobody's")
        desk.post("/mailings/new", name="Mine", channel="email")
        author = re.search(r'<option value="(\d+)">Anna Keller', desk.get("/mailings/").source)
        assert author
        page = desk.get(f"/mailings/?author={author[1]}")
        assert titles(page.source) == ["Mine"]
        assert "Author: Anna Keller" in page.words
        assert titles(desk.get("/mailings/?segment=4711").source) == []

    @pytest.mark.parametrize(
        "query",
        [
            "created_from=yesterday&sent_to=9999-12-31",
            "author=x&segment=999999999999999999999999",
            "status=,,&sort=--&page=-1&size=0&period=7",
            f"q={'%25' * 90}",
        ],
    )
    def test_what_cannot_be_read_is_left_out(
        self, desk: Desk, database: Database, tenant_id: int, query: str
    ) -> None:
        made(database, tenant_id, "Tea week")
        assert desk.get(f"/mailings/?{query}").status == 200

    def test_a_channel_that_nobody_has_is_no_page(self, desk: Desk) -> None:
        assert desk.get("/mailings/pigeon").status == 404


class TestSavedViews:
    def test_kept_opened_and_forgotten(
        self, desk: Desk, database: Database, tenant_id: int
    ) -> None:
        made(database, tenant_id, "Tea week")
        query = "status=sent&sort=-sent"
        kept = desk.post("/mailings/views", name=" Best  ones ", query=query, channel="email")
        assert kept.answer.location == f"/mailings/email?{query}"
        page = desk.get(f"/mailings/?{query}")
        assert 'aria-current="true">Best ones</a>' in page.source
        desk.post("/mailings/views", name="Best ones", query="", action="delete")
        assert "Best ones</a>" not in desk.get("/mailings/").source

    def test_they_are_the_employees_own(
        self, desk: Desk, signed_in: SignIn, database: Database, tenant_id: int
    ) -> None:
        made(database, tenant_id, "Tea week")
        desk.post("/mailings/views", name="Mine alone", query="q=tea")
        assert "Mine alone" in desk.get("/mailings/").words
        assert "Mine alone" not in Desk(signed_in(Role.MARKETER)).get("/mailings/").words

    def test_names_and_numbers_have_bounds(self, desk: Desk) -> None:
        for name in ("", "  ", "x" * 61):
            assert desk.post("/mailings/views", name=name, query="q=a").status == 422
        for number in range(20):
            assert desk.post("/mailings/views", name=f"V{number}", query="q=a").status == 303
        assert desk.post("/mailings/views", name="V0", query="q=b").status == 303
        assert desk.post("/mailings/views", name="One more", query="q=a").status == 422


class TestFigures:
    def test_a_run_that_ended_is_not_counted_again(
        self, desk: Desk, database: Database, tenant_id: int
    ) -> None:
        run = add_run(database, tenant_id)
        add_messages(database, run, add_customers(database, tenant_id, 9))
        live = desk.get("/mailings/").words
        assert " 9 9 9 " in live
        with database.tenant_connection(tenant_id) as connection:
            keep_figures(connection, tenant_id, [run.run_id])
        with statements(database) as asked:
            assert " 9 9 9 " in desk.get("/mailings/").words
        assert not [s for s in asked if "FROM message" in s]

    def test_receipts_are_kept_with_the_run(self, database: Database, tenant_id: int) -> None:
        run = add_run(database, tenant_id, launched_at=datetime.now(UTC) - timedelta(days=2))
        [person] = add_customers(database, tenant_id, 1)
        opened = datetime.now(UTC) - timedelta(days=1)
        add_messages(database, run, [person], opened_at=opened)
        add_receipt(database, tenant_id, person, datetime.now(UTC) - timedelta(hours=1), 1250)
        attribute(database, tenant_id, run.run_id)
        with database.tenant_session(tenant_id) as session:
            found = queries.totals(session, tenant_id, today=TODAY)
        assert (found.mailings, found.receipts, found.amount) == (1, 1, 1250)
        assert found.by_month[-1][1:] == (1, 1, 1250) or found.by_month[-2][1:] == (1, 1, 1250)

    def test_totals_follow_a_period_and_no_filter(
        self, desk: Desk, database: Database, tenant_id: int
    ) -> None:
        sent(database, tenant_id, "New", receipts=2, amount=500)
        old = sent(database, tenant_id, "Old", receipts=5, amount=1000)
        with database.tenant_session(tenant_id) as session:
            session.execute(
                text("UPDATE run SET launched_on = :d WHERE tenant_id = :t AND mailing_id = :m"),
                {"d": TODAY - timedelta(days=200), "t": tenant_id, "m": old},
            )
        assert "€15.00" in desk.get("/mailings/?q=nothing").words
        assert "€5.00" in desk.get("/mailings/?period=90").words

    @pytest.mark.parametrize("size", [10, 100])
    def test_as_many_questions_for_a_hundred_as_for_ten(
        self, desk: Desk, database: Database, tenant_id: int, size: int
    ) -> None:
        with database.tenant_session(tenant_id) as session:
            for number in range(100):
                service.create_draft(session, tenant_id, channel="email", name=f"M{number}")
        desk.get("/mailings/")
        with statements(database) as asked:
            page = desk.get(f"/mailings/?size={size}")
        assert len(titles(page.source)) == size
        assert len(asked) < 25


class TestBulk:
    def test_deleting_is_asked_with_counts_for_each_status(
        self, desk: Desk, database: Database, tenant_id: int
    ) -> None:
        numbers = [made(database, tenant_id, f"M{n}") for n in range(2)]
        numbers.append(sent(database, tenant_id, "Leaflet"))
        chosen = "&".join(f"id={n}" for n in numbers)
        asked = desk.get(f"/mailings/delete?{chosen}")
        assert "Delete 3 mailings?" in asked.words
        assert "Draft: 2" in asked.words
        assert "nothing is delivered" in asked.words
        assert "Sent: 1" in asked.words
        assert "stay counted" in asked.words
        fragment = desk.get(
            f"/mailings/delete?{chosen}", **{"HX-Request": "true", "HX-Target": "ask"}
        )
        assert "<html" not in fragment.source
        assert (
            desk.post("/mailings/delete", id=numbers, query="q=M").answer.location
            == "/mailings/?q=M"
        )
        with database.tenant_session(tenant_id) as session:
            assert queries.mailings_by_id(session, tenant_id, numbers) == []
        again = desk.post("/mailings/delete", id=numbers)
        assert again.status == 404
        assert "No mailing is chosen" in again.words

    def test_copies_are_drafts(self, desk: Desk, database: Database, tenant_id: int) -> None:
        numbers = [made(database, tenant_id, "Tea"), sent(database, tenant_id, "Leaflet")]
        assert desk.post("/mailings/copy", id=numbers).status == 303
        page = desk.get("/mailings/?status=draft")
        assert "2 copies were made." in page.words
        assert sorted(titles(page.source)) == ["Leaflet (copy)", "Tea", "Tea (copy)"]

    def test_a_marketer_deletes_only_what_he_made(
        self, signed_in: SignIn, database: Database, tenant_id: int
    ) -> None:
        marketer = Desk(signed_in(Role.MARKETER))
        other = made(database, tenant_id, "Hers")
        own = marketer.post("/mailings/new", name="His", channel="email").answer.location
        mine = int(re.findall(r"\d+", own)[0])
        asked = marketer.get(f"/mailings/delete?id={other}&id={mine}")
        assert "Delete His?" in asked.words
        assert "1 mailing stays: somebody else made it" in asked.words
        marketer.post("/mailings/delete", id=[other, mine])
        assert stored(database, tenant_id, other).name == "Hers"
        assert marketer.get(f"/mailings/{mine}").status == 404
        assert "Nothing can be deleted" in marketer.get(f"/mailings/delete?id={other}").words

    @pytest.mark.parametrize("role", [Role.ANALYST, Role.DESIGNER])
    def test_who_may_not_is_neither_offered_nor_let(
        self, signed_in: SignIn, database: Database, tenant_id: int, role: Role
    ) -> None:
        number = made(database, tenant_id, "Tea")
        looking = Desk(signed_in(role))
        assert "/mailings/delete" not in looking.get("/mailings/").source
        assert "/mailings/copy" not in looking.get("/mailings/").source
        assert looking.get(f"/mailings/delete?id={number}").status == 403
        for action in ("delete", "copy"):
            assert looking.post(f"/mailings/{action}", id=number).status == 403

    def test_another_companys_are_not_there(
        self, desk: Desk, database: Database, tenant_id: int
    ) -> None:
        foreign = create_tenant(database, slug=f"other-{tenant_id}", name="Nuthatch").id
        number = made(database, foreign, "Theirs")
        assert desk.get(f"/mailings/delete?id={number}").status == 404
        assert desk.post("/mailings/delete", id=number).status == 404
        assert desk.post("/mailings/copy", id=number).status == 404
        assert stored(database, foreign, number).name == "Theirs"

    def test_unsent_messages_of_a_running_one_are_cancelled(
        self, desk: Desk, database: Database, tenant_id: int
    ) -> None:
        run = add_run(database, tenant_id)
        with database.tenant_session(tenant_id) as session:
            values = {"t": tenant_id, "r": run.run_id}
            sql = "UPDATE run SET status = 2, finished_at = NULL WHERE tenant_id = :t AND id = :r"
            session.execute(text(sql), values)
        asked = desk.get(f"/mailings/delete?id={run.mailing_id}")
        assert "Unsent messages are cancelled" in asked.words
        desk.post("/mailings/delete", id=run.mailing_id)
        with database.tenant_session(tenant_id) as session:
            kept = session.get(Mailing, (tenant_id, run.mailing_id))
            assert kept is not None
            assert kept.hidden
            assert kept.state == MailingState.LAUNCHED


def test_a_mailing_created_for_a_day_starts_then(
    desk: Desk, database: Database, tenant_id: int
) -> None:
    day = TODAY + timedelta(days=9)
    assert "10:00" in desk.get(f"/mailings/new?date={day}").words
    made_at = desk.post("/mailings/new", name="Tea", channel="email", date=str(day)).answer.location
    starts = stored(database, tenant_id, int(re.findall(r"\d+", made_at)[0])).starts_at
    assert starts is not None
    assert starts.date() == day
    past = desk.post("/mailings/new", name="Late tea", channel="email", date="2020-01-01")
    number = int(re.findall(r"\d+", past.answer.location)[0])
    assert stored(database, tenant_id, number).starts_at is None
