"""Whose eyes the preview looks through: a customer, and a second one beside on a phone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from flask import url_for
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from envoi.mailings.cascade import channels_of
from envoi.mailings.content import preview_customers
from envoi.mailings.models import Mailing
from envoi.webkit import allowed, current
from envoi_web.mailings.context import channel_label
from envoi_web.mailings.editor import Draft
from envoi_web.mailings.measuring import Measured

Reader = tuple[int, str]


def people_of(session: Session, mailing: Mailing, step: int = 1) -> list[Reader]:
    """Offer customers to look at the message as they will, to who may see customers."""
    if not allowed("customers.view"):
        return []
    return preview_customers(session, current.plugins, mailing, step=step)


def preview_of(
    session: Session, mailing: Mailing, draft: Draft, measured: Measured | None, asked: int | None
) -> dict[str, Any]:
    """Make what the preview is given: the customers, the one chosen, and the phones.

    A cascade has a phone for every step. Where messages are counted, the phones of a single
    channel begin with the longest and the shortest.
    """
    people = people_of(session, mailing, draft.step)
    if people and measured and measured.longest:
        people = _with(people, measured.longest, measured.name)
    first = asked or (measured.longest if people and measured else 0) or _nth(people, 0)
    second = (measured.shortest if people and measured else 0) or _nth(people, 1)
    whose = _("The customer chosen") if first else _("Without a customer's data")
    phones = [_phone(mailing, draft, first, whose, 0)]
    if mailing.cascade:
        phones = _phone_of_each_step(mailing, draft, first)
    elif second and second != first:
        label = _("The shortest") if measured else dict(people).get(second, "")
        phones.append(_phone(mailing, draft, second, label, second))
    return {
        "customers": people,
        "customer": first,
        "url": _url(mailing, draft, first),
        "phones": phones,
    }


def _phone_of_each_step(mailing: Mailing, draft: Draft, reader: int | None) -> list[dict[str, Any]]:
    names = enumerate(channels_of(mailing), start=1)
    return [
        _phone(mailing, replace(draft, step=step), reader, f"{step}. {channel_label(name)}", 0)
        for step, name in names
    ]


def _phone(
    mailing: Mailing, draft: Draft, reader: int | None, label: str, fixed: int
) -> dict[str, Any]:
    url = _url(mailing, draft, reader)
    return {"label": label, "url": url, "reader": fixed, "step": draft.step}


def _url(mailing: Mailing, draft: Draft, customer: int | None) -> str:
    return url_for(
        "mailings.show_preview",
        mailing_id=mailing.id,
        variant=draft.number,
        step=draft.step,
        customer=customer,
        v=mailing.version,
    )


def _with(people: list[Reader], number: int, name: str) -> list[Reader]:
    return people if number in dict(people) else [(number, name), *people]


def _nth(people: Sequence[Reader], place: int) -> int | None:
    return people[place][0] if len(people) > place else None
