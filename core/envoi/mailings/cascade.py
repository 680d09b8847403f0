"""The further steps of a draft: channels that are tried where the ones before did not succeed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.orm import Session

from envoi.delivery.steps import MOST_STEPS, Success
from envoi.errors import NotFoundError, Problem, ValidationFailedError, problems_of
from envoi.mailings.models import Mailing, channel_names
from envoi.mailings.service import (
    editable_draft,
    refuse_stale,
    touch,
    usual_sender,
    variants_of,
)
from envoi.plugins import Plugins

_SAID = {"wait_minutes": "A step waits from 1 to 1,440 whole minutes. Enter such a number."}


class Following(BaseModel):
    """A step of a cascade after the first, as `mailing.cascade` stores it.

    Its message leaves when the one before has failed, or was not delivered, or not read, within
    `wait_minutes`. Its contents are with the variants.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    channel: str
    wait_minutes: int = Field(10, ge=1, le=1440)
    success: Literal[Success.DELIVERED, Success.READ] = Success.DELIVERED


def following(mailing: Mailing) -> list[Following]:
    """Return the steps of a mailing after the first."""
    return [Following.model_validate(step) for step in mailing.cascade]


def channels_of(mailing: Mailing) -> list[str]:
    """Return the channels of a mailing's steps, in their order."""
    return channel_names(mailing.channel, mailing.cascade)


def channel_at(mailing: Mailing, step: int) -> str:
    """Return the channel of a step, or raise `NotFoundError`."""
    _require_step(mailing, step)
    return channels_of(mailing)[step - 1]


def add_step(
    session: Session,
    plugins: Plugins,
    tenant_id: int,
    mailing_id: int,
    version: int,
    channel: str,
    *,
    before: bool = False,
    account_id: int | None = None,
) -> Mailing:
    """Let another channel follow the last one, or go before the first.

    Raises:
        ValidationFailedError: The channel is in the cascade already, or it has too many.
    """
    mailing = editable_draft(session, tenant_id, mailing_id)
    refuse_stale(mailing, version)
    if channel not in plugins.channels:
        raise NotFoundError(f"The channel {channel!r} is not enabled for this company.")
    chain = channels_of(mailing)
    if channel in chain:
        raise _refused("This channel is in the cascade already. Choose another one.")
    if len(chain) == MOST_STEPS:
        raise _refused(f"A cascade has at most {MOST_STEPS} channels. Remove one first.")
    new = Following(channel=mailing.channel if before else channel).model_dump(mode="json")
    if before:
        mailing.channel, mailing.cascade = channel, [new, *mailing.cascade]
    else:
        mailing.cascade = [*mailing.cascade, new]
    sender = usual_sender(session, tenant_id, channel)
    for variant in variants_of(session, mailing):
        if before:
            variant.content, variant.steps = {**sender}, [variant.content, *variant.steps]
        else:
            variant.steps = [*variant.steps, {**sender}]
    touch(mailing, account_id)
    return mailing


def remove_step(
    session: Session,
    tenant_id: int,
    mailing_id: int,
    version: int,
    step: int,
    account_id: int | None = None,
) -> Mailing:
    """Take a channel out of the cascade with what was written for it; one always stays."""
    mailing = editable_draft(session, tenant_id, mailing_id)
    refuse_stale(mailing, version)
    _require_step(mailing, step)
    if not mailing.cascade:
        raise _refused("A mailing needs a channel, so the only one cannot be removed.")
    place = max(step - 2, 0)
    gone = mailing.cascade[place]
    mailing.cascade = mailing.cascade[:place] + mailing.cascade[place + 1 :]
    if step == 1:
        mailing.channel = str(gone["channel"])
    for variant in variants_of(session, mailing):
        if step == 1:
            variant.content = variant.steps[0]
        variant.steps = variant.steps[:place] + variant.steps[place + 1 :]
    touch(mailing, account_id)
    return mailing


def move_step(
    session: Session,
    tenant_id: int,
    mailing_id: int,
    version: int,
    step: int,
    account_id: int | None = None,
) -> Mailing:
    """Let a channel go before the one that goes before it; the waiting stays where it is."""
    mailing = editable_draft(session, tenant_id, mailing_id)
    refuse_stale(mailing, version)
    _require_step(mailing, step, first=2)
    chain = channels_of(mailing)
    _swap(chain, step)
    mailing.channel, *later = chain
    pairs = zip(mailing.cascade, later, strict=True)
    mailing.cascade = [{**course, "channel": channel} for course, channel in pairs]
    for variant in variants_of(session, mailing):
        contents = [variant.content, *variant.steps]
        _swap(contents, step)
        variant.content, *variant.steps = contents
    touch(mailing, account_id)
    return mailing


def set_step(
    session: Session,
    tenant_id: int,
    mailing_id: int,
    version: int,
    step: int,
    changes: Mapping[str, Any],
    account_id: int | None = None,
) -> Mailing:
    """Change how long is waited before a step, or for what (`wait_minutes`, `success`).

    Raises:
        ValidationFailedError: A value was refused, or the wait is longer than the lifetime.
    """
    mailing = editable_draft(session, tenant_id, mailing_id)
    _require_step(mailing, step, first=2)
    place = step - 2
    try:
        changed = Following.model_validate({**mailing.cascade[place], **changes})
    except ValidationError as error:
        found = (replace(p, message=_SAID.get(p.field, p.message)) for p in problems_of(error))
        raise ValidationFailedError(list(found)) from None
    if changed.model_dump(mode="json") == mailing.cascade[place]:
        return mailing
    refuse_stale(mailing, version)
    steps = list(mailing.cascade)
    steps[place] = changed.model_dump(mode="json")
    mailing.cascade = steps
    touch(mailing, account_id)
    return mailing


def wait_problem(mailing: Mailing) -> str:
    """Say where a cascade waits longer than anybody wants its messages."""
    waits = sum(step.wait_minutes for step in following(mailing))
    if waits <= mailing.lifetime_minutes:
        return ""
    return (
        f"The cascade may wait for {waits:,} minutes, longer than the messages' lifetime of"
        f" {mailing.lifetime_minutes:,}. Shorten the waiting, or lengthen the lifetime."
    )


def _swap(parts: list[Any], step: int) -> None:
    parts[step - 2], parts[step - 1] = parts[step - 1], parts[step - 2]


def _require_step(mailing: Mailing, step: int, first: int = 1) -> None:
    if not first <= step <= 1 + len(mailing.cascade):
        raise NotFoundError("The cascade has no such step. It may have been removed.")


def _refused(sentence: str) -> ValidationFailedError:
    return ValidationFailedError([Problem("channel", sentence)])
