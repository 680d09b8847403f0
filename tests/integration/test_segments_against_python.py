"""Compiled segments against a naive evaluation in Python, on random trees and random data."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from sqlalchemy import select

from envoi import hookimpl
from envoi.db import Database
from envoi.plugins import Plugins, load_plugins
from envoi.segments.catalogue import load_catalogue
from envoi.segments.compile import branch_flags, customer_ids
from envoi.segments.counting import branch_counts
from envoi.segments.criteria import criteria_of
from envoi.segments.service import create_segment
from envoi.segments.tree import MAX_NODES, parse
from envoi.types import AddressKind, ChannelSpec, Criterion, Input, InputKind, Operator
from naive_segments import Naive
from shoppers import (
    DAYS,
    EMAILS,
    NOW,
    NUMBERS,
    PHONES,
    PRODUCTS,
    WORDS,
    ZONES,
    Shop,
    opened_shop,
    shoppers,
)

PEOPLE = 200
ROUNDS = 1
"""How many settings of each operator are tried, besides those in random trees."""

Kind = tuple[str, Criterion, Operator]
Choose = Callable[[Sequence[Any]], Any]

TEXTS = {
    "time_zone": ZONES,
    "external_id": ("C-1", "C-17", "c-17", "C-1999"),
    "email": (*EMAILS, "ANNA@example.test", "example"),
    "phone": (*PHONES, "+4915"),
    "product": (*PRODUCTS, "p1"),
}
PERIODS = (0, 1, 2, 30, 45, 400)
NUMBER = {"size": NUMBERS, "share": (0, 33.5, 50, 100)}
WHOLE = {"age": (0, 17, 18, 21, 22), "days_since": (0, 1, 8, 9, 18, 40)}


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    """What is installed, and a second channel, whose addresses are phone numbers."""
    sms = ChannelSpec(
        name="sms",
        label="SMS",
        address_kind=AddressKind.PHONE,
        content_schema=BaseModel,
        compile=lambda content, envelope, kit: pytest.fail("nothing is sent"),
        preview=lambda content, kit, variables: "",
        editor_template="",
    )
    brings = SimpleNamespace(register_channels=hookimpl(lambda: [sms]))
    return load_plugins([("phone", brings)])


@pytest.fixture(scope="module")
def shop(database: Database, plugins: Plugins) -> Shop:
    """Customers that are the same in every run, and two segments, one made of the other."""
    made = opened_shop(database, shoppers(Random(2026), PEOPLE))
    bought = {"criterion": "category", "operator": "in", "values": ["Coffee"]}
    age = {"criterion": "age", "operator": "lt", "value": 22}
    first = {"any": [_condition("purchases", bought), _condition("attribute", age)]}
    with database.tenant_session(made.tenant_id) as session:
        for name in ("Coffee", "Others"):
            tree = first
            if made.segments:
                used = {"segment": str(next(iter(made.segments)))}
                tree = {"not": [_condition("segment", {"criterion": "segment"} | used)]}
            segment = create_segment(session, made.tenant_id, name=name, tree=tree, plugins=plugins)
            made.segments[segment.id] = segment.tree
    return made


@pytest.fixture(scope="module")
def kinds(database: Database, plugins: Plugins, shop: Shop) -> list[Kind]:
    """Every operator of every criterion of every source that we ship."""
    with database.tenant_session(shop.tenant_id) as session:
        catalogue = load_catalogue(session, shop.tenant_id, plugins)
    found = [
        (spec.name, criterion, operator)
        for spec in plugins.segment_sources.values()
        if plugins.owner("segment source", spec.name) == "segment-builtin"
        for criterion in criteria_of(plugins, spec, catalogue)
        for operator in criterion.operators
    ]
    assert len(found) > 300
    return found


def _condition(source: str, given: dict[str, Any]) -> dict[str, Any]:
    return {"source": source, "settings": given}


def condition(kind: Kind, choose: Choose) -> dict[str, Any]:
    """Make a condition of a kind, with every value chosen out of a few."""
    source, criterion, operator = kind
    said: dict[str, Any] = {"criterion": criterion.name, "operator": operator.name}
    for asked in (*operator.inputs, *criterion.inputs):
        if asked.required or choose((True, False, False)):
            said[asked.name] = value(criterion.name, asked, choose)
    if "within_days" in said:
        said = {name: found for name, found in said.items() if name not in {"since", "until"}}
    if criterion.name == "share" and not {"products", "categories"} & said.keys():
        said["categories"] = ["Coffee"]
    return _condition(source, said)


def value(criterion: str, asked: Input, choose: Choose) -> Any:
    """Choose a value for a field, such as customers have or nearly have."""
    pool: Sequence[Any] = [c.value for c in asked.choices]
    match asked.kind:
        case InputKind.TEXT:
            pool = TEXTS.get(criterion, (*WORDS[1:], "er", "О"))
        case InputKind.TEXTS:
            known = PRODUCTS if asked.name == "products" else TEXTS.get(criterion, WORDS[1:])
            pool = [*known, "nobody"]
        case InputKind.WHOLE:
            pool = PERIODS if "days" in asked.name else WHOLE.get(criterion, (0, 1, 2, 4))
        case InputKind.NUMBER:
            pool = NUMBER.get(criterion, (-5, 0, 1, 1.5, 9.99, 10, 10.01, 20))
        case InputKind.DATE:
            pool = (*map(str, DAYS), "2024-02-29", "2026-02-28")
    if asked.kind in {InputKind.TEXTS, InputKind.CHOICES}:
        return [choose(pool) for _ in range(choose((1, 2)))]
    return choose(pool)


def test_every_operator_finds_whom_it_says(
    database: Database, plugins: Plugins, shop: Shop, kinds: list[Kind]
) -> None:
    random, naive = Random(11), Naive(shop)
    asked = [condition(kind, random.choice) for kind in kinds for _ in range(ROUNDS)]
    chunk = MAX_NODES - 10
    for begin in range(0, len(asked), chunk):
        nodes = asked[begin : begin + chunk]
        found = _found_by_each(database, plugins, shop, nodes)
        for number, node in enumerate(nodes):
            expected = {p.id for p in shop.people if naive.holds(node, p)}
            assert found[number] == expected, node


def _found_by_each(
    database: Database, plugins: Plugins, shop: Shop, nodes: list[dict[str, Any]]
) -> dict[int, set[int]]:
    """The customers of each condition, from one statement over all of them."""
    found: dict[int, set[int]] = defaultdict(set)
    with database.tenant_session(shop.tenant_id) as session:
        customers, holds = branch_flags(
            session, shop.tenant_id, parse({"any": nodes}), now=NOW, plugins=plugins
        )
        flags = [holds[f"any.{number}"] for number in range(len(nodes))]
        for row in session.execute(select(customers.c.id, *flags)):
            for number, holds_here in enumerate(row[1:]):
                if holds_here:
                    found[number].add(row[0])
    return found


@st.composite
def _trees(draw: st.DrawFn, kinds: list[Kind]) -> dict[str, Any]:
    def choose(options: Sequence[Any]) -> Any:
        return draw(st.sampled_from(options))

    def node(depth: int) -> dict[str, Any]:
        if depth == 3 or choose((True, True, False)):
            return condition(choose(kinds), choose)
        return group(depth + 1)

    def group(depth: int) -> dict[str, Any]:
        return {choose(("all", "any", "not")): [node(depth) for _ in range(choose((1, 2, 3)))]}

    return group(1)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_a_tree_finds_whom_it_says(
    database: Database, plugins: Plugins, shop: Shop, kinds: list[Kind], data: st.DataObject
) -> None:
    tree = data.draw(_trees(kinds))
    naive = Naive(shop)
    asked: dict[str, Any] = {"now": NOW, "plugins": plugins}
    with database.tenant_session(shop.tenant_id) as session:
        ids = customer_ids(session, shop.tenant_id, tree, **asked)
        found = sorted(session.scalars(ids))
        counts = branch_counts(session, shop.tenant_id, parse(tree), **asked)
        half = branch_counts(session, shop.tenant_id, parse(tree), **asked, buckets=(0, 100))
    assert found == [p.id for p in shop.people if naive.holds(tree, p)]
    for path, node in _nodes(tree):
        held = [p.id for p in shop.people if naive.holds(node, p)]
        sampled = [p.id for p in shop.people[:100] if naive.holds(node, p)]
        assert (counts.found[path], half.found[path]) == (len(held), len(sampled)), path
    assert list(counts.examples) == found[:10]


def _nodes(node: dict[str, Any], path: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Every node of a tree with its path."""
    found = [(path, node)]
    for match in {"all", "any", "not"} & node.keys():
        for number, child in enumerate(node[match]):
            found += _nodes(child, f"{path}.{match}.{number}".removeprefix("."))
    return found
