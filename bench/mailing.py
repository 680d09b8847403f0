"""A mailing as benchmarks send it: customers, a gateway, 8 KB with ten links, collected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from sqlalchemy import select, text

from bench.stage import Stage, open_run
from envoi.audience.collection import collect
from envoi.customers.models import Customer
from envoi.db import table
from envoi.delivery.claim import ClaimedMessage
from envoi.delivery.gateways import set_gateway
from envoi.delivery.models import Run
from envoi.delivery.plan import make_plan
from envoi.delivery.routes import likely_route
from envoi.delivery.runs import RunSettings, VariantContent, get_run

LINKS = 10
EMAIL_BYTES = 8192

_CUSTOMERS = text(
    """
INSERT INTO customer (tenant_id, external_id, bucket, gender, email_quality, birth_date,
    registered_on, first_name, last_name, city, email)
SELECT :tenant, 'B-' || i, envoi_bucket('B-' || i), i % 3, 0,
    current_date - (18 * 366 + (i::bigint * 37) % (60 * 365))::int, current_date - i % 1500,
    (ARRAY['Anna', 'Boris', 'Clara', 'Jörg', 'Elena', 'Felix', 'Grete'])[i % 7 + 1],
    (ARRAY['Adler', 'Brandt', 'Conrad', 'Dörner', 'Engel'])[i % 5 + 1],
    (ARRAY['Berlin', 'Hamburg', 'München', 'Köln'])[i % 4 + 1],
    'person.' || i || '@mail' || i % 50 || '.test'
FROM generate_series(1, CAST(:count AS int)) AS i
"""
)

_LEFT = text(
    """
INSERT INTO opt_out (tenant_id, channel, category_id, customer_id, address)
SELECT :tenant, 'email', 0, -i, 'person.' || i || '.left@mail' || i % 50 || '.test'
FROM generate_series(1, CAST(:count AS int)) AS i
"""
)

_SUPPRESSED = text(
    """
INSERT INTO suppression (tenant_id, channel, address)
SELECT :tenant, 'email', 'person.' || i || '.gone@mail' || i % 50 || '.test'
FROM generate_series(1, CAST(:count AS int)) AS i
"""
)

_ITEM = (
    '<tr><td style="padding:8px;color:#333333"><a href="https://shop.test/autumn/offer-{number}'
    '?from=mail" style="color:#0a58ca;text-decoration:none">Offer {number}</a>: less than'
    " before, this week only.</td></tr>\n"
)
_BODY = """<html><head><title>Autumn</title></head>
<body style="margin:0;font-family:sans-serif"><h1>Hello {{{{ client.properties.full_name }}}}</h1>
<p>These are our offers in {{{{ client.properties.city }}}}. You have been with us since
{{{{ client.properties.register_date | date }}}}. Thank you.</p>
<table role="presentation" width="600">{items}</table>
{{% if client.properties.gender == "female" %}}<p>Her shop</p>{{% else %}}<p>A shop</p>{{% endif %}}
<p>{prose}</p><p><a href="{{{{ unsubscribe_url }}}}">Unsubscribe</a></p></body></html>"""
_PROSE = "Warm things for cold days, made to last and easy to return. "


def email(links: int = LINKS, prose: int = 6) -> dict[str, Any]:
    """Return the content of an email with so many tracked links and sentences."""
    items = "".join(_ITEM.format(number=number) for number in range(1, links + 1))
    return {
        "subject": "{{ client.properties.first_name }}, your offers in"
        " {{ client.properties.city }}",
        "preheader": "Only this week",
        "body_format": "html",
        "body": _BODY.format(items=items, prose=_PROSE * prose),
        "sender_name": "Fieldmarket",
        "sender_address": "news@fieldmarket.test",
    }


def make_people(stage: Stage, tenant_id: int, count: int) -> None:
    """Make customers, and lists of former ones who have left and of addresses that bounced."""
    with stage.database.tenant_connection(tenant_id) as connection:
        connection.execute(_CUSTOMERS, {"tenant": tenant_id, "count": count})
        for statement in (_LEFT, _SUPPRESSED):
            connection.execute(statement, {"tenant": tenant_id, "count": count // 20})
    settle(stage)


def make_gateway(stage: Stage, tenant_id: int, port: int) -> int:
    """Set up the SMTP server on this machine."""
    with stage.database.tenant_session(tenant_id) as session:
        gateway = set_gateway(
            session,
            stage.installation.plugins,
            stage.installation.settings,
            tenant_id,
            channel="email",
            provider="smtp",
            name="sink",
            values={"host": "127.0.0.1", "port": port, "security": "none"},
        )
        return gateway.id


def collected_run(
    stage: Stage,
    tenant_id: int,
    gateway_id: int | None,
    content: dict[str, Any],
    rules: Sequence[Mapping[str, Any]] = (),
    channel: str = "email",
) -> Run:
    """Make a run to all customers and collect it, so that senders may begin."""
    installation = stage.installation
    settings = RunSettings(
        variants=[VariantContent(number=1, content=content)],
        rules=[dict(rule) for rule in rules],
        links_url="https://links.fieldmarket.test",
        block_size=installation.settings.block_size,
        resends_unconfirmed=installation.plugins.channels[channel].resends_unconfirmed,
    )
    with stage.database.tenant_session(tenant_id) as session:
        run = open_run(session, tenant_id, settings, gateway_id, channel)
    collect(stage.database, installation.plugins, tenant_id, run.id)
    settle(stage)
    with stage.database.tenant_session(tenant_id) as session:
        return get_run(session, tenant_id, run.id)


def email_bytes(stage: Stage, run: Run, samples: int = 70) -> int:
    """Return the mean size of the run's emails as they leave, measured on the first ones."""
    c = table(Customer).c
    with stage.database.tenant_session(run.tenant_id) as session:
        route = likely_route(session, stage.installation.plugins, run.tenant_id, run.id)
    plan = make_plan(stage.installation, run.tenant_id, run.id, route)
    first = select(c.id).where(c.tenant_id == run.tenant_id).order_by(c.id).limit(samples)
    with stage.database.tenant_connection(run.tenant_id) as connection:
        people = plan.people.fetch(connection, connection.scalars(first).all())
    return round(
        mean(
            len(plan.render(ClaimedMessage(number, 1, 1, 0), person).payload)
            for number, person in people.items()
        )
    )


def settle(stage: Stage) -> None:
    """Vacuum, analyse and write everything out, so that the next figure is its own."""
    with stage.database.engine.connect() as connection:
        autonomous = connection.execution_options(isolation_level="AUTOCOMMIT")
        autonomous.execute(text("VACUUM ANALYZE"))
    with stage.postgres.connect("postgres") as connection:
        connection.execute("CHECKPOINT")
