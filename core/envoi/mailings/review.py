"""The review before a start: every check that a mailing must pass, passed or not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from envoi.audience.clock import zone_names
from envoi.audience.strata import MOST_STRATA
from envoi.audience.volume import Volume
from envoi.audience.window import CUSTOMER, SendingWindow
from envoi.delivery.gateways import default_gateway
from envoi.delivery.pace import pace_of
from envoi.mailings.audience import has_source
from envoi.mailings.cascade import channels_of, wait_problem
from envoi.mailings.content import content_problem
from envoi.mailings.models import Mailing
from envoi.mailings.service import variants_of
from envoi.mailings.variants import content_at
from envoi.plugins import Plugins
from envoi.tenants.service import company_zone, tenant_settings


@dataclass(frozen=True)
class Check:
    """One check of the review: what it is about and, when it failed, what to do.

    A warning is worth a look and does not keep the mailing from starting.
    """

    name: str
    step: str
    problem: str = ""
    warning: bool = False

    @property
    def ok(self) -> bool:
        """Whether the check passed."""
        return not self.problem


def review(session: Session, plugins: Plugins, mailing: Mailing) -> list[Check]:
    """Return every check that a mailing must pass before it can start, passed or not."""
    zone = company_zone(tenant_settings(session, mailing.tenant_id))
    volume = Volume.from_document(mailing.volume)
    return [
        Check(
            "segment",
            "who",
            "" if has_source(mailing) else "Choose a segment: who is to get it?",
        ),
        Check("strata", "who", _strata_problem(volume)),
        Check("recipients", "who", _recipients_warning(volume), warning=True),
        Check("content", "what", content_problem(session, plugins, mailing)),
        *([Check("cascade", "what", wait_problem(mailing))] if mailing.cascade else []),
        *_sender_checks(session, plugins, mailing),
        Check("gateway", "when", _gateway_problem(session, mailing)),
        Check("start", "when", _start_problem(mailing)),
        Check("window", "when", *_window_problem(mailing, zone)),
        Check("limit", "when", _limit_warning(mailing, volume), warning=True),
    ]


def _gateway_problem(session: Session, mailing: Mailing) -> str:
    ways = [default_gateway(session, mailing.tenant_id, name) for name in channels_of(mailing)]
    return "" if all(ways) else "There is no gateway for this channel. Set one up in Settings."


def failed(checks: list[Check]) -> list[Check]:
    """Return the checks that must be mended before the start."""
    return [check for check in checks if check.problem and not check.warning]


def _sender_checks(session: Session, plugins: Plugins, mailing: Mailing) -> list[Check]:
    steps = [
        step
        for step, name in enumerate(channels_of(mailing), start=1)
        if "sender_address" in plugins.channels[name].content_schema.model_fields
    ]
    return [Check("sender", "what", _sender_problem(session, mailing, step)) for step in steps]


def _sender_problem(session: Session, mailing: Mailing, step: int) -> str:
    """Say where an email has no sender: without a domain no mailbox takes it."""
    contents = [content_at(variant, step) for variant in variants_of(session, mailing)]
    senders = [str(content.get("sender_address", "")) for content in contents]
    if all("." in sender.partition("@")[2] for sender in senders):
        return ""
    return "The sender has no address with a domain. Enter one, or set it up in General settings."


def _strata_problem(volume: Volume | None) -> str:
    if volume is not None and len(volume.strata) > MOST_STRATA:
        return "The control group has more strata than can be kept. Use fewer characteristics."
    return ""


def _recipients_warning(volume: Volume | None) -> str:
    if volume is not None and volume.recipients == 0:
        return "Nobody would get it now. The mailing would end at once, with zeros."
    return ""


def _start_problem(mailing: Mailing) -> str:
    if mailing.starts_at and mailing.starts_at < datetime.now(UTC) - timedelta(minutes=1):
        return "The chosen start is in the past. Choose a later one, or start now."
    return ""


def _window_problem(mailing: Mailing, company: ZoneInfo) -> tuple[str, bool]:
    """Say when nothing can leave: the lifetime, which begins with the start, ends before it opens.

    By the customers' own clocks that holds for some of them: a warning, unless it is for all.
    """
    window = SendingWindow.of(mailing.window_from, mailing.window_until, mailing.window_zone)
    start = mailing.starts_at or datetime.now(UTC)
    end = start + timedelta(minutes=mailing.lifetime_minutes)
    if window is None or not _opens_late(window, start, end, company):
        return "", False
    if window.zone == CUSTOMER and not all(
        _opens_late(window, start, end, ZoneInfo(name)) for name in zone_names()
    ):
        return (
            "By the company's clock the sending window opens only after the messages' lifetime"
            " has ended: customers of that zone and of an unknown one would get nothing. Choose"
            " another start, a longer lifetime or a wider window."
        ), True
    return (
        "The sending window opens only after the messages' lifetime has ended, so that none"
        " would leave. Choose another start, a longer lifetime or a wider window."
    ), False


def _opens_late(window: SendingWindow, start: datetime, end: datetime, zone: ZoneInfo) -> bool:
    opens_at = window.opens_at(start, zone)
    return opens_at is not None and opens_at >= end


def _limit_warning(mailing: Mailing, volume: Volume | None) -> str:
    """Say when the limit per minute is so low that messages expire before their turn."""
    pace = pace_of(mailing.limit_per_minute, mailing.limit_per_minute or 1)
    if pace and volume and volume.recipients > pace.per_minute * mailing.lifetime_minutes:
        return (
            "The limit per minute is so low that some messages expire before their turn. Raise"
            " the limit, or choose a longer lifetime."
        )
    return ""
