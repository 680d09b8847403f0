"""Over any base: the account adds up, estimate, collection and re-check agree with plain rules.

The oracle decides customer by customer in Python, in the words of the product reference.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from math import ceil
from typing import Any
from uuid import uuid4

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, insert, select

from envoi.audience.collection import collect
from envoi.audience.control import control_places, draw, variant_sizes
from envoi.audience.estimate import balance, customers_behind, estimate, why
from envoi.audience.recheck import Recheck
from envoi.audience.request import AudienceRequest, request_of_run
from envoi.audience.strata import years_before
from envoi.audience.volume import Volume
from envoi.customers.models import Customer, CustomerValue, CustomField, FieldType
from envoi.db import Database, table
from envoi.delivery.models import Message, MessageState, Run, RunBlock, RunKind, RunStatus, Stage
from envoi.delivery.runs import RunSettings, VariantContent, create_run, get_run
from envoi.plugins import Plugins
from envoi.subscriptions.models import OptOut, Suppression
from envoi.target_audiences.models import AudienceMember, TargetAudience
from envoi.tenants.service import create_tenant

CATEGORY = 7
QUALITIES = {0: None, 3: None, 30: "without", 31: "invalid", 36: "quality", 40: "landline"}


@dataclass(frozen=True)
class Person:
    """A customer of the generated base; `contacts` are the ages of earlier messages in days."""

    address: int | None
    quality: int
    gender: int
    age: int | None
    left_channel: bool
    left_category: bool
    contacts: tuple[int, ...]
    named: bool = False
    shoes: float | None = None
    city: str = ""


@dataclass(frozen=True)
class Case:
    """A base with the mailing that is counted and collected."""

    people: tuple[Person, ...]
    suppressed: frozenset[int]
    control_share: float
    strata: tuple[str, ...]
    one_per_address: bool
    category: bool
    shares: tuple[float, ...]
    rules: tuple[dict[str, Any], ...]
    by_audience: bool = False


BANDS = {"age:30": (30,), "field:shoes:38,42": (38, 42), "city:Berlin|Hamburg": ()}


def rarely(value: Any, other: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from([value, value, value, other])


PEOPLE = st.builds(
    Person,
    address=st.one_of(st.integers(0, 15), st.integers(0, 15), st.none()),
    quality=st.sampled_from([0, 0, 0, 0, *QUALITIES]),
    gender=st.integers(0, 2),
    age=st.one_of(st.none(), st.integers(10, 70)),
    left_channel=rarely(False, True),
    left_category=rarely(False, True),
    contacts=st.lists(st.integers(0, 20), max_size=3).map(tuple),
    named=rarely(False, True),
    shoes=st.sampled_from([None, 36.0, 38.0, 39.5, 44.0]),
    city=st.sampled_from(["", "Berlin", "Hamburg", "Ulm"]),
)
RULES = st.lists(
    st.builds(
        lambda most, days, then: {
            "kind": "frequency_cap",
            "settings": {"most": most, "period": days, "unit": "day", "over_limit": then},
        },
        most=st.integers(1, 2),
        days=st.sampled_from([3, 14]),
        then=st.sampled_from(["drop", "defer"]),
    ),
    max_size=2,
).map(tuple)
CASES = st.builds(
    Case,
    people=st.lists(PEOPLE, min_size=1, max_size=30).map(tuple),
    suppressed=st.frozensets(st.integers(0, 15), max_size=2),
    control_share=st.sampled_from([0, 7.5, 20, 50]),
    strata=st.sampled_from([(), ("gender",), ("gender", "age_band"), tuple(BANDS), tuple(BANDS)]),
    one_per_address=st.booleans(),
    category=st.booleans(),
    shares=st.sampled_from([(100.0,), (50.0, 50.0), (10.0, 20.0, 70.0)]),
    rules=RULES,
    by_audience=rarely(False, True),
)


@dataclass(frozen=True)
class Expected:
    """The oracle's outcome for one customer; `until` is when a rule first allows it."""

    stage: Stage | None
    detail: str | None
    until: datetime | None


