"""The volume of a large base, about: it adds up, and of everybody it is the exact one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from envoi.audience.estimate import about, estimate
from envoi.audience.request import AudienceRequest
from envoi.audience.volume import Volume
from envoi.db import Database
from envoi.plugins import Plugins
from envoi.types import AddressKind
from factories.customers import make_customers

CUSTOMERS = 2_000
WOMEN = {
    "all": [
        {
            "source": "attribute",
            "settings": {"criterion": "gender", "operator": "is", "value": "female"},
        }
    ]
}
CAP = {"kind": "frequency_cap", "settings": {"most": 3, "period": 1, "unit": "week"}}


def adds_up(volume: Volume) -> bool:
    lines = sum(line.count for line in volume.lines)
    return (
        volume.segment == lines + volume.control + volume.recipients
        and volume.eligible == volume.control + volume.recipients
        and sum(volume.variants) == volume.recipients
    )


@pytest.fixture
def request_of(database: Database, tenant_id: int) -> AudienceRequest:
    """Everything that can be in an account, for a base with every fault."""
    with database.tenant_connection(tenant_id) as connection:
        make_customers(connection, tenant_id, CUSTOMERS)
        left = "SELECT tenant_id, 'email', 0, id FROM customer WHERE id % 13 = 0"
        spoil = (
            "UPDATE customer SET email = NULL, email_quality = 30 WHERE id % 7 = 0",
            "UPDATE customer SET email_quality = 31 WHERE id % 11 = 0",
            "UPDATE customer SET gender = id % 3",
            f"INSERT INTO opt_out (tenant_id, channel, category_id, customer_id) {left}",
        )
        for statement in spoil:
            connection.execute(text(statement))
    return AudienceRequest(
        tenant_id=tenant_id,
        channel="email",
        address_kind=AddressKind.EMAIL,
        now=datetime.now(UTC),
        rules=(CAP,),
        control_share=7.5,
        strata=("gender", "age_band"),
        one_per_address=False,
        shares=(50.0, 30.0, 20.0),
        seed=3,
    )


@pytest.mark.parametrize("tree", [None, WOMEN])
def test_a_sample_of_everybody_is_the_exact_account(
    database: Database,
    plugins: Plugins,
    request_of: AudienceRequest,
    tree: dict[str, object] | None,
) -> None:
    asked = replace(request_of, tree=tree)
    with database.tenant_connection(asked.tenant_id) as connection:
        exact = estimate(connection, plugins, asked)
        sampled = about(connection, plugins, asked, (0, 10_000))
    assert adds_up(exact)
    assert exact.segment > 0
    assert not sampled.exact
    assert replace(sampled, exact=True) == exact


@pytest.mark.parametrize("end", [1, 400, 2_500, 7_777])
def test_a_sample_adds_up_and_is_near(
    database: Database, plugins: Plugins, request_of: AudienceRequest, end: int
) -> None:
    with database.tenant_connection(request_of.tenant_id) as connection:
        exact = estimate(connection, plugins, request_of)
        sampled = about(connection, plugins, request_of, (0, end))
    assert adds_up(sampled)
    if end >= 2_500:
        assert sampled.recipients == pytest.approx(exact.recipients, rel=0.15)
