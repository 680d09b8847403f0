"""The page of a confirmed or running mailing: progress, pause, resume, cancel."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeGuard

from flask import Response, request, url_for
from flask_babel import gettext as _
from flask_babel import ngettext
from sqlalchemy.orm import Session

from envoi.audience.volume import Volume
from envoi.delivery.models import MessageState, Run
from envoi.delivery.restored import may_send
from envoi.delivery.routes import waiting_steps
from envoi.delivery.runs import Progress
from envoi.delivery.unconfirmed import resends_by_itself
from envoi.jobs import Work, hint
from envoi.mailings import launch, service
from envoi.mailings.live import LiveFigures, confirmed_by, gateway_of, live_figures
from envoi.mailings.models import Mailing
from envoi.mailings.report import Reason
from envoi.mailings.status import FINISHED, Status
from envoi.tenants.service import tenant_settings
from envoi.webkit import allowed, current, page, permission, require_author, see_other
from envoi.webkit.formats import clock, moment, number
from envoi_web.mailings.blueprint import mailings
from envoi_web.mailings.context import STAGE_LABELS, crumbs, home_url
from envoi_web.mailings.limit_words import running_words
from envoi_web.mailings.reasons import held_reason
from envoi_web.mailings.speed import figures, speed_chart, stands_in

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


@mailings.post("/<int:mailing_id>/start")
@permission("mailings.start")
def start_missed(mailing_id: int) -> Response:
    """Start a mailing after all that has missed its time."""
    with current.session() as session:
        launch.start_now(
            session,
            current.tenant_id,
            mailing_id,
            account_id=current.account_id,
            may_start_large=allowed("mailings.start_large"),
        )
    hint(current.installation.broker, Work.LAUNCH, current.tenant_id, mailing_id)
    return see_other(url_for("mailings.progress", mailing_id=mailing_id))


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


def _is_chained(run: Run | None, status: Status) -> TypeGuard[Run]:
    """Whether one step of a mailing may wait while others go on."""
    return run is not None and status is Status.SENDING and bool(run.settings.get("steps"))


def _context(session: Session, mailing: Mailing, status: Status) -> dict[str, Any]:
    run, now = service.get_run(session, mailing), datetime.now(UTC)
    volume = Volume.from_document(run.volume if run and run.volume else mailing.volume)
    live = live_figures(session, current.plugins, run, now) if run else None
    counted = live.progress if live else Progress()
    return {
        "mailing": mailing,
        "run": run,
        "course": status,
        "finished": status in FINISHED,
        "counted": counted,
        "parts": _parts(counted),
        "done": counted.done,
        "waiting": waiting_steps(session, run.tenant_id, run.id)
        if _is_chained(run, status)
        else [],
        "recipients": counted.recipients or (volume.recipients if volume else 0),
        "volume": volume,
        "customers": _customers(mailing, run, volume) if volume else [],
        "phases": _phases(session, mailing, run, status, _end(run, counted, status)),
        "seconds_left": _seconds_left(mailing, status),
        "missed": launch.is_missed(mailing, now),
        "restored": status not in FINISHED and not may_send(session),
        "limits": running_words(session, run) if run and status is Status.SENDING else None,
        "ready": _ready(_end(run, counted, status), now),
        "confirmed_by": confirmed_by(session, mailing),
        **(_live(session, run, live, status, now) if run and live else {}),
        "crumbs": crumbs(mailing.name, mailing.channel),
    }


def _live(
    session: Session, run: Run, live: LiveFigures, status: Status, now: datetime
) -> dict[str, Any]:
    return {
        "chart": speed_chart(run, live, now),
        "figures": figures(run, live, status, gateway_of(session, run), now),
        "wrong": _wrong(session, run, live),
    }


def _wrong(session: Session, run: Run, live: LiveFigures) -> list[dict[str, Any]]:
    """Why messages did not leave, in the gateway's own words, and what happens with them next."""
    resend = resends_by_itself(tenant_settings(session, run.tenant_id), run)
    return [
        {
            "reason": held_reason(found)[0],
            "raw": found.text if found.state is not MessageState.BLOCKED else held_reason(found)[1],
            "code": str(found.code or ""),
            "next": _next(found, resend),
            "count": found.count,
            "url": _behind(run.mailing_id, found.state.name.lower(), found.count),
        }
        for found in live.wrong
    ] + ([_resending(live.resending)] if live.resending else [])


def _resending(count: int) -> dict[str, Any]:
    """Messages of unknown outcome that wait to be sent once more, and count as waiting."""
    return {
        "reason": _("The connection broke after the message may have been taken"),
        "raw": "",
        "code": "",
        "next": _("Will be sent again"),
        "count": count,
        "url": "",
    }


