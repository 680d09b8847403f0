"""What the templates of mailings are given, as plain data made from the core's objects."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext, ngettext

from envoi.audience.estimate import CONTROL, DEFERRED, ELIGIBLE, RECIPIENTS, SEGMENT
from envoi.audience.stages import BY_ADDRESS, AddressIssue
from envoi.audience.volume import Line, Volume
from envoi.audience.window import OUTSIDE_WINDOW
from envoi.delivery.cascade import REACHED
from envoi.delivery.models import MessageState, Stage
from envoi.mailings.audience import has_source
from envoi.mailings.cascade import channels_of
from envoi.mailings.headline import headline
from envoi.mailings.models import Mailing
from envoi.mailings.status import Status
from envoi.policies.rules import reason_words
from envoi.webkit import allowed, current
from envoi.webkit.formats import clock, moment, number, translated
from envoi_web.mailings.blueprint import mailings

_VARIABLE = re.compile(r"\{\{\s*(?:[a-z_]+\.)*([a-z_0-9]+)[^}]*\}\}", re.IGNORECASE)

STAGE_LABELS = {
    Stage.DUPLICATE_ADDRESS: lazy_gettext("Duplicate address"),
    Stage.GLOBAL_CONTROL: lazy_gettext("Global control group"),
    Stage.ADDRESS_ISSUE: lazy_gettext("Address issue"),
    Stage.CHANNEL_OPT_OUT: lazy_gettext("Unsubscribed from channel"),
    Stage.CATEGORY_OPT_OUT: lazy_gettext("Unsubscribed from mailing category"),
    Stage.SUPPRESSED: lazy_gettext("Suppressed"),
    Stage.POLICY: lazy_gettext("Blocked by communication policy"),
}
DETAIL_LABELS = {
    AddressIssue.WITHOUT: lazy_gettext("no address"),
    AddressIssue.INVALID: lazy_gettext("not a valid address"),
    AddressIssue.QUALITY: lazy_gettext("by its quality code"),
    AddressIssue.LANDLINE: lazy_gettext("landline"),
    BY_ADDRESS: lazy_gettext("another customer with this address"),
    REACHED: lazy_gettext("an earlier message arrived"),
    OUTSIDE_WINDOW: lazy_gettext("the sending window is closed"),
}
SHOWN_STATES = {
    MessageState.EXCLUDED: "excluded",
    MessageState.CONTROL: "control",
    MessageState.READY: "waiting",
    MessageState.CLAIMED: "claimed",
    MessageState.FAILED: "failed",
    MessageState.UNCONFIRMED: "unconfirmed",
    MessageState.BLOCKED: "blocked",
    MessageState.EXPIRED: "expired",
    MessageState.CANCELLED: "cancelled",
}
"""The word for each state that says all; accepted messages are told by their facts."""


@dataclass(frozen=True)
class Step:
    """One step of the stepper."""

    title: str
    hint: str
    url: str
    state: str


def detail_words(code: str | None) -> str:
    """Say why in detail; a policy's reason in its words, what is no code of ours as it is."""
    if code in DETAIL_LABELS:
        return str(DETAIL_LABELS[code])
    return translated(reason_words(current.plugins, code or ""))


def volume_data(mailing: Mailing) -> dict[str, Any] | None:
    """Make the volume box's data from the volume counted last; None before the first count."""
    volume = Volume.from_document(mailing.volume)
    if volume is None:
        return None
    by_share = mailing.control_share and mailing.control_audience_id is None
    share = number(mailing.control_share) + "\u00a0%" if by_share else ""
    return {
        "customers": volume.segment,
        "url": _behind(mailing, SEGMENT),
        "stages": [_stage_data(mailing, line) for line in volume.lines],
        "good": {"count": volume.eligible, "url": _behind(mailing, ELIGIBLE)},
        "control": {"count": volume.control, "note": share, "url": _behind(mailing, CONTROL)},
        "recipients": {"count": volume.recipients, "url": _behind(mailing, RECIPIENTS)},
        "deferred": volume.deferred,
        "deferred_url": _behind(mailing, DEFERRED),
        "state": "exact" if volume.exact else "about",
        "as_of": _("counted %(time)s", time=clock(volume.computed_at)),
        "again_url": url_for("mailings.count", mailing_id=mailing.id),
        "why_url": url_for("mailings.why", mailing_id=mailing.id),
        "why_dialog": "why",
    }


