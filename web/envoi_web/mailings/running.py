"""The page of a confirmed or running mailing: progress, pause, resume, cancel."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Response, request, url_for
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from envoi.audience.volume import Volume
from envoi.delivery.models import Run
from envoi.delivery.runs import Progress
from envoi.delivery.runs import progress as run_progress
from envoi.jobs import Work, hint
from envoi.mailings import launch, service
from envoi.mailings.models import Mailing
from envoi.mailings.status import FINISHED, Status
from envoi.webkit import current, page, permission, require_author, see_other
from envoi.webkit.formats import clock, moment, number
from envoi_web.mailings.blueprint import mailings
from envoi_web.mailings.context import crumbs, home_url

STOP_POLLING = 286
"""htmx stops asking again when it gets this status."""


@mailings.get("/<int:mailing_id>/progress")
@permission("mailings.view")
def progress(mailing_id: int) -> Response:
    """Show how far a mailing is; asked again every two seconds until it has ended."""
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        status = service.current_status(session, mailing)
        if status is Status.DRAFT:
            return see_other(home_url(mailing_id, status))
        context = _context(session, mailing, status)
    answer = page("mailings/progress.html", fragments=("live",), **context)
    if status in FINISHED and request.headers.get("HX-Request"):
        answer.status_code = STOP_POLLING
    return answer


@mailings.post("/<int:mailing_id>/pause")
@permission("mailings.pause")
def pause(mailing_id: int) -> Response:
    """Stop sending after the messages on their way."""
    who = current.employee.name if current.employee else ""
    with current.session() as session:
        launch.pause(session, current.tenant_id, mailing_id, _("Paused by %(name)s", name=who))
    return see_other(url_for("mailings.progress", mailing_id=mailing_id))


@mailings.post("/<int:mailing_id>/resume")
@permission("mailings.pause")
def resume(mailing_id: int) -> Response:
    """Go on with a paused mailing."""
    with current.session() as session:
        launch.resume(session, current.tenant_id, mailing_id)
        run_id = service.get_mailing(session, current.tenant_id, mailing_id).run_id
    if run_id is not None:
        hint(current.installation.broker, Work.SEND, current.tenant_id, run_id)
    return see_other(url_for("mailings.progress", mailing_id=mailing_id))


@mailings.post("/<int:mailing_id>/cancel")
@permission("mailings.cancel")
def cancel(mailing_id: int) -> Response:
    """Stop a mailing for good."""
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        require_author("mailings.cancel", mailing.created_by)
        launch.cancel(session, current.tenant_id, mailing_id)
    return see_other(url_for("mailings.progress", mailing_id=mailing_id))


def _context(session: Session, mailing: Mailing, status: Status) -> dict[str, Any]:
    run = service.get_run(session, mailing)
    counted = run_progress(session, mailing.tenant_id, run.id) if run else Progress()
    volume = Volume.from_document(run.volume if run and run.volume else mailing.volume)
    return {
        "mailing": mailing,
        "run": run,
        "course": status,
        "finished": status in FINISHED,
        "counted": counted,
        "parts": _parts(counted),
        "done": counted.done,
        "recipients": counted.recipients or (volume.recipients if volume else 0),
        "volume": volume,
        "phases": _phases(mailing, run, status),
        "seconds_left": _seconds_left(mailing, status),
        "ready": _ready(run, counted, status),
        "crumbs": crumbs(mailing.name),
    }


def _parts(counted: Progress) -> list[dict[str, Any]]:
    dropped = counted.blocked + counted.expired + counted.cancelled
    found = (
        (_("Sent"), counted.accepted, "primary"),
        (_("Failed"), counted.failed, "red"),
        (_("Unconfirmed"), counted.unconfirmed, "yellow"),
        (_("Dropped out before sending"), dropped, "grey"),
        (_("On the wire"), counted.claimed, "primary-lt"),
        (_("Waiting"), counted.ready, "light"),
    )
    return [{"label": label, "count": count, "colour": colour} for label, count, colour in found]


def _phases(mailing: Mailing, run: Run | None, status: Status) -> list[dict[str, Any]]:
    order = [Status.CREATED, Status.COLLECTING, Status.SENDING, Status.SENT]
    here = order.index(status) if status in order else 2
    confirmed = number(mailing.confirmed_count) if mailing.confirmed_count is not None else ""
    ended = {Status.CANCELLED: _("Cancelled"), Status.FAILED: _("Failed")}.get(status, _("Sent"))
    rows = (
        (_("Created"), _("%(count)s recipients confirmed", count=confirmed), mailing.confirmed_at),
        (_("Collecting"), "", run.created_at if run else None),
        (_("Sending"), run.pause_reason if run else "", run.collected_at if run else None),
        (ended, "", run.finished_at if run else None),
    )
    icons = ("clock", "users-group", "send", "flag")
    over = status in FINISHED
    return [
        {
            "label": label,
            "note": note,
            "time": clock(time) if time else "",
            "state": "done" if over or place < here else "now" if place == here else "todo",
            "name": icons[place],
        }
        for place, (label, note, time) in enumerate(rows)
    ]


def _seconds_left(mailing: Mailing, status: Status) -> int | None:
    if status is not Status.CREATED or mailing.starts_at is None:
        return None
    return max(0, int((mailing.starts_at - datetime.now(UTC)).total_seconds()))


def _ready(run: Run | None, counted: Progress, status: Status) -> str:
    """Estimate the end from the speed so far; nothing while that is a guess."""
    done = counted.done
    if status is not Status.SENDING or run is None or run.collected_at is None or done < 100:
        return ""
    now = datetime.now(UTC)
    left = counted.ready + counted.claimed
    end = now + (now - run.collected_at) * (left / done)
    return str(_("Ready at about %(time)s", time=moment(end)))
