"""The virtual phone: what arrived on a demo customer's phone, and what is to become of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Response, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext

from envoi.customers.profile import ProfileMessage, messages_of
from envoi.delivery.steps import Success
from envoi.demo.following import Place, place_of
from envoi.demo.mailbox import MailboxMessage, list_messages, mailbox_folder, read_message
from envoi.demo.owners import Owner, owner_of, owners_of, some_owners
from envoi.demo.phone import Act, Answer, Arrival, Manners, PhoneAwayError, Phones
from envoi.demo.reader import ListenerAwayError, act_on, can_be
from envoi.errors import ConflictError, NotFoundError, ProviderError, UnansweredError
from envoi.webkit import current, page, permission, see_other, toast
from envoi_web.customers.context import ShownMessage, message_rows
from envoi_web.demo.blueprint import demo, demo_settings

SHOWN = 30
MAIL = "mail-"
"""Numbers of emails begin with it."""
LONGEST_REPLY = 70
"""As much as one SMS takes in any alphabet."""
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
CHANNELS = {
    "sms": lazy_gettext("SMS"),
    "viber": lazy_gettext("Viber"),
    "push": lazy_gettext("Push"),
    "email": lazy_gettext("Email"),
    "social": lazy_gettext("Social network"),
}
WAITING = {
    Success.DELIVERED: lazy_gettext("Waiting for delivery"),
    Success.READ: lazy_gettext("Waiting to be read"),
}
ANSWERS = {
    Answer.WAIT: lazy_gettext("Wait for me"),
    Answer.DELIVER: lazy_gettext("Deliver at once"),
    Answer.READ: lazy_gettext("Deliver and read"),
}


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A message on the screen; one of the mailbox can be opened there as well."""

    id: str
    channel: str
    at: datetime
    title: str
    text: str
    button: str = ""
    image: str = ""
    link: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
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
    chosen = _chosen(Act, request.form.get("act", ""))
    if wanted.startswith(MAIL):
        return _act_on_mail(mine, wanted, chosen)
    # The page shows what has happened meanwhile, and whether the simulators are there.
    with suppress(ConflictError, PhoneAwayError):
        _require_own(mine, phones, wanted)
        phones.act(wanted, chosen)
    return _back(customer_id, wanted)


@demo.post("/phone/<int:customer_id>/reply")
@permission("demo.phone")
def reply(customer_id: int) -> Response:
    """Answer a message of this phone."""
    mine, phones = _owner(customer_id), Phones(demo_settings())
    wanted, text = request.form.get("message", ""), request.form.get("text", "").strip()
    with suppress(ConflictError, PhoneAwayError):
        _require_own(mine, phones, wanted)
        if text:
            phones.reply(wanted, text[:LONGEST_REPLY])
            toast(_("The answer is on its way."))
    return _back(customer_id, wanted)


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


def _back(customer_id: int, message: str, **more: Any) -> Response:
    return see_other(url_for("demo.phone_of", customer_id=customer_id, message=message, **more))


def _require_own(mine: Owner, phones: Phones, wanted: str) -> None:
    if wanted not in {each.id for each in phones.messages(mine.addresses, SHOWN)}:
        raise NotFoundError("This message is not on the phone any more.")


def _mail(mine: Owner, wanted: str) -> MailboxMessage:
    found = read_message(mailbox_folder(demo_settings()), wanted.removeprefix(MAIL))
    if not mine.email or found.entry.to.lower() != mine.email:
        raise NotFoundError("This message is not on the phone any more.")
    return found


def _act_on_mail(mine: Owner, wanted: str, chosen: Act) -> Response:
    try:
        act_on(demo_settings(), _mail(mine, wanted), chosen)
    except ConflictError:
        pass
    except (ListenerAwayError, ProviderError, UnansweredError):
        return _back(mine.customer_id, wanted, away=1)
    return _back(mine.customer_id, wanted)


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
    sent, place = _sent(mine, chosen) if mine and chosen else (None, None)
    acts = _can(mine, chosen) if mine and chosen else ()
    return page(
        "demo/phone.html",
        fragments=("live",),
        mine=mine,
        offered=offered,
        shown=shown,
        chosen=chosen,
        sent=sent,
        words=CHANNELS,
        place=place,
        left=_left(place),
        steps=_steps(chosen, place) if chosen else [],
        acts=[(act.value, *ACTS[act]) for act in ACTS if act in acts],
        longest_reply=LONGEST_REPLY,
        answers=[(each.value, str(word)) for each, word in ANSWERS.items()],
        manners=answers,
        trouble=trouble,
        is_untold="away" in request.args,
    )


def _can(mine: Owner, chosen: Shown) -> Sequence[Act]:
    if chosen.arrival:
        return chosen.arrival.can
    return can_be(demo_settings(), _mail(mine, chosen.id))


def _left(place: Place | None) -> str:
    """Minutes and seconds until the next message follows."""
    if place is None or place.at is None:
        return ""
    seconds = max(0, round((place.at - datetime.now(UTC)).total_seconds()))
    return f"{seconds // 60}:{seconds % 60:02}"


def _shown(mine: Owner, arrivals: Sequence[Arrival]) -> list[Shown]:
    """What is on the screen, newest first, emails of the demo's mailbox among it."""
    found = [_of_arrival(each) for each in arrivals]
    if mine.email:
        entries = list_messages(mailbox_folder(demo_settings()), mine.email, SHOWN)
        found += [
            Shown(
                id=f"{MAIL}{entry.id}",
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
        link=str(fields.get("link") or ""),
        data=dict(fields.get("data") or {}),
        arrival=arrival,
    )


def _sent(mine: Owner, chosen: Shown) -> tuple[ShownMessage | None, Place | None]:
    """The message of the ledger that has arrived here, if one left shortly before; its cascade."""
    with current.session() as session:
        found = messages_of(session, current.tenant_id, mine.customer_id, limit=LOOKED_AT)
        near = [each for each in found if each.channel == chosen.channel]
        near = [each for each in near if _apart(each, chosen) < CLOSE]
        if not near:
            return None, None
        nearest = min(near, key=lambda each: _apart(each, chosen))
        place = place_of(session, current.tenant_id, mine.customer_id, nearest)
    [row] = message_rows([nearest])
    return row, place


def _apart(sent: ProfileMessage, shown: Shown) -> timedelta:
    return abs(sent.accepted_at - shown.at) if sent.accepted_at else timedelta.max


def _steps(chosen: Shown, place: Place | None) -> list[dict[str, Any]]:
    """What has happened on the phone, by the company's clock, and what is waited for."""
    happened = [(_("Arrived"), "check", chosen.at)]
    happened += [
        (*HAPPENED[each.what], each.at)
        for each in (chosen.arrival.happened if chosen.arrival else ())
    ]
    zone = current.company.zone
    steps = [
        {
            "label": label,
            "name": name,
            "state": "bad" if name == "circle-x" else "done",
            "time": f"{at.astimezone(zone):%H:%M:%S}",
        }
        for label, name, at in happened
    ]
    if place and place.at:
        until = _("until %(time)s", time=f"{place.at.astimezone(zone):%H:%M:%S}")
        waiting = WAITING[place.success]
        steps.append({"label": waiting, "name": "hourglass", "state": "now", "time": until})
        following = CHANNELS.get(place.next_channel, place.next_channel)
        steps.append({"label": following, "name": "send", "state": "next"})
    return steps
