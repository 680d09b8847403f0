"""The cascade of a draft in the second step: which channel follows which, when, and with what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flask import request
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from envoi.delivery.gateways import default_gateway
from envoi.delivery.steps import Success
from envoi.errors import NotFoundError, Problem, ValidationFailedError
from envoi.mailings import cascade, variants
from envoi.mailings.models import Mailing, Variant
from envoi.types import AddressKind, ChannelSpec
from envoi.webkit import current
from envoi_web.mailings.content_fields import ContentField, content_fields, typed_content
from envoi_web.mailings.context import channel_label
from envoi_web.mailings.editor import Draft

_BEFORE = {"sms": "viber"}
"""Channels that another one is offered to go before, being cheaper or richer."""


@dataclass(frozen=True, kw_only=True)
class StepForm:
    """A further step as it is filled in."""

    number: int
    label: str
    wait: str
    success: str
    fields: list[ContentField]
    wait_error: str = ""

    @property
    def prefix(self) -> str:
        """What the names of its fields begin with."""
        return prefix_of(self.number)


def prefix_of(step: int) -> str:
    """Return what the names of a step's fields begin with."""
    return f"step{step}"


def cascade_form(
    session: Session, mailing: Mailing, number: int, errors: dict[str, str]
) -> dict[str, Any]:
    """Make what the card of the cascade is given, for a variant."""
    variant = variants.get_variant(session, mailing, number)
    offers = _offers(session, mailing)
    before = _BEFORE.get(mailing.channel, "")
    return {
        "steps": [_step_form(variant, mailing, step, errors) for step in _steps(mailing)],
        "first": channel_label(mailing.channel),
        "offers": [(name, channel_label(name)) for name in offers],
        "before": (before, channel_label(before)) if before in offers else None,
        "success": [
            (Success.DELIVERED.value, _("Delivered")),
            (Success.READ.value, _("Read")),
        ],
    }


def has_changes(session: Session, mailing: Mailing, number: int) -> bool:
    """Whether the form differs from what is stored of the further steps."""
    return any(_changes(variants.get_variant(session, mailing, number), mailing))


def save_cascade(session: Session, mailing: Mailing, number: int) -> list[Problem]:
    """Store what was typed for the further steps; return what was refused."""
    problems = []
    where = (session, mailing.tenant_id, mailing.id)
    variant = variants.get_variant(session, mailing, number)
    for step, course, content in list(_changes(variant, mailing)):
        try:
            if course:
                cascade.set_step(*where, mailing.version, step, course)
        except ValidationFailedError as error:
            prefix = prefix_of(step)
            problems += [Problem(f"{prefix}.{p.field}", p.message) for p in error.problems]
        if content:
            variants.save_content(*where, mailing.version, content, number, step=step)
    return problems


def add_step(session: Session, mailing: Mailing, draft: Draft, channel: str) -> Draft:
    """Let a channel follow the last one."""
    _require_offered(session, mailing, channel)
    where = (session, current.plugins, mailing.tenant_id, mailing.id, mailing.version)
    cascade.add_step(*where, channel)
    return draft


def put_before(session: Session, mailing: Mailing, draft: Draft, channel: str) -> Draft:
    """Let a channel go before the first one."""
    _require_offered(session, mailing, channel)
    where = (session, current.plugins, mailing.tenant_id, mailing.id, mailing.version)
    cascade.add_step(*where, channel, before=True)
    return _first(session, mailing, draft)


def remove_step(session: Session, mailing: Mailing, draft: Draft, argument: str) -> Draft:
    """Take a channel out, with what was written for it."""
    step = int(argument) if argument.isdecimal() and len(argument) < 3 else 0
    cascade.remove_step(session, mailing.tenant_id, mailing.id, mailing.version, step)
    return _first(session, mailing, draft)


def _first(session: Session, mailing: Mailing, draft: Draft) -> Draft:
    """Show what the first step says now."""
    variant = variants.get_variant(session, mailing, draft.number)
    return Draft(dict(variant.content), variant.number)


def _steps(mailing: Mailing) -> range:
    return range(2, 2 + len(mailing.cascade))


def _step_form(variant: Variant, mailing: Mailing, step: int, errors: dict[str, str]) -> StepForm:
    following = cascade.following(mailing)[step - 2]
    content, prefix = variants.content_at(variant, step), prefix_of(step)
    schema = _schema(mailing, step)
    wrong = _wrong(following.channel, content)
    typed_wait = request.form.get(f"{prefix}.wait_minutes", str(following.wait_minutes))
    return StepForm(
        number=step,
        label=channel_label(following.channel),
        wait=typed_wait,
        success=following.success.value,
        fields=content_fields(schema, content, wrong, prefix),
        wait_error=errors.get(f"{prefix}.wait_minutes", ""),
    )


def _wrong(channel: str, content: dict[str, Any]) -> dict[str, str]:
    """What is wrong with a content as a draft, by field."""
    try:
        variants.validate_content(current.plugins, channel, content, draft=True)
    except ValidationFailedError as error:
        return {problem.field: problem.message for problem in error.problems}
    return {}


def _changes(
    variant: Variant, mailing: Mailing
) -> Iterator[tuple[int, dict[str, Any], dict[str, Any]]]:
    """What was typed for each step and differs: its course, and its content."""
    form = request.form
    for step, following in zip(_steps(mailing), cascade.following(mailing), strict=True):
        prefix = prefix_of(step)
        if f"{prefix}.success" not in form:
            continue
        stored = following.model_dump(mode="json")
        typed = {
            "wait_minutes": form.get(f"{prefix}.wait_minutes", "").strip(),
            "success": form.get(f"{prefix}.success", ""),
        }
        course = {name: value for name, value in typed.items() if value != str(stored[name])}
        before = variants.content_at(variant, step)
        after = typed_content(_schema(mailing, step), form, before, prefix)
        content = {name: value for name, value in after.items() if value != before.get(name)}
        if course or content:
            yield step, course, content


def _schema(mailing: Mailing, step: int) -> Any:
    return _spec(cascade.channels_of(mailing)[step - 1]).content_schema


def _spec(channel: str) -> ChannelSpec:
    spec = current.plugins.channels.get(channel)
    if spec is None:
        raise NotFoundError(f"The channel {channel!r} is not enabled for this company.")
    return spec


def _offers(session: Session, mailing: Mailing) -> list[str]:
    """Channels that may follow: with a gateway, and content that a plain form can hold."""
    chain = cascade.channels_of(mailing)
    return [
        spec.name
        for spec in sorted(current.plugins.channels.values(), key=lambda spec: spec.order)
        if spec.name not in chain
        and spec.address_kind is not AddressKind.EMAIL
        and default_gateway(session, mailing.tenant_id, spec.name) is not None
    ]


def _require_offered(session: Session, mailing: Mailing, channel: str) -> None:
    if channel not in _offers(session, mailing):
        message = "This channel cannot be added: it is in the cascade, or has no gateway."
        raise ValidationFailedError([Problem("channel", message)])