@given(case=CASES)
@settings(
    max_examples=25,
    deadline=None,
    # Every example makes a company: shrinking would take minutes.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_estimate_collection_and_recheck_agree_with_the_oracle(
    database: Database, plugins: Plugins, case: Case
) -> None:
    tenant_id = create_tenant(database, slug=f"t{uuid4().hex[:12]}", name="Any").id
    now = datetime.now(UTC)
    with database.tenant_session(tenant_id) as session:
        people = _store(session.connection(), tenant_id, case, now)
        run = _run(session, tenant_id, case, now)
        request = request_of_run(plugins, run, now)
        volume = estimate(session.connection(), plugins, request)
        outcomes = _outcomes(session.connection(), plugins, request)
        checked = Recheck(plugins, request)(session.connection(), list(people), now)
    rows = {n: _row_outcome(case, p, now) for n, p in people.items()}
    expected = _with_duplicates(case, people, rows)
    _check_account(case, people, expected, volume)
    assert {n: o for n, o in outcomes.items() if o[0]} == {
        n: (e.stage, e.detail) for n, e in expected.items() if e.stage
    }
    held = {v.customer_id: (v.stage, v.detail, v.deferred_until) for v in checked}
    assert held == {
        n: (e.stage, e.detail, None if e.stage else _quarter(e.until))
        for n, e in rows.items()
        if e.stage or e.until
    }
    collected = collect(database, plugins, tenant_id, run.id)
    assert collected is not None
    assert replace(collected, computed_at=now) == volume
    assert collect(database, plugins, tenant_id, run.id) == collected
    with database.tenant_session(tenant_id) as session:
        _check_rows(session, tenant_id, run.id, case, people, expected, volume)


def _store(connection: Connection, tenant_id: int, case: Case, now: datetime) -> dict[int, Person]:
    today = now.date()
    ids = connection.scalars(
        insert(table(Customer)).returning(table(Customer).c.id, sort_by_parameter_order=True),
        [
            {
                "tenant_id": tenant_id,
                "external_id": f"C-{i}",
                "bucket": i,
                "gender": p.gender,
                "birth_date": _born(today, p.age),
                "city": p.city,
                "email": None if p.address is None else f"a{p.address}@b.test",
                "email_quality": 30 if p.address is None else p.quality,
            }
            for i, p in enumerate(case.people)
        ],
    )
    people = dict(zip(ids, case.people, strict=True))
    left = [(0, n, p) for n, p in people.items() if p.left_channel]
    left += [(CATEGORY, n, p) for n, p in people.items() if p.left_category]
    _insert(
        connection,
        OptOut,
        [
            {
                "tenant_id": tenant_id,
                "channel": "email",
                "category_id": category,
                "customer_id": n,
                "address": None if p.address is None else f"a{p.address}@b.test",
            }
            for category, n, p in left
        ],
    )
    _insert(
        connection,
        Suppression,
        [
            {"tenant_id": tenant_id, "channel": "email", "address": f"a{address}@b.test"}
            for address in case.suppressed
        ],
    )
    _store_shoes(connection, tenant_id, people)
    _store_audience(connection, tenant_id, people)
    _store_contacts(connection, tenant_id, people, now)
    return people


def _store_shoes(connection: Connection, tenant_id: int, people: dict[int, Person]) -> None:
    field = connection.scalar(
        insert(table(CustomField))
        .values(tenant_id=tenant_id, code="shoes", label="Shoes", type=FieldType.NUMBER)
        .returning(table(CustomField).c.id)
    )
    key = {"tenant_id": tenant_id, "field_id": field}
    worn = {n: p.shoes for n, p in people.items() if p.shoes is not None}
    rows = [{**key, "customer_id": n, "number_value": size} for n, size in worn.items()]
    _insert(connection, CustomerValue, rows)


def _store_audience(connection: Connection, tenant_id: int, people: dict[int, Person]) -> None:
    audience = connection.scalar(
        insert(table(TargetAudience))
        .values(tenant_id=tenant_id, name="Held back")
        .returning(table(TargetAudience).c.id)
    )
    key = {"tenant_id": tenant_id, "audience_id": audience}
    named = [{**key, "customer_id": n} for n, p in people.items() if p.named]
    _insert(connection, AudienceMember, named)


def _audience(session: Any, tenant_id: int) -> int:
    c = table(TargetAudience).c
    found: int = session.scalar(select(c.id).where(c.tenant_id == tenant_id))
    return found


def _store_contacts(
    connection: Connection, tenant_id: int, people: dict[int, Person], now: datetime
) -> None:
    """Each customer's n-th contact is a message of the n-th earlier run."""
    day = now.date()
    for place in range(3):
        run_id = connection.scalar(
            insert(table(Run))
            .values(tenant_id=tenant_id, channel="email", launched_on=day, seed=1)
            .returning(table(Run).c.id)
        )
        _insert(
            connection,
            Message,
            [
                {
                    "tenant_id": tenant_id,
                    "run_id": run_id,
                    "customer_id": n,
                    "launched_on": day,
                    "state": MessageState.ACCEPTED,
                    "accepted_at": _moment(now, p.contacts[place]),
                }
                for n, p in people.items()
                if len(p.contacts) > place
            ],
        )


def _insert(connection: Connection, model: Any, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table(model)), rows)


