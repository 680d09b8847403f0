"""The virtual phone: what arrived on a demo customer's phone, and what is to become of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask import Response, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext

from envoi.customers.profile import ProfileMessage, messages_of
from envoi.demo.mailbox import list_messages, mailbox_folder
from envoi.demo.owners import Owner, owner_of, owners_of, some_owners
from envoi.demo.phone import Act, Answer, Arrival, Manners, PhoneAwayError, Phones
from envoi.errors import ConflictError, NotFoundError
from envoi.webkit import current, page, permission, see_other, toast
from envoi_web.customers.context import message_rows
from envoi_web.demo.blueprint import demo, demo_settings

SHOWN = 30
OFFERED = 20
LOOKED_AT = 50
CLOSE = timedelta(minutes=2)
"""A message of the ledger and an arrival are the same one if no more lies between them."""

ACTS = {
    Act.DELIVER: (lazy_gettext("Deliver"), "check", "btn-primary"),
    Act.READ: (lazy_gettext("Read"), "mail-opened", ""),
    Act.TAP: (lazy_gettext("Tap"), "click", ""),
    Act.SAY_NOTHING: (lazy_gettext("Say nothing"), "clock-pause", ""),
    Act.FAIL: (lazy_gettext("Fail"), "circle-x", "btn-ghost-danger"),
}
HAPPENED = {
    "delivered": (lazy_gettext("Delivered"), "check"),
    "read": (lazy_gettext("Read"), "mail-opened"),
    "tapped": (lazy_gettext("Tapped"), "click"),
    "failed": (lazy_gettext("Failed"), "circle-x"),
    "silent": (lazy_gettext("Says nothing"), "clock-pause"),
}
ANSWERS = {
    Answer.WAIT: lazy_gettext("Wait for me"),
    Answer.DELIVER: lazy_gettext("Deliver at once"),
    Answer.READ: lazy_gettext("Deliver and read"),
}


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A message on the screen; one of the mailbox is opened there, and cannot be acted on."""

    id: str
    channel: str
    at: datetime
    title: str
    text: str
    button: str = ""
    image: str = ""
    url: str = ""
    arrival: Arrival | None = None


@demo.get("/phone")
@permission("demo.phone")
def phone() -> Response:
    """Show the phone at which something arrived last."""
    offered, trouble = _offered()
    return _phone_page(offered[0] if offered else None, offered, trouble)


@demo.get("/phone/<int:customer_id>")
@permission("demo.phone")
def phone_of(customer_id: int) -> Response:
    """Show a customer's phone."""
    mine = _owner(customer_id)
    offered, trouble = _offered()
    if mine not in offered:
        offered = [mine, *offered]
    return _phone_page(mine, offered, trouble)


@demo.post("/phone/<int:customer_id>")
@permission("demo.phone")
def act(customer_id: int) -> Response:
    """Do something with a message of this phone."""
    mine, phones = _owner(customer_id), Phones(demo_settings())
    wanted = request.form.get("message", "")
    # The page shows what has happened meanwhile, and whether the simulators are there.
    with suppress(ConflictError, PhoneAwayError):
        if wanted not in {each.id for each in phones.messages(mine.addresses, SHOWN)}:
            raise NotFoundError("This message is not on the phone any more.")
        phones.act(wanted, _chosen(Act, request.form.get("act", "")))
    return see_other(url_for("demo.phone_of", customer_id=customer_id, message=wanted))


@demo.post("/phone/<int:customer_id>/manners")
@permission("demo.phone")
def manners(customer_id: int) -> Response:
    """Choose how this phone answers."""
    mine, phones = _owner(customer_id), Phones(demo_settings())
    chosen = Manners(
        answer=_chosen(Answer, request.form.get("answer", "")),
        has_viber=request.form.get("viber") == "yes",
    )
    with suppress(PhoneAwayError):
        for address in mine.addresses:
            phones.set_manners(address, chosen)
        toast(_("The phone answers so from the next message on."))
    return see_other(url_for("demo.phone_of", customer_id=customer_id))


def _owner(customer_id: int) -> Owner:
    demo_settings()
    with current.session() as session:
        return owner_of(session, current.tenant_id, customer_id)


