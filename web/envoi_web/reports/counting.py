"""What is shown of a large mailing while its first report is being counted."""

from __future__ import annotations

from typing import Any

from flask import Response
from flask_babel import gettext as _

from envoi.audience.volume import Volume
from envoi.delivery.models import Run
from envoi.mailings.models import Mailing
from envoi.webkit import page
from envoi.webkit.formats import moment, money, number
from envoi_web.mailings.context import STAGE_LABELS
from envoi_web.reports.blueprint import crumbs


def still_counted(mailing: Mailing, run: Run, status: str) -> Response:
    """Show what the run itself knows; the page asks again until the report is there."""
    volume = Volume.from_document(run.volume)
    lead = _("Started %(time)s", time=moment(run.created_at))
    return page(
        "reports/counting.html",
        fragments=("counting",),
        mailing=mailing,
        mailing_status_name=status,
        failed=run.failed or 0,
        lead=lead,
        cells=_cells(run, volume),
        volume=_lines(volume) if volume else [],
        customers=volume.segment if volume else 0,
        crumbs=[*crumbs(mailing.channel), (_("Report: %(name)s", name=mailing.name), "")],
    )


def _cells(run: Run, volume: Volume | None) -> list[dict[str, Any]]:
    recipients = volume.recipients if volume else run.recipients
    so_far = _("so far")
    return [
        {"label": _("Recipients"), "value": number(recipients), "note": ""},
        {"label": _("Sent"), "value": number(run.sent), "note": so_far},
        {"label": _("Delivered"), "value": number(run.delivered), "note": so_far},
        {
            "label": _("Attributed receipts"),
            "value": f"{number(run.receipts)}, {money(run.amount)}" if run.receipts else "–",
            "note": so_far,
        },
    ]


def _lines(volume: Volume) -> list[tuple[str, str]]:
    counts = [
        (_("Customers"), volume.segment),
        *((str(STAGE_LABELS[line.stage]), line.count) for line in volume.lines if line.count),
        (_("Control group"), volume.control),
        (_("Actual recipients"), volume.recipients),
    ]
    return [(label, number(count)) for label, count in counts]
