"""The worked example: 14,730 in the segment, 13,257 recipients, strata as on the screens."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from draws import DRAWS
from envoi.audience.collection import collect
from envoi.audience.estimate import estimate
from envoi.audience.request import AudienceRequest
from envoi.db import Database
from envoi.delivery.models import RunKind, Stage
from envoi.delivery.runs import RunSettings, VariantContent, create_run
from envoi.plugins import Plugins
from envoi.types import AddressKind
from factories.customers import WORKED_CONTROL, WORKED_STRATA, make_worked_example


@pytest.fixture
def request_(database: Database, tenant_id: int) -> AudienceRequest:
    """The example's mailing: 7 % by gender and age band, two variants."""
    with database.tenant_session(tenant_id) as session:
        make_worked_example(session, tenant_id)
    return AudienceRequest(
        tenant_id=tenant_id,
        channel="email",
        address_kind=AddressKind.EMAIL,
        now=datetime.now(UTC),
        control_share=7,
        strata=("gender", "age_band"),
        shares=(50, 50),
        seed=4711,
    )


def test_the_account_is_the_one_on_the_screens(
    database: Database, plugins: Plugins, request_: AudienceRequest
) -> None:
    with database.tenant_connection(request_.tenant_id) as connection:
        volume = estimate(connection, plugins, request_)
    assert volume.segment == 14_730
    assert volume.excluded(Stage.ADDRESS_ISSUE) == 71
    assert volume.excluded(Stage.CHANNEL_OPT_OUT) == 404
    assert (volume.eligible, volume.control, volume.recipients) == (14_255, 998, 13_257)
    assert volume.variants == (6_629, 6_628)
    ages = {23: 2, 36: 3, 51: 4, 67: 5}
    expected = {
        (gender, ages[age]): (size, control)
        for ((gender, age), size), control in zip(
            WORKED_STRATA.items(), WORKED_CONTROL, strict=True
        )
    }
    assert {s.codes: (s.eligible, s.control) for s in volume.strata} == expected


def test_the_collection_writes_the_same_account(
    database: Database, plugins: Plugins, request_: AudienceRequest
) -> None:
    tenant_id = request_.tenant_id
    with database.tenant_session(tenant_id) as session:
        settings = RunSettings(
            control_share=7,
            strata=["gender", "age_band"],
            variants=[VariantContent(number=n, share=50, content={}) for n in (1, 2)],
        )
        run = create_run(
            session,
            tenant_id,
            mailing_id=None,
            kind=RunKind.MAILING,
            channel="email",
            gateway_id=None,
            settings=settings,
            now=request_.now,
        )
    collected = collect(database, plugins, tenant_id, run.id)
    assert collected is not None
    with database.tenant_connection(tenant_id) as connection:
        estimated = estimate(connection, plugins, request_)
    assert collected.lines == estimated.lines
    assert collected.strata == estimated.strata
    assert collected.variants == estimated.variants


@pytest.mark.parametrize(("seed", "number", "expected"), DRAWS)
def test_sql_draws_as_python_does(
    database: Database, tenant_id: int, seed: int, number: int, expected: int
) -> None:
    with database.tenant_connection(tenant_id) as connection:
        found = connection.scalar(
            text("SELECT envoi_draw(:seed, :id)"), {"seed": seed, "id": number}
        )
    assert found == expected
