"""The steps of a draft: which channel follows which and when; one of them is shown at a time."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from flask import request
from flask_babel import gettext as _
from flask_babel import lazy_gettext
from sqlalchemy.orm import Session

from envoi.delivery.gateways import default_gateway
from envoi.delivery.handover import takes_over
from envoi.delivery.steps import Success
from envoi.errors import EnvoiError, Problem, ValidationFailedError
from envoi.mailings import cascade, variants
from envoi.mailings.models import Mailing
from envoi.types import AddressKind
from envoi.webkit import current
from envoi.webkit.formats import translated
from envoi_web.mailings.context import channel_label
from envoi_web.mailings.editor import Draft

_BEFORE = {"sms": "viber"}
"""Channels that another one is offered to go before, being cheaper or richer."""
_REACHED = {
    AddressKind.EMAIL: lazy_gettext(
        "Delivered: the mail server took it and did not return it. Read: opened by a person, or"
        " a link was followed."
    ),
    AddressKind.PHONE: lazy_gettext(
        "Delivered or read as the provider reports; a link that was followed is read as well."
    ),
    AddressKind.PUSH: lazy_gettext(
        "Delivered or opened as the app reports: taken by the push service is not enough."
    ),
}
"""What the channel before has done when it succeeded."""
_COURSE = ("wait_minutes", "success")


@dataclass(frozen=True, kw_only=True)
class StepTab:
    """A step to be shown; a faulty one has content that needs another look."""

    number: int
    label: str
    faulty: bool = False


@dataclass(frozen=True, kw_only=True)
class Course:
    """When the shown step is taken, after the channel before."""

    before: str
    wait: str
    success: str
    reached: str
    error: str = ""


def cascade_form(
    session: Session, mailing: Mailing, draft: Draft, errors: Mapping[str, str]
) -> dict[str, Any]:
    """Make what the choice of channels is given, for the variant and step shown."""
    offers = _offers(session, mailing)
    before = _BEFORE.get(mailing.channel, "")
    return {
        "steps": _tabs(session, mailing, draft),
        "course": _course(mailing, draft.step, errors) if draft.step > 1 else None,
        "problem": translated(cascade.wait_problem(mailing)),
        "goes_on": going_on_words(session, mailing),
        "first": channel_label(mailing.channel),
        "offers": [(name, channel_label(name)) for name in offers],
        "before": (before, channel_label(before)) if before in offers else None,
        "success": [
            (Success.DELIVERED.value, _("Delivered")),
            (Success.READ.value, _("Read")),
        ],
    }


def going_on_words(session: Session, mailing: Mailing) -> list[str]:
    """Say that a gateway goes through the whole cascade by itself, where one does."""
    gateway = default_gateway(session, mailing.tenant_id, mailing.channel)
    if gateway is None or not mailing.cascade:
        return []
    # What is wrong with a gateway is told where it is chosen; here it goes on to nothing.
    with suppress(EnvoiError):
        steps = cascade.following(mailing)
        if takes_over(session, current.plugins, current.settings, gateway, steps):
            words = _(
                "%(gateway)s goes through the channels by itself: it gets one request with all"
                " messages, and Envoi reads its reports.",
                gateway=gateway.name,
            )
            return [words]
    return []


def chain_of(mailing: Mailing) -> str:
    """Name the channels as the form does, which tells by them that they were changed meanwhile."""
    return ",".join(cascade.channels_of(mailing))


def course_changes(mailing: Mailing, draft: Draft) -> dict[str, str]:
    """What was typed of the shown step's course and differs from what is stored."""
    if draft.step == 1:
        return {}
    stored = cascade.following(mailing)[draft.step - 2].model_dump(mode="json")
    typed = {name: request.form.get(f"step.{name}", str(stored[name])).strip() for name in _COURSE}
    return {name: value for name, value in typed.items() if value != str(stored[name])}


def save_course(session: Session, mailing: Mailing, draft: Draft) -> list[Problem]:
    """Store when the shown step is taken; return what was refused."""
    if not (changes := course_changes(mailing, draft)):
        return []
    where = (session, mailing.tenant_id, mailing.id, mailing.version)
    try:
        cascade.set_step(*where, draft.step, changes)
    except ValidationFailedError as error:
        return [Problem(f"step.{problem.field}", problem.message) for problem in error.problems]
    return []