def _run(session: Any, tenant_id: int, case: Case, now: datetime) -> Run:
    frozen = RunSettings(
        rules=list(case.rules),
        category_id=CATEGORY if case.category else None,
        control_share=case.control_share,
        control_audience_id=_audience(session, tenant_id) if case.by_audience else None,
        strata=list(case.strata),
        one_per_address=case.one_per_address,
        variants=[
            VariantContent(number=n, share=share, content={})
            for n, share in enumerate(case.shares, start=1)
        ],
        block_size=3,
    )
    return create_run(
        session,
        tenant_id,
        mailing_id=None,
        kind=RunKind.MAILING,
        channel="email",
        gateway_id=None,
        settings=frozen,
        now=now,
    )


def _born(today: date, age: int | None) -> date | None:
    return None if age is None else years_before(today, age) - timedelta(days=40)


def _moment(now: datetime, days: int) -> datetime:
    """Half a day off, so that no window ends at it."""
    return now - timedelta(days=days, hours=12)


def _row_outcome(case: Case, person: Person, now: datetime) -> Expected:
    address = person.address
    if address is None:
        return Expected(Stage.ADDRESS_ISSUE, "without", None)
    if QUALITIES[person.quality]:
        return Expected(Stage.ADDRESS_ISSUE, QUALITIES[person.quality], None)
    same = [p for p in case.people if p.address == address]
    if person.left_channel or any(p.left_channel for p in same):
        by = None if person.left_channel else "address"
        return Expected(Stage.CHANNEL_OPT_OUT, by, None)
    if case.category and any(p.left_category for p in same):
        by = None if person.left_category else "address"
        return Expected(Stage.CATEGORY_OPT_OUT, by, None)
    if address in case.suppressed:
        return Expected(Stage.SUPPRESSED, None, None)
    return _policy(case, person, now)


def _policy(case: Case, person: Person, now: datetime) -> Expected:
    until = []
    for rule in case.rules:
        cap = rule["settings"]
        window = timedelta(days=cap["period"])
        inside = [_moment(now, d) for d in person.contacts if _moment(now, d) > now - window]
        if len(inside) < cap["most"]:
            continue
        if cap["over_limit"] == "drop":
            return Expected(Stage.POLICY, "frequency_cap", None)
        until.append(min(inside) + window)
    return Expected(None, "frequency_cap" if until else None, max(until, default=None))


def _with_duplicates(
    case: Case, people: dict[int, Person], rows: dict[int, Expected]
) -> dict[int, Expected]:
    if not case.one_per_address:
        return rows
    keepers: dict[int, int] = {}
    for number in sorted(rows):
        address = people[number].address
        if rows[number].stage is None and address is not None:
            keepers.setdefault(address, number)

    def is_duplicate(number: int) -> bool:
        address = people[number].address
        return address in keepers and keepers[address] != number

    duplicate = Expected(Stage.DUPLICATE_ADDRESS, None, None)
    return {n: duplicate if is_duplicate(n) else found for n, found in rows.items()}