def _chosen(kind: type[Any], text: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise NotFoundError("A phone cannot do this.") from None


def _offered() -> tuple[list[Owner], str]:
    """The phones to choose from, those with the newest messages first; and what is wrong."""
    newest: Sequence[Arrival] = ()
    trouble = ""
    try:
        newest = Phones(demo_settings()).newest(LOOKED_AT)
    except PhoneAwayError as error:
        trouble = str(error)
    with current.session() as session:
        found = owners_of(session, current.tenant_id, [each.address for each in newest])
        others = some_owners(session, current.tenant_id, OFFERED)
    order = {each.address: place for place, each in enumerate(newest)}
    found.sort(key=lambda each: min(order[a] for a in each.addresses if a in order))
    return [*found, *(each for each in others if each not in found)][:OFFERED], trouble


def _phone_page(mine: Owner | None, offered: Sequence[Owner], trouble: str) -> Response:
    shown: list[Shown] = []
    answers = Manners()
    if mine is not None and not trouble:
        phones = Phones(demo_settings())
        shown = _shown(mine, phones.messages(mine.addresses, SHOWN))
        answers = phones.manners(mine.addresses[0]) if mine.addresses else answers
    wanted = request.args.get("message", "")
    chosen = next((each for each in shown if each.id == wanted), shown[0] if shown else None)
    return page(
        "demo/phone.html",
        fragments=("live",),
        mine=mine,
        offered=offered,
        shown=shown,
        chosen=chosen,
        sent=_sent(mine, chosen) if mine and chosen else None,
        steps=_steps(chosen) if chosen else [],
        acts=[(act.value, *ACTS[act]) for act in ACTS if chosen and act in _can(chosen)],
        answers=[(each.value, str(word)) for each, word in ANSWERS.items()],
        manners=answers,
        trouble=trouble,
    )


def _can(chosen: Shown) -> Sequence[Act]:
    return chosen.arrival.can if chosen.arrival else ()


def _shown(mine: Owner, arrivals: Sequence[Arrival]) -> list[Shown]:
    """What is on the screen, newest first, emails of the demo's mailbox among it."""
    found = [_of_arrival(each) for each in arrivals]
    if mine.email:
        entries = list_messages(mailbox_folder(demo_settings()), mine.email, SHOWN)
        found += [
            Shown(
                id=f"mail-{entry.id}",
                channel="email",
                at=entry.received_at,
                title=entry.subject or _("(no subject)"),
                text=entry.sender,
                url=url_for("demo.message", message_id=entry.id),
            )
            for entry in entries
            if entry.to.lower() == mine.email
        ]
    return sorted(found, key=lambda each: each.at, reverse=True)[:SHOWN]


def _of_arrival(arrival: Arrival) -> Shown:
    fields: Mapping[str, Any] = arrival.fields
    return Shown(
        id=arrival.id,
        channel=arrival.channel,
        at=arrival.arrived_at,
        title=str(fields.get("title") or arrival.sender),
        text=arrival.text,
        button=str(fields.get("button") or ""),
        image=str(fields.get("image") or ""),
        arrival=arrival,
    )


def _sent(mine: Owner, chosen: Shown) -> Any:
    """The message of the ledger that has arrived here, if one left shortly before."""
    with current.session() as session:
        found = messages_of(session, current.tenant_id, mine.customer_id, limit=LOOKED_AT)
    near = [each for each in found if each.channel == chosen.channel and _apart(each, chosen)]
    near = [each for each in near if _apart(each, chosen) < CLOSE]
    nearest = sorted(near, key=lambda each: _apart(each, chosen))[:1]
    return next(iter(message_rows(nearest)), None)


def _apart(sent: ProfileMessage, shown: Shown) -> timedelta:
    return abs(sent.accepted_at - shown.at) if sent.accepted_at else timedelta.max


def _steps(chosen: Shown) -> list[dict[str, Any]]:
    """What has happened on the phone, by the company's clock."""
    happened = [(_("Arrived"), "check", chosen.at)]
    happened += [
        (*HAPPENED[each.what], each.at)
        for each in (chosen.arrival.happened if chosen.arrival else ())
    ]
    zone = current.company.zone
    return [
        {
            "label": label,
            "name": name,
            "state": "bad" if name == "circle-x" else "done",
            "time": f"{at.astimezone(zone):%H:%M:%S}",
        }
        for label, name, at in happened
    ]
