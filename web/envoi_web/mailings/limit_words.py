"""Limits in words: what slows a mailing down, and how long it takes because of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask_babel import gettext as _
from sqlalchemy.orm import Session

from envoi.delivery.models import Run
from envoi.delivery.outlook import Outlook, days_of, outlook_of_channel, outlook_of_run
from envoi.delivery.pace import pace_of
from envoi.mailings.models import Mailing
from envoi.webkit import current
from envoi.webkit.formats import day, moment, number, translated


def duration_words(messages: int, mailing: Mailing, outlook: Outlook | None) -> str:
    """Say how long so many messages take, and which limit is the slowest; empty without one."""
    pace = pace_of(mailing.limit_per_minute, mailing.limit_per_minute or 1)
    own = pace.per_minute / 60 if pace else None
    rate = outlook.rate if outlook else None
    if not messages or (rate is None and own is None):
        return ""
    if rate is not None and (own is None or rate < own):
        words = {"rate": number(rate), "time": _time(messages / rate)}
        return str(_("At %(rate)s a second of the gateway this takes about %(time)s.", **words))
    assert own is not None
    words = {"rate": number(mailing.limit_per_minute), "time": _time(messages / own)}
    return str(_("At %(rate)s a minute this takes about %(time)s.", **words))


def estimate_words(session: Session, mailing: Mailing) -> list[str]:
    """Say of a draft how long it takes and over how many days it is spread."""
    messages = mailing.volume.get("recipients", 0) if mailing.volume else 0
    known = (session, current.plugins.for_tenant(session, mailing.tenant_id))
    where = (mailing.tenant_id, mailing.channel)
    outlook = outlook_of_channel(*known, current.settings, *where)
    start = mailing.starts_at or datetime.now(UTC)
    said = [duration_words(messages, mailing, outlook)]
    if spread := days_of(*known, *where, messages, start):
        words = {
            "limit": translated(spread.label),
            "count": number(spread.first),
            "day": day(spread.last_day),
        }
        said.append(
            str(_("%(limit)s: %(count)s leave on the first day, the last on %(day)s.", **words))
        )
    return [words for words in said if words]


def running_words(session: Session, run: Run) -> dict[str, Any]:
    """Say what slows a running mailing down: `held` when nothing more leaves today."""
    plugins = current.plugins.for_tenant(session, run.tenant_id)
    outlook = outlook_of_run(session, plugins, current.settings, run.tenant_id, run.id)
    if outlook is None:
        return {"held": "", "slowed": []}
    return {"held": _held(outlook), "slowed": _slowed(outlook)}


def _held(outlook: Outlook) -> str:
    today = outlook.today
    if today is None or not today.is_used_up:
        return ""
    words = {
        "limit": translated(today.label),
        "taken": number(today.taken),
        "count": number(today.count),
        "time": moment(today.goes_on_at),
    }
    said = _("%(limit)s: %(taken)s of %(count)s have left today; it goes on at %(time)s.", **words)
    return str(said)


def _slowed(outlook: Outlook) -> list[str]:
    said = []
    if outlook.rate is not None:
        rate = number(outlook.rate)
        said.append(_("All mailings together: at most %(rate)s a second.", rate=rate))
    if (today := outlook.today) is not None and not today.is_used_up:
        words = {
            "limit": translated(today.label),
            "taken": number(today.taken),
            "count": number(today.count),
        }
        said.append(_("%(limit)s: %(taken)s of %(count)s today.", **words))
    if outlook.domains:
        names = ", ".join(outlook.domains)
        said.append(_("Enough for today: %(names)s.", names=names))
    return [str(words) for words in said]


def _time(seconds: float) -> str:
    """Say a duration in two units at most: 4 h 20 min."""
    minutes = max(1, round(seconds / 60))
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return str(_("%(days)s d %(hours)s h", days=number(days), hours=hours))
    if hours:
        return str(_("%(hours)s h %(minutes)s min", hours=hours, minutes=minutes))
    return str(_("%(minutes)s min", minutes=minutes))
