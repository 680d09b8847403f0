"""What messages cost: exactly by prices and parts, estimated before, and never above a budget."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envoi.audience.collection import collect
from envoi.db import Database
from envoi.delivery.models import Gateway, Run, RunStatus
from envoi.delivery.prices import UNITS, PriceList, PriceTable, set_prices
from envoi.delivery.runs import get_run, resume_run
from envoi.errors import ValidationFailedError
from envoi.installation import Installation
from envoi.mailings import launch, service, variants
from envoi.mailings.budget import change_budget
from envoi.mailings.cascade import add_step
from envoi.mailings.costs import estimate_cost
from envoi.plugins import Plugins
from envoi.segments.service import create_segment
from envoi.types import Outgoing, SendResult, SendStatus, Submission
from factories.customers import make_customers
from factories.delivery import an_installation, email_content, is_sent
from factories.scripted import (
    Script,
    cost_of,
    scripted_gateway,
    send_through,
    sms_run,
    with_provider,
)

LINKS = "https://links.test"
LONG = "{% if client.properties.external_id == 'C-4' %}" + 200 * "x" + "{% endif %}Hello"
"""Two parts for one customer, one for everybody else."""


@pytest.fixture
def script() -> Script:
    return Script(batch=20)


@pytest.fixture
def installation(
    database: Database, plugins: Plugins, tmp_path: Path, script: Script
) -> Installation:
    return an_installation(database, with_provider(plugins, script), tmp_path)


def naive(prices: dict[str, Decimal], address: str) -> Decimal:
    """The price of an address by looking at every beginning of it."""
    known = [address[:n] for n in range(len(address), -1, -1) if address[:n] in prices]
    return prices[known[0]] if known else Decimal(0)


PREFIXES = st.sampled_from(["", "+4", "+49", "+491", "+4915100", "+49151000000", "+7"])
PRICES = st.dictionaries(PREFIXES, st.decimals(0, 100, places=4), max_size=6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PRICES, st.from_regex(r"\+(4915100|491|7)[0-9]{0,8}", fullmatch=True))
def test_the_longest_beginning_of_an_address_has_the_price(
    prices: dict[str, Decimal], address: str
) -> None:
    given = [{"prefix": prefix, "price": str(price)} for prefix, price in prices.items()]
    stored = PriceTable.model_validate({"prices": given})
    again = PriceTable.model_validate(stored.model_dump(mode="json"))
    assert PriceList(again).of(address) == int(naive(prices, address) * UNITS)


@pytest.mark.parametrize(
    "wrong",
    [
        [{"prefix": "49", "price": "1"}],
        [{"prefix": "+49", "price": "-1"}],
        [{"prefix": "+49", "price": "1.00001"}],
        [{"prefix": "+49", "price": "1"}, {"prefix": "+49", "price": "2"}],
        [{"price": "much"}],
    ],
)
def test_prices_that_are_none_are_refused(
    installation: Installation, database: Database, tenant_id: int, wrong: list[dict[str, str]]
) -> None:
    with database.tenant_session(tenant_id) as session:
        gateway_id = scripted_gateway(session, installation, tenant_id)
        with pytest.raises(ValidationFailedError):
            set_prices(session, tenant_id, gateway_id, {"prices": wrong})


def test_a_run_costs_what_was_taken_by_prefix_and_part(
    installation: Installation, database: Database, tenant_id: int, script: Script
) -> None:
    prices = {"": Decimal("1.5"), "+49": Decimal("2.25"), "+4915100000003": Decimal("0.0001")}

    def answer(message: Outgoing) -> SendResult:
        if message.address.endswith("7"):
            return SendResult(status=SendStatus.REFUSED, code=11, raw="no such number")
        if message.parts == 1:
            return SendResult(status=SendStatus.ACCEPTED, provider_id=message.address)
        one = Submission(number=1, status=SendStatus.ACCEPTED, provider_id=f"{message.address}.1")
        two = Submission(number=2, status=SendStatus.REFUSED, raw="full")
        return SendResult(status=SendStatus.ACCEPTED, submissions=(one, two))

    script.answer = answer
    run = sms_run(installation, tenant_id, 60, text=LONG, price="9")
    with database.tenant_session(tenant_id) as session:
        assert run.gateway_id is not None
        given = [{"prefix": prefix, "price": str(price)} for prefix, price in prices.items()]
        set_prices(session, tenant_id, run.gateway_id, {"prices": given})
    send_through(installation, run, threads=2)
    assert is_sent(database, run)
    taken = [m.address for m in script.taken]
    assert len(taken) == 54
    assert [m.parts for m in script.taken if m.address.endswith("0004")] == [2]
    # Of the message of two parts one was refused.
    expected = sum(naive(prices, address) for address in taken)
    assert cost_of(database, run) == (54, int(expected * UNITS))


def test_a_gateway_without_prices_counts_parts_alone(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    run = sms_run(installation, tenant_id, 10, text=LONG)
    send_through(installation, run)
    assert cost_of(database, run) == (11, 0)


def a_mailing(
    installation: Installation, tenant_id: int, people: int, **changes: Any
) -> tuple[int, int]:
    """A draft of an SMS to so many new customers, and its gateway."""
    with installation.database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, people, phones=True)
        gateway = scripted_gateway(session, installation, tenant_id)
        made = service.create_draft(session, tenant_id, channel="sms", name="Coffee", tree={})
        service.update_mailing(session, tenant_id, made.id, made.version, changes)
        variants.save_content(session, tenant_id, made.id, made.version, {"text": LONG})
        return made.id, gateway


def started(installation: Installation, tenant_id: int, mailing_id: int) -> Run:
    """Launch a draft at once and collect its recipients."""
    plugins, chosen = installation.plugins, installation.settings
    with installation.database.tenant_session(tenant_id) as session:
        now = datetime.now(UTC)
        run_id = launch.launch_draft(session, plugins, chosen, tenant_id, mailing_id, now)
    collect(installation.database, plugins, tenant_id, run_id)
    with installation.database.tenant_session(tenant_id) as session:
        return get_run(session, tenant_id, run_id)


def test_a_budget_pauses_a_run_until_it_is_raised(
    installation: Installation, database: Database, tenant_id: int, script: Script
) -> None:
    block, threads = installation.settings.block_size, 2
    people = 6 * block
    mailing_id, gateway_id = a_mailing(installation, tenant_id, people, budget=2 * block * 100)
    with database.tenant_session(tenant_id) as session:
        set_prices(session, tenant_id, gateway_id, {"prices": [{"price": "0.01"}]})
    run = started(installation, tenant_id, mailing_id)
    send_through(installation, run, threads)
    with database.tenant_session(tenant_id) as session:
        paused = get_run(session, tenant_id, run.id)
        assert paused.status == RunStatus.PAUSED
        assert paused.pause_reason == (
            f"The budget of {2 * block / 100:,.2f} is used up. Raise it, then resume."
        )
    parts, amount = cost_of(database, run)
    assert amount == parts * 100 >= 2 * block * 100
    assert len(script.taken) <= (2 + threads) * block, "what was under way still leaves"
    with database.tenant_session(tenant_id) as session:
        change_budget(session, tenant_id, mailing_id, None)
        resume_run(session, tenant_id, run.id)
    send_through(installation, run, threads)
    assert is_sent(database, run)
    assert cost_of(database, run) == (people + 1, (people + 1) * 100)


def test_an_estimate_is_what_the_run_costs_then(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    mailing_id, gateway_id = a_mailing(installation, tenant_id, 50)
    given = [{"price": "1.25"}, {"prefix": "+49151000000", "price": "2"}]
    with database.tenant_session(tenant_id) as session:
        set_prices(session, tenant_id, gateway_id, {"prices": given})
        mailing = service.get_mailing(session, tenant_id, mailing_id)
        found = estimate_cost(session, installation.plugins, mailing, LINKS)
    run = started(installation, tenant_id, mailing_id)
    send_through(installation, run)
    parts, amount = cost_of(database, run)
    assert (found.low, found.high) == (amount, amount)
    assert (found.parts_low, found.parts_high) == (parts, parts)
    assert found.priced


def test_only_the_segment_is_paid_for(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    plugins = installation.plugins
    berlin = {"criterion": "city", "operator": "is", "value": "Berlin"}
    mailing_id, gateway_id = a_mailing(installation, tenant_id, 40)
    with database.tenant_session(tenant_id) as session:
        set_prices(session, tenant_id, gateway_id, {"prices": [{"price": "1"}]})
        tree = {"all": [{"source": "attribute", "settings": berlin}]}
        made = create_segment(session, tenant_id, name="Berlin", tree=tree, plugins=plugins)
        mailing = service.get_mailing(session, tenant_id, mailing_id)
        chosen = {"segment_id": made.id}
        service.update_mailing(session, tenant_id, mailing_id, mailing.version, chosen)
        found = estimate_cost(session, plugins, mailing, LINKS)
    run = started(installation, tenant_id, mailing_id)
    send_through(installation, run)
    assert (found.parts_low, found.high) == cost_of(database, run)
    assert 10 <= found.parts_low < 40


def test_a_cascade_costs_between_all_delivered_and_none(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    mailing_id, gateway_id = a_mailing(installation, tenant_id, 50)
    plugins = installation.plugins
    with database.tenant_session(tenant_id) as session:
        set_prices(session, tenant_id, gateway_id, {"prices": [{"price": "2"}]})
        mailing = service.get_mailing(session, tenant_id, mailing_id)
        add_step(session, plugins, tenant_id, mailing_id, mailing.version, "email", before=True)
        where = (session, tenant_id, mailing_id, mailing.version)
        variants.save_content(*where, {"text": LONG}, step=2)
        variants.save_content(session, tenant_id, mailing_id, mailing.version, email_content())
        found = estimate_cost(session, plugins, mailing, LINKS)
    assert (found.low, found.high) == (0, 51 * 2 * UNITS)


def test_three_steps_cost_between_the_first_alone_and_all_of_them(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    mailing_id, gateway_id = a_mailing(installation, tenant_id, 50)
    plugins = installation.plugins
    with database.tenant_session(tenant_id) as session:
        set_prices(session, tenant_id, gateway_id, {"prices": [{"price": "2"}]})
        last = Gateway(
            tenant_id=tenant_id,
            channel="viber",
            provider="devino_viber",
            name="Viber",
            secrets=b"",
        )
        session.add(last)
        session.flush()
        set_prices(session, tenant_id, last.id, {"prices": [{"price": "3"}]})
        where = (session, tenant_id, mailing_id)
        for step, channel in enumerate(("email", "viber"), start=2):
            mailing = service.get_mailing(*where)
            add_step(session, plugins, tenant_id, mailing_id, mailing.version, channel)
            content = email_content() if channel == "email" else {"text": "By Viber"}
            variants.save_content(*where, mailing.version, content, step=step)
        found = estimate_cost(session, plugins, mailing, LINKS)
    assert found.low == 51 * 2 * UNITS
    assert found.high == (51 * 2 + 50 * 3) * UNITS, "one of the 50 gets two parts by SMS"