def _quarter(until: datetime | None) -> datetime | None:
    if until is None:
        return None
    return datetime.fromtimestamp(-(-until.timestamp() // 900) * 900, UTC)


def _stratum(case: Case, person: Person, today: date) -> tuple[int, ...]:
    cities = {"": 0, "Berlin": 1, "Hamburg": 2}
    codes = {
        "gender": person.gender,
        "age_band": _band(person.age, (18, 30, 45, 60)),
        "age:30": _band(person.age, (30,)),
        "field:shoes:38,42": _band(person.shoes, (38, 42)),
        "city:Berlin|Hamburg": cities.get(person.city, 3),
    }
    return tuple(codes[name] for name in case.strata)


def _band(value: float | None, begins: tuple[int, ...]) -> int:
    return 0 if value is None else 1 + sum(value >= low for low in begins)


def _check_account(
    case: Case, people: dict[int, Person], expected: dict[int, Expected], volume: Volume
) -> None:
    stages = Counter(e.stage for e in expected.values())
    assert volume.segment == len(people)
    assert {line.stage: line.count for line in volume.lines} == {s: stages[s] for s in Stage}
    assert sum(line.count for line in volume.lines) + volume.eligible == volume.segment
    assert volume.control + volume.recipients == volume.eligible == stages[None]
    for line in volume.lines:
        details = Counter(e.detail for e in expected.values() if e.stage == line.stage)
        assert line.details == {d: n for d, n in details.items() if d}
    assert volume.variants == tuple(variant_sizes(volume.recipients, case.shares))
    strata = Counter(
        _stratum(case, people[n], date.min) for n, e in expected.items() if not e.stage
    )
    assert {s.codes: s.eligible for s in volume.strata} == strata
    assert sum(s.control for s in volume.strata) == volume.control
    if case.by_audience:
        held = [n for n, e in expected.items() if not e.stage and people[n].named]
        assert volume.control == len(held)


def _outcomes(
    connection: Connection, plugins: Plugins, request: AudienceRequest
) -> dict[int, tuple[Stage | None, str | None]]:
    answers = customers_behind(connection, plugins, request, "segment", limit=1000)
    found = {answer.customer_id: (answer.stage, answer.detail) for answer in answers}
    assert len(found) == len(answers)
    first = next(iter(found))
    told = why(connection, plugins, request, first)
    assert told is not None
    assert (told.stage, told.detail) == found[first]
    return found


def _check_rows(
    session: Any,
    tenant_id: int,
    run_id: int,
    case: Case,
    people: dict[int, Person],
    expected: dict[int, Expected],
    volume: Volume,
) -> None:
    run = get_run(session, tenant_id, run_id)
    assert run.status == RunStatus.SENDING
    c = table(Message).c
    query = select(table(Message)).where(c.tenant_id == tenant_id, c.run_id == run_id)
    rows = session.execute(query.where(c.launched_on == run.launched_on)).all()
    assert {row.customer_id for row in rows} == people.keys()
    for row in rows:
        wanted = expected[row.customer_id]
        assert row.stage == wanted.stage
        assert row.detail == wanted.detail
        assert (row.state == MessageState.EXCLUDED) == (wanted.stage is not None)
        assert (row.block is not None) == (row.state == MessageState.READY)
        until = _quarter(wanted.until) or run.collected_at
        # What may only leave after the lifetime is due at its end, to expire then.
        assert run.expires_at is not None
        assert until is not None
        assert row.due_at == (min(until, run.expires_at) if row.block else None)
    assert volume.deferred == sum(1 for row in rows if row.block and row.detail)
    _check_control(case, people, rows, run)
    _check_blocks(session, run, rows)
    drawn = Counter(row.variant for row in rows if row.state == MessageState.READY)
    assert tuple(drawn[n + 1] for n in range(len(case.shares))) == volume.variants


def _check_control(case: Case, people: dict[int, Person], rows: list[Any], run: Run) -> None:
    """Inside every stratum exactly the smallest draws, or else the named, are the control group."""
    if case.by_audience:
        good = {row.customer_id: row for row in rows if row.stage is None}
        held = {n for n, row in good.items() if row.state == MessageState.CONTROL}
        assert held == {n for n in good if people[n].named}
        return
    today = run.launched_on
    strata: dict[tuple[int, ...], list[Any]] = defaultdict(list)
    for row in rows:
        if row.stage is None:
            strata[_stratum(case, people[row.customer_id], today)].append(row)
    sizes = {n: len(strata[codes]) for n, codes in enumerate(sorted(strata))}
    places = control_places(sizes, case.control_share)
    for number, codes in enumerate(sorted(strata)):
        ranked = sorted(strata[codes], key=lambda row: draw(run.seed, row.customer_id))
        control = [row.state == MessageState.CONTROL for row in ranked]
        assert control == [n < places[number] for n in range(len(ranked))]


def _check_blocks(session: Any, run: Run, rows: list[Any]) -> None:
    c = table(RunBlock).c
    query = select(table(RunBlock)).where(c.tenant_id == run.tenant_id, c.run_id == run.id)
    blocks = {block.number: block for block in session.execute(query.order_by(c.number))}
    ready: dict[int, list[Any]] = defaultdict(list)
    for row in rows:
        if row.block is not None:
            ready[row.block].append(row)
    assert blocks.keys() == ready.keys()
    assert [b.due_at for b in blocks.values()] == sorted(b.due_at for b in blocks.values())
    for number, block in blocks.items():
        assert block.size == len(ready[number]) <= 3
        assert {row.due_at for row in ready[number]} == {block.due_at}
    for due_at, count in Counter(row.due_at for row in rows if row.block is not None).items():
        full = [b.size for b in blocks.values() if b.due_at == due_at]
        assert len(full) == ceil(count / 3), "blocks are as full as can be"


def test_balance_counts_both_groups(database: Database, plugins: Plugins, tenant_id: int) -> None:
    now = datetime.now(UTC)
    people = tuple(Person(n % 400, 0, n % 3, 30, False, False, ()) for n in range(300))
    case = Case(people, frozenset(), 10, ("gender",), True, False, (100.0,), ())
    with database.tenant_session(tenant_id) as session:
        _store(session.connection(), tenant_id, case, now)
        request = request_of_run(plugins, _run(session, tenant_id, case, now), now)
        shares = balance(estimate(session.connection(), plugins, request), 0)
    assert [(s.code, s.recipients, s.control) for s in shares] == [(n, 90, 10) for n in range(3)]
    assert all(abs(s.difference) < 1e-9 for s in shares)
