"""Creating a mailing: channel, who gets it, and the day when it was chosen in the calendar."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime

from flask import Response, request, url_for
from flask_babel import gettext as _
from sqlalchemy.orm import Session
from werkzeug.datastructures import MultiDict

from envoi.delivery.gateway_list import Health, ListedGateway, list_gateways
from envoi.errors import NotFoundError, Problem
from envoi.mailings import service
from envoi.mailings.calendar import first_start
from envoi.plugins import Plugins
from envoi.webkit import allowed, current, page, permission, see_other
from envoi_web.mailings import listing
from envoi_web.mailings.blueprint import mailings
from envoi_web.mailings.context import crumbs, options
from envoi_web.mailings.forms import source_of
from envoi_web.mailings.sources import sources


@mailings.get("/new")
@permission("mailings.edit")
def new() -> Response:
    """Show the small form that makes a draft."""
    return _form(request.args)


def _form(given: MultiDict[str, str], problems: tuple[Problem, ...] = ()) -> Response:
    with current.session() as session:
        found = sources(session, current.tenant_id, "")
        mine = current.plugins.for_tenant(session, current.tenant_id)
        ways = _ways(session, mine)
        channels = [(*c, _gateway_words(ways.get(c[0]))) for c in listing.enabled_channels()]
        without = _without_gateway(mine, [c for c in channels if c[0] not in ways])
    everybody = [("all", _("All customers"))]
    return page(
        "mailings/new.html",
        sources=options([(s.value, s.name) for s in found] + everybody, _("Choose later")),
        status=422 if problems else 200,
        source=_source(given),
        starts_at=_start_on(given.get("date", "")),
        channel=_channel(given, [c[0] for c in channels]),
        channels=channels,
        without=without,
        name=given.get("name", ""),
        problems=problems,
        errors={problem.field: problem.message for problem in problems},
        crumbs=crumbs(_("Create mailing")),
    )


@mailings.post("/new")
@permission("mailings.edit")
def create() -> Response:
    """Make a draft and open its editor."""
    enabled = dict(listing.enabled_channels())
    channel = request.form.get("channel") or next(iter(enabled), "")
    if channel not in enabled:
        raise NotFoundError("This channel is not enabled for the company.")
    name = request.form.get("name", "").strip()
    if not name:
        return _form(request.form, (Problem("name", _("Enter a name for the mailing.")),))
    with current.session() as session:
        asked = {
            "channel": channel,
            "name": name,
            **source_of(_source(request.form)),
            "starts_at": _start_on(request.form.get("date", "")),
            "account_id": current.account_id,
        }
        mine = (session, current.tenant_id)
        made = service.just_drafted(*mine, **asked) or service.create_draft(
            *mine, **asked, window_zone=current.plugins.channels[channel].window_zone
        )
        made_id = made.id
    return see_other(url_for("mailings.who", mailing_id=made_id))


def _channel(given: MultiDict[str, str], enabled: Sequence[str]) -> str:
    """Return the channel that was asked for, or else the company's first."""
    asked = given.get("channel", "")
    return asked if asked in enabled else next(iter(enabled), "")


def _ways(session: Session, mine: Plugins) -> dict[str, ListedGateway]:
    """The gateway through which each channel's mailings leave, with how it is now."""
    found: dict[str, ListedGateway] = {}
    for listed in list_gateways(session, current.tenant_id):
        if listed.gateway.is_on and listed.gateway.provider in mine.providers:
            found.setdefault(listed.gateway.channel, listed)
    return found


def _without_gateway(
    mine: Plugins, channels: Sequence[tuple[str, str, str]]
) -> list[tuple[str, str]]:
    """Lead from channels that cannot send yet to the form of a new gateway, with their labels."""
    if not allowed("settings.plugins"):
        return []
    providers = {spec.channel: name for name, spec in mine.providers.items()}
    return [
        (label, url_for("settings.new_gateway", provider=providers[name]))
        for name, label, _note in channels
        if name in providers
    ]


def _gateway_words(way: ListedGateway | None) -> str:
    if way is not None:
        through = _("through %(name)s", name=way.gateway.name)
        return f"{through}. {_health_words(way.health)}"
    if allowed("settings.plugins"):
        return str(_("No gateway yet. Set one up before the start."))
    return str(_("No gateway yet. Ask an administrator to set one up."))


def _health_words(health: Health) -> str:
    known = {
        Health.WORKING: _("It works."),
        Health.UNTESTED: _("It was not tested or used yet."),
        Health.SLOW: _("It has failed just now and is tried again."),
        Health.SILENT: _("It does not answer: mailings wait until it does, or another stands in."),
    }
    return str(known[health])


def _source(given: MultiDict[str, str]) -> str:
    """Return who is to get it; segments are also named by their number alone."""
    segment = given.get("segment_id") or given.get("segment")
    return given.get("source") or (f"segment:{segment}" if segment else "")


def _start_on(text: str) -> datetime | None:
    """Read the day that a mailing is created for; one that has passed is none."""
    try:
        wanted = date.fromisoformat(text)
    except ValueError:
        return None
    return first_start(wanted, datetime.now(UTC), current.company.zone)
