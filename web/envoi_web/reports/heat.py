"""Where a message was clicked: each link's share, written on the message itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flask import Response, abort, request, url_for
from flask_babel import gettext as _
from markupsafe import escape

from envoi.content.links import marked_links
from envoi.delivery.models import Run
from envoi.errors import EnvoiError, NotFoundError
from envoi.library.files import Library
from envoi.mailings import service
from envoi.mailings.content import rendered
from envoi.mailings.engagement import LinkClicks
from envoi.mailings.kept import report_to_show
from envoi.mailings.report import MailingReport
from envoi.webkit import current, page, permission, see_other
from envoi.webkit.formats import number, percent, translated
from envoi_web.mailings.preview import foreign
from envoi_web.reports.blueprint import crumbs, reports
from envoi_web.reports.compared import letter

_BADGE = (
    '<span style="display:inline-block;margin:0 4px 0 0;padding:1px 6px;border-radius:4px;'
    "font:600 12px/1.4 system-ui,sans-serif;text-decoration:none;color:{ink};"
    'background:{ground};outline:1px solid #fff">{words}</span>'
)
# From cold to hot, by the share of the clicks; each ink can be read on its ground.
_HEAT = ((0.0, "#dce4ec", "#1f2a37"), (0.05, "#ffd8a8", "#5c2b00"), (0.2, "#c92a2a", "#ffffff"))


@reports.get("/<int:mailing_id>/report/links")
@permission("reports.view")
def heat_map(mailing_id: int) -> Response:
    """Show a variant's message with the share of clicks on every link, and the list beside it."""
    run, found = _asked(mailing_id)
    report_url = url_for("reports.report", mailing_id=mailing_id)
    if found is None:
        return see_other(report_url)
    numbers = sorted(_contents(run)) or [1]
    chosen = _variant(numbers)
    links = _links(found, chosen)
    return page(
        "reports/heat.html",
        mailing_id=mailing_id,
        name=found.name,
        chosen=chosen,
        variants=[(one, letter(one)) for one in numbers] if len(numbers) > 1 else [],
        links=[_row(link, links) for link in links],
        with_machines=found.with_machines,
        report_url=report_url,
        crumbs=[
            *crumbs(found.channel),
            (_("Report: %(name)s", name=found.name), report_url),
            (_("Links on the message"), ""),
        ],
    )


@reports.get("/<int:mailing_id>/report/message")
@permission("reports.view")
def heated_message(mailing_id: int) -> Response:
    """The message as it was sent, to nobody in particular; only ever shown inside a frame."""
    run, found = _asked(mailing_id)
    chosen = _variant(sorted(_contents(run)) or [1])
    links = _links(found, chosen) if found else []
    try:
        html = _message(run, chosen)
    except EnvoiError as error:
        return foreign(str(escape(translated(str(error)))))
    return foreign(marked_links(html, _badges(links)))


def _asked(mailing_id: int) -> tuple[Run, MailingReport | None]:
    with_machines = request.args.get("machines") == "1"
    with current.session() as session:
        where = (session, current.plugins, current.tenant_id, mailing_id)
        found = report_to_show(*where, with_machines=with_machines)
        run = service.get_run(session, service.get_mailing(session, current.tenant_id, mailing_id))
    if run is None:
        raise NotFoundError("This mailing has not started, so nothing was clicked yet.")
    return run, found


def _contents(run: Run) -> dict[int, Mapping[str, Any]]:
    """What was sent, by variant."""
    return {one["number"]: one["content"] for one in run.settings.get("variants") or []}


def _links(found: MailingReport, chosen: int) -> list[LinkClicks]:
    """Links of the message that is shown; those of a cascade's further steps are in the report."""
    return [link for link in found.links if (link.step, link.variant) == (1, chosen)]


def _variant(numbers: Sequence[int]) -> int:
    chosen = request.args.get("variant", numbers[0], type=int)
    if chosen not in numbers:
        abort(404)
    return chosen


def _message(run: Run, chosen: int) -> str:
    """Render what was sent, for nobody: no customer's data belong into a report."""
    content = _contents(run).get(chosen, {})
    with current.session() as session:
        library = Library(session, run.tenant_id, run.settings.get("links_url", ""))
        return rendered(current.plugins, run.channel, content, library, {})


def _badges(links: Sequence[LinkClicks]) -> Callable[[int, int, str], str]:
    """Find a link's count by its place, or by its target where places have changed."""
    clicks = sum(link.clicks for link in links)
    by_number = {link.number: link.clicks for link in links}
    by_target: Counter[str] = Counter()
    for link in links:
        by_target[link.target] += link.clicks

    def badge(place: int, places: int, target: str) -> str:
        found = by_number.get(place, 0) if places == len(links) else by_target.get(target, 0)
        share = found / clicks if clicks else 0.0
        ground, ink = next((g, i) for least, g, i in reversed(_HEAT) if share >= least)
        words = escape(percent(share) if clicks else number(0))
        return _BADGE.format(ink=ink, ground=ground, words=words)

    return badge


def _row(link: LinkClicks, links: Sequence[LinkClicks]) -> dict[str, object]:
    clicks = sum(each.clicks for each in links)
    return {
        "place": link.number + 1,
        "target": link.target,
        "customers": link.customers,
        "clicks": link.clicks,
        "share": percent(link.clicks / clicks) if clicks else "–",
        "width": round(100 * link.clicks / clicks, 2) if clicks else 0,
    }