def _stage_data(mailing: Mailing, line: Line) -> dict[str, Any]:
    stage = line.stage.name.lower()
    return {
        "label": STAGE_LABELS[line.stage],
        "count": line.count,
        "url": _behind(mailing, stage),
        "details": [
            {"label": detail_words(d), "count": n, "url": _behind(mailing, stage, detail=d)}
            for d, n in line.details.items()
        ],
    }


def _behind(mailing: Mailing, outcome: str, detail: str | None = None) -> str:
    """Return the address of the customers behind a line, for whoever may see them."""
    if not allowed("reports.customers"):
        return ""
    return url_for("reports.customers", mailing_id=mailing.id, outcome=outcome, detail=detail)


def _recipients(count: int) -> str:
    return str(ngettext("%(count)s recipient", "%(count)s recipients", count, count=number(count)))


def steps(mailing: Mailing, content: Mapping[str, Any], here: str) -> list[Step]:
    """Make the stepper: each step with its result in words."""
    recipients = mailing.volume.get("recipients") if mailing.volume else None
    who = _recipients(recipients) if recipients is not None else ""
    subject = "".join(t + name for t, name in template_parts(headline(content)))
    start = moment(mailing.starts_at) if mailing.starts_at else _("Now, after confirmation")
    results = {
        "who": (_("Who"), who or _("Segment and control group"), has_source(mailing)),
        "what": (_("What"), subject[:60] or _what(mailing.channel), bool(subject)),
        "when": (_("When and review"), start, False),
    }
    return [
        Step(
            title=title,
            hint=hint,
            url=url_for(f"mailings.{name}", mailing_id=mailing.id),
            state="current" if name == here else "done" if done else "todo",
        )
        for name, (title, hint, done) in results.items()
    ]


def _what(channel: str) -> str:
    """What is to be written in the second step."""
    spec = current.plugins.channels.get(channel)
    has_subject = spec is not None and "subject" in spec.content_schema.model_fields
    return str(_("Subject and content") if has_subject else _("The message"))


def crumbs(name: str = "", channel: str = "") -> list[tuple[str, str]]:
    """Make the breadcrumb of a mailing's page, or of the list."""
    section = (_("Mass messaging"), url_for("mailings.index"))
    if not name:
        return [section, (_("Mailings"), "")]
    return [section, *channel_crumb(channel), (name[:60], "")]


def channel_crumb(channel: str) -> list[tuple[str, str]]:
    """Lead to the mailings of a channel, where there is one."""
    if not channel:
        return []
    return [(channel_label(channel), url_for("mailings.index", channel=channel))]


@mailings.app_template_filter()
def channel_label(channel: str) -> str:
    """Return what a channel is called; one whose plugin is gone has only its name."""
    spec = current.plugins.channels.get(channel)
    return translated(spec.label) if spec else channel


def step_words(step: int, channel: str) -> str:
    """Name a step of a cascade."""
    return str(_("Step %(number)s, %(channel)s", number=step, channel=channel_label(channel)))


mailings.add_app_template_filter(channels_of)


@mailings.app_template_filter()
def chain_label(channels: Sequence[str]) -> str:
    """Say which channel follows which."""
    return " > ".join(map(channel_label, channels))


def home_url(mailing_id: int, status: Status) -> str:
    """Return the page that a mailing opens with, by its status."""
    if status is Status.DRAFT:
        return url_for("mailings.who", mailing_id=mailing_id)
    if status in (Status.SENT, Status.FAILED):
        return url_for("reports.report", mailing_id=mailing_id)
    return url_for("mailings.progress", mailing_id=mailing_id)


def options(rows: Sequence[tuple[Any, str]], first: str = "") -> list[tuple[str, str]]:
    """Make the options of a select field, with an empty one in front where a choice may be left."""
    found = [(str(value), label) for value, label in rows]
    return [("", first), *found] if first else found


@mailings.app_template_filter()
def local_date(value: datetime) -> str:
    """Return the day in the company's zone, as a date field wants it."""
    return value.astimezone(current.company.zone).date().isoformat()


@mailings.app_template_filter()
def local_time(value: datetime) -> str:
    """Return hours and minutes in the company's zone, as a time field wants them."""
    return value.astimezone(current.company.zone).strftime("%H:%M")


@mailings.app_template_filter()
def template_parts(source: str) -> list[tuple[str, str]]:
    """Cut a template's source into pairs of text and the variable behind it, for pills."""
    parts = _VARIABLE.split(source)
    names = [*parts[1::2], ""]
    return list(zip(parts[::2], names, strict=True))