def _next(reason: Reason, resend: bool) -> str:
    """What becomes of messages that did not leave."""
    if reason.state is MessageState.UNCONFIRMED:
        return str(
            _("Resent as often as is allowed; now held")
            if resend
            else _("Not resent, as set for the company")
        )
    if reason.state is MessageState.FAILED:
        return str(_("Not tried again"))
    if reason.state is MessageState.BLOCKED:
        return str(_("Not sent to these customers"))
    return str(_("Not sent any more"))


def _customers(mailing: Mailing, run: Run | None, volume: Volume) -> list[tuple[str, str, str]]:
    """Every customer of the segment by what became of them, each with the list behind it."""
    counts = [
        (_("Recipients"), "recipients", volume.recipients),
        (_("Control group"), "control", volume.control),
        *((str(STAGE_LABELS[x.stage]), x.stage.name.lower(), x.count) for x in volume.lines),
    ]
    shown = [line for line in counts if line[2] or line[1] == "recipients"]
    behind = mailing.id if run and run.collected_at else None
    return [(label, number(count), _behind(behind, name, count)) for label, name, count in shown]


def _behind(mailing_id: int | None, outcome: str, count: int) -> str:
    if mailing_id is None or not count or not allowed("reports.customers"):
        return ""
    return url_for("reports.customers", mailing_id=mailing_id, outcome=outcome)


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


def _phases(
    session: Session, mailing: Mailing, run: Run | None, status: Status, end: datetime | None
) -> list[dict[str, Any]]:
    order = [Status.CREATED, Status.COLLECTING, Status.SENDING, Status.SENT]
    here = order.index(status) if status in order else 1 if run and not run.collected_at else 2
    over = status in FINISHED
    ended = {Status.CANCELLED: _("Cancelled"), Status.FAILED: _("Failed")}.get(status, _("Sent"))
    rows = (
        (_("Created"), _confirmed(session, mailing), mailing.confirmed_at),
        (_("Collecting"), _collected(run), run.created_at if run else None),
        (
            _("Paused") if status is Status.PAUSED else _("Sending"),
            _through(session, run, status),
            run.collected_at if run and status is not Status.PAUSED else None,
        ),
        (ended, _("about %(time)s", time=clock(end)) if end else "", run and run.finished_at),
    )
    icons = ("clock", "users-group", "player-pause" if status is Status.PAUSED else "send", "flag")
    return [
        {
            "label": label,
            "note": note,
            "time": clock(time) if time else "",
            "state": "done" if over or place < here else "now" if place == here else "todo",
            "name": "check" if over or place < here else icons[place],
        }
        for place, (label, note, time) in enumerate(rows)
    ]


def _confirmed(session: Session, mailing: Mailing) -> str:
    if mailing.confirmed_count is None:
        return ""
    count, name = number(mailing.confirmed_count), confirmed_by(session, mailing)
    if not name:
        return str(_("%(count)s recipients confirmed", count=count))
    return str(_("confirmed by %(name)s, %(count)s recipients", name=name, count=count))


def _collected(run: Run | None) -> str:
    volume = Volume.from_document(run.volume) if run and run.collected_at else None
    if run is None or volume is None or run.collected_at is None:
        return ""
    seconds = (run.collected_at - run.created_at).total_seconds()
    words = {"count": number(volume.segment), "seconds": number(max(seconds, 0), 1)}
    return str(_("%(count)s customers in %(seconds)s s", **words))


def _through(session: Session, run: Run | None, status: Status) -> str:
    if run is None:
        return ""
    if status is Status.PAUSED and run.paused_at:
        return str(_("since %(time)s", time=moment(run.paused_at)))
    used = gateway_of(session, run)
    if used.instead_of:
        return str(_("through %(gateway)s", gateway=used.name)) + f", {stands_in(used)}"
    return str(_("through %(gateway)s", gateway=used.name)) if used.name else ""


def _seconds_left(mailing: Mailing, status: Status) -> int | None:
    if status is not Status.CREATED or mailing.starts_at is None:
        return None
    return max(0, int((mailing.starts_at - datetime.now(UTC)).total_seconds()))


def _end(run: Run | None, counted: Progress, status: Status) -> datetime | None:
    """Estimate the end from the speed so far; None while that is a guess."""
    done = counted.done
    if status is not Status.SENDING or run is None or run.collected_at is None or done < 100:
        return None
    now = datetime.now(UTC)
    left = counted.ready + counted.claimed
    return now + (now - run.collected_at) * (left / done)


def _ready(end: datetime | None, now: datetime) -> str:
    if end is None:
        return ""
    minutes = max(1, round((end - now).total_seconds() / 60))
    left = ngettext("in %(num)s minute", "in %(num)s minutes", minutes)
    return str(_("Ready at about %(time)s, %(left)s", time=moment(end), left=left))
