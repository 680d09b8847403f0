"""What the demo company has done in the last weeks and plans for the next ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from envoi.demo import content
from envoi.demo.history import send_in_the_past
from envoi.installation import Installation
from envoi.library.templates import create_template, starting_templates
from envoi.mailings import launch, service, variants
from envoi.mailings.audience import estimate_mailing
from envoi.mailings.calendar import first_start
from envoi.mailings.models import Mailing
from envoi.subscriptions.categories import save_category
from envoi.target_audiences.service import change_by_segment, create_audience
from envoi.tenants.service import company_zone, tenant_settings
from envoi.tenants.watchers import save_watcher_group

CONTROL = {"control_share": 10.0, "strata": ["gender", "age_band"]}


@dataclass(frozen=True)
class Planned:
    """A mailing of the demo: to which segment, with what, and how many days from today."""

    name: str
    segment: str
    message: dict[str, Any]
    days: int | None = None
    changes: dict[str, Any] = field(default_factory=lambda: dict(CONTROL))
    confirmed: bool = False


SENT = (
    Planned("Coffee week: regular buyers", "Regular buyers", content.COFFEE_WEEK, -23),
    Planned("Autumn harvest", "Quiet for 30 days", content.HARVEST, -51, {}),
    Planned("Pumpkin days in Berlin and Hamburg", content.CITIES, content.PUMPKIN, -38, {}),
    Planned("Early shoppers' tea", content.CITIES, content.TEA, -7, {"control_share": 5.0}),
)
"""Their attribution windows leave that of the first one alone."""

AHEAD = (
    Planned("We miss you", "Quiet for 30 days", content.WE_MISS_YOU),
    Planned("Offers of the week", "Regular buyers", content.OFFERS, 2, {}, confirmed=True),
    Planned("Baking days", content.CITIES, content.BAKING, 5, {}, confirmed=True),
    Planned("Gift cards", "Regular buyers", content.GIFTS, 9),
)


def prepare(installation: Installation, tenant_id: int) -> None:
    """Make what mailings choose from: categories, watchers, audiences, templates, limits."""
    with installation.database.tenant_session(tenant_id) as session:
        settings = tenant_settings(session, tenant_id)
        settings.postal_address = content.ADDRESS
        settings.daily_limit = content.DAILY_LIMIT
        for code, name in content.CATEGORIES.items():
            save_category(session, tenant_id, None, code=code, name=name)
        for name, emails in content.WATCHERS.items():
            save_watcher_group(session, tenant_id, None, name=name, addresses={"emails": emails})
        for name, tree in content.AUDIENCES.items():
            made = create_audience(session, tenant_id, name)
            change_by_segment(
                session, tenant_id, made.id, tree, add=True, plugins=installation.plugins
            )
        for name, source in zip(content.TEMPLATES, starting_templates(), strict=False):
            create_template(
                session,
                tenant_id,
                channel=source.channel,
                name=name,
                content=source.content,
                folder="Club",
            )


def fill(
    installation: Installation, tenant_id: int, segments: dict[str, int], now: datetime
) -> None:
    """Send what was sent, and plan what is planned."""
    for planned in SENT:
        with installation.database.tenant_session(tenant_id) as session:
            made = _draft(session, tenant_id, planned, segments).id
        assert planned.days is not None
        at = now + timedelta(days=planned.days)
        send_in_the_past(installation, tenant_id, made, at, planned.message["link"])
    for planned in AHEAD:
        with installation.database.tenant_session(tenant_id) as session:
            _plan(installation, session, tenant_id, planned, segments, now)


def _plan(
    installation: Installation,
    session: Session,
    tenant_id: int,
    planned: Planned,
    segments: dict[str, int],
    now: datetime,
) -> None:
    made = _draft(session, tenant_id, planned, segments)
    if planned.days is not None:
        zone = company_zone(tenant_settings(session, tenant_id))
        day = (now + timedelta(days=planned.days)).astimezone(zone).date()
        starts = {"starts_at": first_start(day, now, zone)}
        service.update_mailing(session, tenant_id, made.id, made.version, starts)
    volume = estimate_mailing(session, installation.plugins, tenant_id, made.id, now)
    if planned.confirmed:
        parts = (session, installation.plugins, installation.settings, tenant_id, made.id)
        launch.confirm(*parts, recipients=volume.recipients)


def _draft(session: Session, tenant_id: int, planned: Planned, segments: dict[str, int]) -> Mailing:
    made = service.create_draft(
        session,
        tenant_id,
        channel="email",
        name=planned.name,
        segment_id=segments[planned.segment],
    )
    service.update_mailing(session, tenant_id, made.id, made.version, planned.changes)
    message = {name: value for name, value in planned.message.items() if name != "link"}
    variants.save_content(session, tenant_id, made.id, made.version, message)
    return made
