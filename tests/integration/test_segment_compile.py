"""Segments against a naive evaluation of the same tree over the same small base."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, text

from envoi.customers.models import Customer, CustomerValue, CustomField, FieldType
from envoi.db import Database, table
from envoi.plugins import Plugins
from envoi.receipts.models import Receipt
from envoi.segments.compile import customer_ids
from envoi.tenants.service import create_tenant
from factories.customers import make_customers, make_receipts

ZONE = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 3, 29, 10, 0, tzinfo=UTC)
TODAY = NOW.astimezone(ZONE).date()
"""The clock changed this morning, so days are not all 24 hours long."""

CITIES = ("", "Berlin", "BERLIN", "Ärmelkanal", "Москва", "москва", "ΟΔΟΣ")
DAYS = tuple(
    TODAY - timedelta(days=n) for n in (-2, 0, 1, 2, 30, 365, 366, 6_574, 6_575, 6_576, 8_000)
)
NUMBERS = (-1.5, 0, 1, 2.5, 44)
MOMENTS = tuple(
    datetime.combine(TODAY - timedelta(days=n), datetime.min.time(), ZONE) + timedelta(seconds=s)
    for n in (0, 1, 2, 30)
    for s in (-1, 0, 1)
)
AMOUNTS = (-500, 0, 999, 1000, 1001)


@dataclass
class Person:
    """A customer as plain data."""

    id: int
    gender: int
    city: str
    email: str | None
    birth_date: date | None
    registered_on: date | None
    shoe: str | None
    size: float | None
    wedding: date | None
    receipts: list[tuple[datetime, int]] = field(default_factory=list)


@dataclass(frozen=True)
class Base:
    """A tenant with its customers."""

    tenant_id: int
    people: list[Person]


def _people(random: Random, count: int) -> list[Person]:
    def maybe(values: Any) -> Any:
        return random.choice([None, *values])

    people = [
        Person(
            id=0,
            gender=random.randrange(3),
            city=random.choice(CITIES),
            email=maybe(["anna@example.test", "BORIS@example.test"]),
            birth_date=maybe([*DAYS, date(2004, 2, 29), date(2008, 2, 29), date(2008, 3, 29)]),
            registered_on=maybe(DAYS),
            shoe=maybe(CITIES[1:]),
            size=maybe(NUMBERS),
            wedding=maybe([*DAYS, date(2012, 2, 29)]),
        )
        for _ in range(count)
    ]
    for person in people:
        for _ in range(random.choice([0, 0, 1, 2, 4])):
            person.receipts.append((random.choice(MOMENTS), random.choice(AMOUNTS)))
    return people


@pytest.fixture(scope="module")
def base(database: Database) -> Base:
    """Sixty customers with receipts and values of three custom fields, always the same."""
    tenant_id = create_tenant(database, slug=f"s{uuid4().hex[:12]}", name="Small").id
    people = _people(Random(7), 60)
    with database.tenant_session(tenant_id) as session:
        for number, person in enumerate(people):
            row = {
                "tenant_id": tenant_id,
                "external_id": f"C-{number}",
                "bucket": number,
                **{n: getattr(person, n) for n in ("gender", "city", "email")},
                **{n: getattr(person, n) for n in ("birth_date", "registered_on")},
            }
            returned = insert(table(Customer)).values(row).returning(table(Customer).c.id)
            person.id = session.scalars(returned).one()
            for at, amount in person.receipts:
                _receipt(session, tenant_id, person.id, at, amount)
            _receipt(session, tenant_id, person.id, NOW, 77_777, cancelled=True)
        for code, kind in (("shoe", "text"), ("size", "number"), ("wedding", "date")):
            made = CustomField(tenant_id=tenant_id, code=code, type=FieldType[kind.upper()])
            session.add(made)
            session.flush()
            rows = [
                {
                    "tenant_id": tenant_id,
                    "field_id": made.id,
                    "customer_id": person.id,
                    f"{kind}_value": getattr(person, code),
                }
                for person in people
                if getattr(person, code) is not None
            ]
            session.execute(insert(table(CustomerValue)), rows)
    return Base(tenant_id, people)


def _receipt(
    session: Any, tenant_id: int, customer_id: int, at: datetime, amount: int, **more: Any
) -> None:
    row = {
        "tenant_id": tenant_id,
        "customer_id": customer_id,
        "at": at,
        "amount": amount,
        "bucket": 0,
        "external_id": uuid4().hex,
        **more,
    }
    session.execute(insert(table(Receipt)).values(row))


# The naive evaluation: what a condition says, read from its name, one customer at a time.

Holds = Callable[[Person], bool]


def compared(operator: str, found: Any, value: Any, upper: Any = None) -> bool:
    """Compare what has an order; nothing is neither above nor below."""
    if operator == "ne":
        return bool(found is None or found != value)
    if found is None:
        return False
    orders: dict[str, Callable[[], bool]] = {
        "eq": lambda: found == value,
        "lt": lambda: found < value,
        "le": lambda: found <= value,
        "gt": lambda: found > value,
        "ge": lambda: found >= value,
        "between": lambda: value <= found <= upper,
    }
    return bool(orders[operator]())


def text_holds(s: dict[str, Any], found: str | None) -> bool:
    operator = s["operator"]
    if operator in {"is_not", "not_in", "not_contains", "empty"}:
        positive = {"is_not": "is", "not_in": "in", "not_contains": "contains"}
        return not text_holds({**s, "operator": positive.get(operator, "not_empty")}, found)
    have = "".join(letter.lower() for letter in found or "")
    want = "".join(letter.lower() for letter in s.get("value", ""))
    wants = ["".join(letter.lower() for letter in w) for w in s.get("values", [])]
    answers = {
        "is": have == want,
        "in": have in wants,
        "starts": have.startswith(want),
        "contains": want in have,
        "not_empty": True,
    }
    return bool(have) and answers[operator]


def date_holds(s: dict[str, Any], found: date | None) -> bool:
    operator = s["operator"]
    if operator in {"in_last", "not_in_last"}:
        inside = found is not None and TODAY - timedelta(days=s["days"]) <= found <= TODAY
        return inside is (operator == "in_last")
    if operator in {"empty", "not_empty"}:
        return (found is None) is (operator == "empty")
    if operator.startswith("anniversary"):
        first = date.fromisoformat(s["value"]) if "value" in s else TODAY
        coming = {first + timedelta(days=n) for n in range(s.get("days", 0) + 1)}
        return found is not None and any(_celebrated(found, day) for day in coming)
    value, upper = (date.fromisoformat(s[k]) if k in s else None for k in ("value", "upper"))
    return compared(operator, found, value, upper)


def _celebrated(born: date, day: date) -> bool:
    if (born.month, born.day) != (2, 29):
        return (born.month, born.day) == (day.month, day.day)
    leap = day.year % 4 == 0
    return (day.month, day.day) == ((2, 29) if leap else (2, 28))


def age(born: date | None) -> int | None:
    if born is None:
        return None
    return TODAY.year - born.year - ((TODAY.month, TODAY.day) < (born.month, born.day))


def receipts_hold(s: dict[str, Any], person: Person) -> bool:
    days = [(at.astimezone(ZONE).date(), at, amount) for at, amount in person.receipts]
    if "within_days" in s:
        first = TODAY - timedelta(days=s["within_days"])
        days = [d for d in days if d[0] >= first and d[1] <= NOW]
    days = [d for d in days if "since" not in s or d[0] >= date.fromisoformat(s["since"])]
    days = [d for d in days if "until" not in s or d[0] <= date.fromisoformat(s["until"])]
    bounds = s.get("value"), s.get("upper")
    if s["criterion"] == "count":
        return compared(s["operator"], len(days), *bounds)
    money = [b if b is None else round(b * 100) for b in bounds]
    total = sum(amount for _, _, amount in days)
    if s["criterion"] == "sum":
        return compared(s["operator"], total, *money)
    return bool(days) and compared(s["operator"], total / len(days), *money)


def moment_holds(s: dict[str, Any], person: Person) -> bool:
    moments = [at for at, _ in person.receipts]
    if s["operator"] == "never":
        return not moments
    if s["operator"] in {"in_last", "not_in_last"}:
        chosen = moments if s["criterion"] == "last" else sorted(moments)[:1]
        first = TODAY - timedelta(days=s["days"])
        inside = any(at.astimezone(ZONE).date() >= first and at <= NOW for at in chosen)
        return inside is (s["operator"] == "in_last")
    if not moments:
        return False
    at = max(moments) if s["criterion"] == "last" else min(moments)
    return date_holds(s, at.astimezone(ZONE).date())


def naive(node: dict[str, Any]) -> Holds:
    """What a tree says about one customer."""
    if "all" in node:
        return lambda p: all(naive(n)(p) for n in node["all"])
    if "any" in node:
        return lambda p: any(naive(n)(p) for n in node["any"])
    if "not" in node:
        return lambda p: not any(naive(n)(p) for n in node["not"])
    s = node["settings"]
    return lambda p: _naive_condition(node["source"], s, p)


def _naive_condition(source: str, s: dict[str, Any], person: Person) -> bool:
    name = s.get("criterion", "")
    if source == "all_customers":
        return True
    if source == "receipts":
        return (moment_holds if name in {"first", "last"} else receipts_hold)(s, person)
    if name == "gender":
        stated = ["not_stated", "female", "male"][person.gender]
        return bool((stated == s["value"]) is (s["operator"] == "is"))
    if name == "age":
        return compared(s["operator"], age(person.birth_date), s["value"], s.get("upper"))
    if name in {"city", "email", "shoe"}:
        return text_holds(s, getattr(person, name))
    if name == "size":
        return compared(s["operator"], person.size, s["value"], s.get("upper"))
    return date_holds(s, getattr(person, name))


# Random conditions.

day_text = st.sampled_from([*DAYS, date(2024, 2, 29), date(2026, 2, 28)]).map(date.isoformat)
few_days = st.sampled_from([0, 1, 2, 30, 400])
words = st.sampled_from([*CITIES[1:], "er", "О", "nobody"])


def condition(source: str, **parts: Any) -> st.SearchStrategy[dict[str, Any]]:
    made = {k: v if isinstance(v, st.SearchStrategy) else st.just(v) for k, v in parts.items()}
    return st.fixed_dictionaries(made).map(lambda s: {"source": source, "settings": s})


def ordered(source: str, criterion: str, value: Any, **more: Any) -> Any:
    one = st.sampled_from(["eq", "ne", "lt", "le", "gt", "ge"])
    single = condition(source, criterion=criterion, operator=one, value=value, **more)
    both = condition(
        source, criterion=criterion, operator="between", value=value, upper=value, **more
    )
    return single | both


def texts(source: str, criterion: str) -> Any:
    one = st.sampled_from(["is", "is_not", "starts", "contains", "not_contains"])
    several = st.lists(words, min_size=1, max_size=3, unique=True)
    return (
        condition(source, criterion=criterion, operator=one, value=words)
        | condition(
            source, criterion=criterion, operator=st.sampled_from(["in", "not_in"]), values=several
        )
        | condition(source, criterion=criterion, operator=st.sampled_from(["empty", "not_empty"]))
    )


def dates(source: str, criterion: str) -> Any:
    recent = st.sampled_from(["in_last", "not_in_last", "anniversary_within"])
    return (
        ordered(source, criterion, day_text)
        | condition(source, criterion=criterion, operator=recent, days=few_days)
        | condition(source, criterion=criterion, operator="anniversary_on", value=day_text)
        | condition(source, criterion=criterion, operator=st.sampled_from(["empty", "not_empty"]))
    )


def receipts(criterion: str, value: Any) -> Any:
    return (
        ordered("receipts", criterion, value)
        | ordered("receipts", criterion, value, within_days=few_days)
        | ordered("receipts", criterion, value, since=day_text, until=day_text)
    )


def moments(criterion: str) -> Any:
    recent, fixed = st.sampled_from(["in_last", "not_in_last"]), st.sampled_from(["lt", "ge", "eq"])
    return (
        condition("receipts", criterion=criterion, operator=recent, days=few_days)
        | condition("receipts", criterion=criterion, operator=fixed, value=day_text)
        | condition("receipts", criterion=criterion, operator="never")
    )


genders = condition(
    "attribute",
    criterion="gender",
    operator=st.sampled_from(["is", "is_not"]),
    value=st.sampled_from(["female", "male", "not_stated"]),
)
money = st.sampled_from([-5, 0, 9.99, 10, 10.01, 20])
leaves = st.one_of(
    genders,
    st.just({"source": "all_customers", "settings": {}}),
    texts("attribute", "city"),
    texts("attribute", "email"),
    ordered("attribute", "age", st.sampled_from([0, 17, 18, 22])),
    dates("attribute", "birth_date"),
    dates("attribute", "registered_on"),
    texts("custom_field", "shoe"),
    ordered("custom_field", "size", st.sampled_from(NUMBERS)),
    dates("custom_field", "wedding"),
    receipts("count", st.sampled_from([0, 1, 2, 4])),
    receipts("sum", money),
    receipts("average", money),
    moments("last"),
    moments("first"),
)


def group(nodes: Any) -> Any:
    several = st.lists(nodes, min_size=1, max_size=3)
    return st.tuples(st.sampled_from(["all", "any", "not"]), several).map(lambda g: {g[0]: g[1]})


trees = st.recursive(leaves, group, max_leaves=8).map(lambda n: n if len(n) == 1 else {"all": [n]})


def found(database: Database, base: Base, plugins: Plugins, tree: dict[str, Any]) -> list[int]:
    with database.tenant_session(base.tenant_id) as session:
        query = customer_ids(session, base.tenant_id, tree, now=NOW, plugins=plugins)
        return list(session.scalars(query))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(tree=trees)
def test_a_tree_finds_whom_it_says(
    database: Database, base: Base, plugins: Plugins, tree: dict[str, Any]
) -> None:
    holds = naive(tree)
    expected = [person.id for person in base.people if holds(person)]
    assert sorted(found(database, base, plugins, tree)) == expected


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(leaf=leaves)
def test_a_condition_and_its_negation_share_out_the_base(
    database: Database, base: Base, plugins: Plugins, leaf: dict[str, Any]
) -> None:
    inside = found(database, base, plugins, {"all": [leaf]})
    outside = found(database, base, plugins, {"not": [leaf]})
    assert sorted(inside + outside) == [person.id for person in base.people]


def test_a_sample_is_cut_by_bucket(database: Database, base: Base, plugins: Plugins) -> None:
    tree = {"all": [{"source": "all_customers", "settings": {}}]}
    with database.tenant_session(base.tenant_id) as session:
        query = customer_ids(
            session, base.tenant_id, tree, now=NOW, plugins=plugins, buckets=(10, 15)
        )
        assert sorted(session.scalars(query)) == [person.id for person in base.people[10:15]]


SMALL_TENANTS_TREES = [
    {"source": "attribute", "settings": {"criterion": "city", "operator": "is", "value": "Omsk"}},
    {"source": "attribute", "settings": {"criterion": "age", "operator": "ge", "value": 30}},
    {
        "source": "receipts",
        "settings": {"criterion": "sum", "operator": "ge", "value": 90, "within_days": 60},
    },
    {"source": "receipts", "settings": {"criterion": "last", "operator": "not_in_last", "days": 9}},
    {"source": "receipts", "settings": {"criterion": "count", "operator": "le", "value": 2}},
]


@pytest.fixture(scope="module")
def crowd(database: Database) -> tuple[int, int]:
    """A tenant of 20 customers beside one of 20,000, each with three receipts."""
    tenants = []
    for name, size in (("small", 20), ("large", 20_000)):
        tenant_id = create_tenant(database, slug=f"{name}-{uuid4().hex[:8]}", name=name).id
        with database.tenant_session(tenant_id) as session:
            make_customers(session, tenant_id, size)
            make_receipts(session, tenant_id, each=3, until=NOW)
        tenants.append(tenant_id)
    with database.tenant_session(tenants[0]) as session:
        session.execute(text("ANALYZE customer, receipt"))
    return tenants[0], tenants[1]


@pytest.mark.parametrize("match", ["all", "any", "not"])
@pytest.mark.parametrize("node", SMALL_TENANTS_TREES, ids=lambda n: n["settings"]["criterion"])
def test_a_small_tenant_does_not_read_the_large_one(
    database: Database,
    crowd: tuple[int, int],
    plugins: Plugins,
    match: str,
    node: dict[str, Any],
) -> None:
    small, _ = crowd
    tree = {match: [node, SMALL_TENANTS_TREES[0]]}
    with database.tenant_session(small) as session:
        query = customer_ids(session, small, tree, now=NOW, plugins=plugins)
        plan = session.execute(_explained(query, database)).scalar_one()
    assert max(_rows_read(plan[0]["Plan"])) <= 100


def _explained(query: Any, database: Database) -> Any:
    compiled = query.compile(
        dialect=database.engine.dialect, compile_kwargs={"literal_binds": True}
    )
    return text("EXPLAIN (ANALYZE, FORMAT JSON) " + str(compiled).replace(":", r"\:"))


def _rows_read(plan: dict[str, Any]) -> list[float]:
    """Rows that each scan looked at, those it threw away included."""
    removed = plan.get("Rows Removed by Filter", 0)
    here = (
        (plan["Actual Rows"] + removed) * plan["Actual Loops"] if "Scan" in plan["Node Type"] else 0
    )
    return [here, *(n for child in plan.get("Plans", []) for n in _rows_read(child))]
