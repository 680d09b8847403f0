"""Operations: how sending goes now, asked again every few seconds while somebody looks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Response
from flask_babel import gettext as _
from flask_babel import lazy_gettext

from envoi.delivery.models import RunStatus
from envoi.delivery.restored import may_send
from envoi.jobs import Work
from envoi.operations.chores import GIVE_HINTS, RECONCILE
from envoi.operations.live import (
    CompanyFigures,
    InstallationFigures,
    RunLine,
    company_figures,
    installation_figures,
)
from envoi.webkit import current, page, permission
from envoi.webkit.formats import NO_VALUE, number, translated
from envoi_web.settings_pages.blueprint import settings

LATE_SECONDS = {GIVE_HINTS: 30, RECONCILE: 60}
"""A chore that was done longer ago is not being done."""
LATE_WORK_SECONDS = 300

WORKS = {
    Work.LAUNCH: lazy_gettext("Starting mailings"),
    Work.COLLECT: lazy_gettext("Collecting recipients"),
    Work.SEND: lazy_gettext("Sending"),
    Work.ATTRIBUTE: lazy_gettext("Attributing receipts"),
    Work.REPORT: lazy_gettext("Counting reports"),
    Work.IMPORT: lazy_gettext("Importing files"),
    Work.FIGURES: lazy_gettext("Counting segments"),
    Work.EXPORT: lazy_gettext("Writing exports"),
    Work.COPIES: lazy_gettext("Tests and copies"),
    Work.CASCADE: lazy_gettext("Moving on in cascades"),
    Work.RATES: lazy_gettext("Watching bounces"),
    Work.JUDGE: lazy_gettext("Judging opens and clicks"),
    Work.PROBE: lazy_gettext("Probing gateways"),
    Work.AUDIENCE: lazy_gettext("Changing audiences"),
}
QUEUES = {
    "send": lazy_gettext("Hints to send"),
    "quick": lazy_gettext("Hints for quick work"),
    "bulk": lazy_gettext("Hints for long work"),
}


@settings.get("/operations")
@permission("settings.general")
def operations() -> Response:
    """Show the company's sending and the processes behind it."""
    now = datetime.now(UTC)
    with current.session() as session:
        figures = company_figures(session, current.tenant_id, now)
        restored = not may_send(session)
    installation = installation_figures(current.installation, now)
    return page(
        "settings/operations.html",
        fragments=("live",),
        restored=restored,
        cells=_cells(figures),
        figures=figures,
        providers={
            spec.name: translated(spec.label) for spec in current.plugins.providers.values()
        },
        runs=[(run, run.status.name.lower(), _rate(run)) for run in figures.runs],
        works=[
            (WORKS.get(Work(line.kind), line.kind), line, (line.oldest or 0) > LATE_WORK_SECONDS)
            for line in figures.works
        ],
        signs=_signs(installation),
        facts=_facts(figures, installation),
        ago=ago,
    )


def ago(seconds: float | None) -> str:
    """How long ago something was, in the largest unit that says enough."""
    if seconds is None:
        return NO_VALUE
    if seconds < 120:
        return str(_("%(count)s s ago", count=number(round(seconds))))
    if seconds < 7200:
        return str(_("%(count)s min ago", count=number(round(seconds / 60))))
    return str(_("%(count)s h ago", count=number(round(seconds / 3600))))


def _cells(figures: CompanyFigures) -> list[dict[str, Any]]:
    waiting = sum(run.waiting for run in figures.runs)
    claimed = sum(run.claimed for run in figures.runs)
    rate = sum(gateway.per_second for gateway in figures.gateways)
    return [
        {"label": _("Speed"), "value": _per_second(rate), "note": _("in the last minute")},
        {"label": _("Waiting"), "value": number(waiting), "note": _("messages")},
        {"label": _("On the wire"), "value": number(claimed), "note": _("in claimed blocks")},
        {
            "label": _("Unconfirmed"),
            "value": number(figures.unconfirmed),
            "note": _("outcomes unknown at first, in 7 days"),
            "tone": "warn" if figures.unconfirmed else "",
        },
    ]


def _rate(run: RunLine) -> str:
    """The speed of a run, with its limit where that is what slows it."""
    if run.status is not RunStatus.SENDING:
        return NO_VALUE
    rate = _per_second(run.counted.per_second)
    if run.limit_per_minute is None:
        return rate
    limit = _("limit %(count)s", count=_per_second(run.limit_per_minute / 60))
    return f"{rate}, {limit}"


def _per_second(rate: float) -> str:
    return str(_("%(count)s/s", count=number(rate, 1)))


def _signs(found: InstallationFigures) -> list[dict[str, str]]:
    """The signs that scheduler and reconciler live."""
    names = {GIVE_HINTS: _("Scheduler"), RECONCILE: _("Reconciler")}
    ages = {name: found.chores.get(name) for name in names}
    late = {name for name, age in ages.items() if age is None or age > LATE_SECONDS[name]}
    return [
        {
            "name": label,
            "said": ago(ages[name]),
            "state": _("Does not work") if name in late else _("Works"),
            "tone": "bad" if name in late else "good",
        }
        for name, label in names.items()
    ]


def _facts(figures: CompanyFigures, found: InstallationFigures) -> list[tuple[str, str]]:
    hints = found.hints
    queues = [(str(label), number(hints[name])) for name, label in QUEUES.items()] if hints else []
    return [
        *queues,
        *([(_("Queue"), _("Does not answer"))] if hints is None else []),
        (_("Opens and clicks to be written"), number(found.buffered)),
        (_("Bounces and complaints in the last hour"), number(figures.inbound)),
    ]