def shown_at(session: Session, mailing: Mailing, number: int, step: int, block: str = "") -> Draft:
    """Return what a variant says in a step, as a draft to be edited."""
    variant = variants.get_variant(session, mailing, number)
    return Draft(dict(variants.content_at(variant, step)), number, block, step=step)


def show_step(session: Session, mailing: Mailing, draft: Draft, argument: str) -> Draft:
    """Show another step of the variant."""
    return shown_at(session, mailing, draft.number, _number(argument))


def add_step(session: Session, mailing: Mailing, draft: Draft, channel: str) -> Draft:
    """Let a channel follow the last one, and show it."""
    return _added(session, mailing, draft, channel, before=False)


def put_before(session: Session, mailing: Mailing, draft: Draft, channel: str) -> Draft:
    """Let a channel go before the first one, and show it."""
    return _added(session, mailing, draft, channel, before=True)


def move_step(session: Session, mailing: Mailing, draft: Draft, argument: str) -> Draft:
    """Let a channel change places with the one before it."""
    step = _number(argument)
    where = (session, mailing.tenant_id, mailing.id, mailing.version)
    cascade.move_step(*where, step)
    return replace(draft, step=step - 1)


def remove_step(session: Session, mailing: Mailing, draft: Draft, argument: str) -> Draft:
    """Take a channel out with what was written for it, and show what stands in its place."""
    step = _number(argument)
    cascade.remove_step(session, mailing.tenant_id, mailing.id, mailing.version, step)
    left = min(step, len(cascade.channels_of(mailing)))
    return shown_at(session, mailing, draft.number, left)


def _number(argument: str) -> int:
    return int(argument) if argument.isdecimal() and len(argument) < 3 else 0


def _added(
    session: Session, mailing: Mailing, draft: Draft, channel: str, *, before: bool
) -> Draft:
    if channel not in _offers(session, mailing):
        message = "This channel cannot be added: it is in the cascade, or has no gateway."
        raise ValidationFailedError([Problem("channel", message)])
    where = (session, current.plugins, mailing.tenant_id, mailing.id, mailing.version)
    cascade.add_step(*where, channel, before=before)
    step = 1 if before else len(cascade.channels_of(mailing))
    return shown_at(session, mailing, draft.number, step)


def _tabs(session: Session, mailing: Mailing, draft: Draft) -> list[StepTab]:
    variant = variants.get_variant(session, mailing, draft.number)
    return [
        StepTab(
            number=step,
            label=channel_label(channel),
            faulty=step != draft.step and _is_faulty(channel, variants.content_at(variant, step)),
        )
        for step, channel in enumerate(cascade.channels_of(mailing), start=1)
    ]


def _is_faulty(channel: str, content: Mapping[str, Any]) -> bool:
    """Whether a content is wrong even as a draft, in which nothing need be filled in."""
    try:
        variants.validate_content(current.plugins, channel, content, draft=True)
    except ValidationFailedError:
        return True
    return False


def _course(mailing: Mailing, step: int, errors: Mapping[str, str]) -> Course:
    before = cascade.channel_at(mailing, step - 1)
    stored = cascade.following(mailing)[step - 2]
    spec = current.plugins.channels.get(before)
    return Course(
        before=channel_label(before),
        wait=request.form.get("step.wait_minutes", str(stored.wait_minutes)),
        success=stored.success.value,
        reached=str(_REACHED[spec.address_kind]) if spec else "",
        error=errors.get("step.wait_minutes", ""),
    )


def _offers(session: Session, mailing: Mailing) -> list[str]:
    """Channels that may be added: those with a gateway."""
    chain = cascade.channels_of(mailing)
    return [
        spec.name
        for spec in sorted(current.plugins.channels.values(), key=lambda spec: spec.order)
        if spec.name not in chain
        and default_gateway(session, mailing.tenant_id, spec.name) is not None
    ]
