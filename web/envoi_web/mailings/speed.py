"""How fast a run goes: its messages per minute against the limit, and the four figures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from flask_babel import gettext as _

from envoi.delivery.models import Run
from envoi.delivery.routes import GatewayInUse
from envoi.mailings.live import LiveFigures
from envoi.mailings.status import FINISHED, Status
from envoi.receipts.attribution import OPENED
from envoi.webkit import current
from envoi.webkit.formats import NO_VALUE, clock, day, number, percent
from envoi_web.charts import ticks

SHOWN_MINUTES = 12
_SILENT_MINUTES = 2
"""Without an answer for so long, the gateway is no longer called working."""


def speed_chart(run: Run, live: LiveFigures, now: datetime) -> dict[str, Any] | None:
    """The bars of the last minutes; None before the first message has left."""
    if not live.minutes:
        return None
    limit = run.settings.get("limit_per_minute")
    shown = _shown_minutes(run, live, now)
    this_minute = now.replace(second=0, microsecond=0)
    bars = [
        {
            "label": clock(minute).split(" ")[0],
            "value": live.minutes.get(minute, 0),
            "text": "",
            "colour": "primary-lt" if minute == this_minute else "primary",
        }
        for minute in shown
    ]
    values = [live.minutes.get(minute, 0) for minute in shown]
    return {
        "bars": bars,
        "ticks": ticks(max([*values, limit or 0])),
        "limit": limit,
        "limit_label": _("limit %(count)s", count=number(limit)) if limit else "",
        "label": _(
            "Messages per minute from %(begin)s to %(end)s, at most %(most)s",
            begin=bars[0]["label"],
            end=bars[-1]["label"],
            most=number(max(values)),
        ),
        "period": f"{day(shown[0])}, {current.company.time_zone}",
    }


def figures(
    run: Run, live: LiveFigures, status: Status, gateway: GatewayInUse, now: datetime
) -> list[dict[str, str]]:
    """Speed, delivered, opened where the channel tells it, gateway."""
    sent = live.progress.accepted
    working, tone = _gateway_state(run, live, status, now)
    note = f"{gateway.name}, {stands_in(gateway)}" if gateway.instead_of else gateway.name
    found = [
        _speed(run, live, status),
        {
            "label": _("Delivered so far") if status not in FINISHED else _("Delivered"),
            "value": number(live.delivered),
            "note": _("%(share)s of sent", share=_share(live.delivered, sent)),
        },
    ]
    if live.opened or run.channel in OPENED:
        opened = _("%(share)s of delivered", share=_share(live.opened, live.delivered))
        found.append({"label": _("Opened by people"), "value": number(live.opened), "note": opened})
    return [*found, {"label": _("Gateway"), "value": working, "note": note, "tone": tone}]


def stands_in(gateway: GatewayInUse) -> str:
    """Say in whose place a gateway sends."""
    return str(_("in place of %(gateway)s, which does not answer", gateway=gateway.instead_of))


def _speed(run: Run, live: LiveFigures, status: Status) -> dict[str, str]:
    limit = run.settings.get("limit_per_minute")
    note = _("limit %(count)s", count=number(limit)) if limit else _("no limit")
    if status not in FINISHED:
        value = _("%(count)s a minute", count=number(live.last_minute))
        return {"label": _("Speed now"), "value": value, "note": note}
    average = live.progress.accepted / len(live.minutes) if live.minutes else 0
    value = _("%(count)s a minute", count=number(round(average)))
    return {"label": _("Average speed"), "value": value, "note": note}


def _gateway_state(run: Run, live: LiveFigures, status: Status, now: datetime) -> tuple[str, str]:
    """Say of the gateway what its answers show, and nothing where none was to be expected."""
    if status is Status.PAUSED and run.waits_for_gateway:
        return str(_("Not answering")), "bad"
    if status is not Status.SENDING or not live.progress.claimed + live.last_minute:
        return NO_VALUE, ""
    last = max(live.minutes, default=None)
    if live.last_minute or (last and now - last < timedelta(minutes=_SILENT_MINUTES)):
        return str(_("Working")), "good"
    return str(_("Not answering")), "bad"


def _shown_minutes(run: Run, live: LiveFigures, now: datetime) -> list[datetime]:
    """Twelve minutes that end now, or with the last message; a young run's begin with it."""
    first, last = min(live.minutes), max(live.minutes)
    end = last if run.finished_at else max(last, now.replace(second=0, microsecond=0))
    begin = max(first, end - timedelta(minutes=SHOWN_MINUTES - 1)).astimezone(UTC)
    return [begin + timedelta(minutes=n) for n in range(SHOWN_MINUTES)]


def _share(count: int, base: int) -> str:
    return percent(count / base) if base else NO_VALUE
