"""Rules of other plugins: every need is served, several rules agree, failures name the guilty."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import text

from envoi import hookimpl
from envoi.audience.collection import collect
from envoi.audience.estimate import estimate
from envoi.audience.recheck import Recheck
from envoi.audience.request import AudienceRequest
from envoi.db import Database
from envoi.delivery.models import RunKind, RunStatus, Stage
from envoi.delivery.runs import RunSettings, VariantContent, create_run, get_run
from envoi.errors import PluginError
from envoi.plugins import Plugins, load_plugins
from envoi.sql import RuleColumns, case, func, literal
from envoi.types import AddressKind, Need, NeedRequest, Rule, RuleKindSpec
from factories.customers import customer_ids, make_customers

NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
LAST = NeedRequest(need=Need.LAST_CONTACT, channels=("email",))


class Nothing(BaseModel):
    """Settings of a rule that has none."""


def daytime(settings: Nothing, columns: RuleColumns) -> Rule:
    """Write to people only before 13:00 of their day; later, wait for the next midnight."""
    assert columns.local_minute is not None
    assert columns.local_midnight is not None
    tomorrow = columns.local_midnight + literal(timedelta(days=1))
    return Rule(reason="late", deferred_until=case((columns.local_minute >= 13 * 60, tomorrow)))


def never_in_berlin(settings: Nothing, columns: RuleColumns) -> Rule:
    assert columns.customer is not None
    return Rule(reason="berlin", blocked=columns.customer.city == "Berlin")


def rested(settings: Nothing, columns: RuleColumns) -> Rule:
    """Leave everybody in peace for a week."""
    week = literal(timedelta(days=7))
    return Rule(reason="recent", blocked=columns.last_contact[LAST] > columns.now - week)


def divides(settings: Nothing, columns: RuleColumns) -> Rule:
    assert columns.customer is not None
    return Rule(reason="divides", blocked=1 / (func.length(columns.customer.city) * 0) > 1)


def raises(settings: Nothing, columns: RuleColumns) -> Rule:
    raise RuntimeError("no")


KINDS: dict[str, tuple[Callable[[Any, RuleColumns], Rule], Sequence[NeedRequest], str]] = {
    "daytime": (daytime, [NeedRequest(need=Need.ZONE_CLOCK)], "late"),
    "never_in_berlin": (never_in_berlin, [NeedRequest(need=Need.CUSTOMER)], "berlin"),
    "rested": (rested, [LAST], "recent"),
    "divides": (divides, [NeedRequest(need=Need.CUSTOMER)], "divides"),
    "raises": (raises, [], "raises"),
}


@pytest.fixture(scope="module")
def partners() -> Plugins:
    """Every installed plugin, and one partner for each rule kind."""

    def partner(name: str) -> Any:
        rule, needs, reason = KINDS[name]
        spec = RuleKindSpec(
            name=name,
            label=name,
            settings=Nothing,
            needs=lambda _: needs,
            rule=rule,
            reasons={reason: reason},
        )
        return SimpleNamespace(register_rule_kinds=hookimpl(lambda: [spec]))

    return load_plugins(extra=[(f"partner-{name}", partner(name)) for name in KINDS])


@pytest.fixture
def base(database: Database, tenant_id: int) -> int:
    """A quarter each in Berlin, Hamburg, Kazan and Omsk; half in Omsk's time zone."""
    with database.tenant_connection(tenant_id) as connection:
        make_customers(connection, tenant_id, 20, zone="Asia/Omsk")
        make_customers(connection, tenant_id, 20, first=21, prefix="D-")
    return tenant_id


def request_for(tenant_id: int, *kinds: str, now: datetime = NOON) -> AudienceRequest:
    return AudienceRequest(
        tenant_id=tenant_id,
        channel="email",
        address_kind=AddressKind.EMAIL,
        now=now,
        rules=tuple({"kind": kind, "settings": {}} for kind in kinds),
    )


def test_the_clock_is_the_customers_own(database: Database, partners: Plugins, base: int) -> None:
    """At 12:00 UTC it is 18:00 in Omsk and 13:00 in Berlin, the company's zone."""
    with database.tenant_connection(base) as connection:
        noon = estimate(connection, partners, request_for(base, "daytime"))
        earlier = request_for(base, "daytime", now=NOON - timedelta(minutes=1))
        before = estimate(connection, partners, earlier)
    assert (noon.recipients, noon.deferred) == (40, 40)
    assert (before.recipients, before.deferred) == (40, 20)


def test_a_recheck_goes_with_the_time(database: Database, partners: Plugins, base: int) -> None:
    recheck = Recheck(partners, request_for(base, "daytime"))
    with database.tenant_connection(base) as connection:
        ids = customer_ids(connection, base)
        held = [
            len(recheck(connection, ids, NOON + timedelta(hours=hours))) for hours in (-7, -1, 0)
        ]
        verdict = recheck(connection, ids, NOON)[0]
    assert held == [0, 20, 40]
    assert verdict.deferred_until is not None
    assert verdict.deferred_until > NOON


def test_block_beats_defer(database: Database, partners: Plugins, base: int) -> None:
    with database.tenant_connection(base) as connection:
        volume = estimate(connection, partners, request_for(base, "daytime", "never_in_berlin"))
    assert volume.excluded(Stage.POLICY) == 10
    assert (volume.recipients, volume.deferred) == (30, 30)


def test_last_contact_is_known(database: Database, partners: Plugins, base: int) -> None:
    now = datetime.now(UTC)
    with database.tenant_connection(base) as connection:
        run_id = connection.scalar(
            text(
                "INSERT INTO run (tenant_id, channel, launched_on, seed)"
                " VALUES (:tenant, 'email', current_date, 1) RETURNING id"
            ),
            {"tenant": base},
        )
        connection.execute(
            text(
                "INSERT INTO message (tenant_id, run_id, launched_on, customer_id, state,"
                " accepted_at) SELECT :tenant, :run, current_date, id, 5, now() FROM customer"
                " WHERE tenant_id = :tenant AND starts_with(external_id, 'D-')"
            ),
            {"tenant": base, "run": run_id},
        )
        volume = estimate(connection, partners, request_for(base, "rested", now=now))
        later = request_for(base, "rested", now=now + timedelta(days=8))
        rested_volume = estimate(connection, partners, later)
    assert volume.excluded(Stage.POLICY) == 20
    assert rested_volume.excluded(Stage.POLICY) == 0


@pytest.mark.parametrize("kind", ["divides", "raises"])
def test_a_failing_rule_names_its_plugin(
    database: Database, partners: Plugins, base: int, kind: str
) -> None:
    request = request_for(base, "never_in_berlin", kind)
    with (
        pytest.raises(PluginError, match=f"Plugin partner-{kind}:"),
        database.tenant_connection(base) as connection,
    ):
        estimate(connection, partners, request)


def test_a_failing_rule_pauses_the_run(database: Database, partners: Plugins, base: int) -> None:
    settings = RunSettings(
        rules=[{"kind": "divides", "settings": {}}],
        variants=[VariantContent(number=1, share=100, content={})],
    )
    with database.tenant_session(base) as session:
        run = create_run(
            session,
            base,
            mailing_id=None,
            kind=RunKind.MAILING,
            channel="email",
            gateway_id=None,
            settings=settings,
            now=datetime.now(UTC),
        )
    assert collect(database, partners, base, run.id) is None
    with database.tenant_session(base) as session:
        found = get_run(session, base, run.id)
        assert found.status == RunStatus.PAUSED
        assert "partner-divides" in found.pause_reason
