"""The steps of a run: the channel it begins with, and those of its cascade."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, FromClause, Text, case, cast, func, or_

from envoi.db import table
from envoi.delivery.models import Message, Run

MOST_STEPS = 5
"""So many channels a cascade may have, with the first."""


class Success(StrEnum):
    """What of a message makes the next step needless.

    Mail servers do not report what they deliver: `TAKEN` is what `DELIVERED` means for an email
    in a run, that it was taken and not returned in time.
    """

    DELIVERED = "delivered"
    READ = "read"
    TAKEN = "taken"


_SIGNS = {
    Success.DELIVERED: ("delivered_at", "opened_at", "clicked_at"),
    Success.READ: ("opened_at", "clicked_at"),
    Success.TAKEN: ("delivered_at", "opened_at", "clicked_at"),
}


class StepContent(BaseModel):
    """A further step of a cascade as it was when the run began.

    It is taken when the message before has failed, or `wait_minutes` after the provider took
    it, without the `success` that was wished for. `contents` are those of the variants.
    """

    model_config = ConfigDict(frozen=True)

    channel: str
    wait_minutes: int = Field(10, ge=1, le=1440)
    success: Success = Success.DELIVERED
    gateway_id: int | None = None
    resends_unconfirmed: bool = True
    contents: list[dict[str, Any]]

    @property
    def wait(self) -> timedelta:
        """How long the message before may take."""
        return timedelta(minutes=self.wait_minutes)

    def succeeded(self, messages: FromClause | None = None) -> ColumnElement[bool]:
        """The condition on `message`, or another name of it, that makes this step needless."""
        m = (table(Message) if messages is None else messages).c
        return or_(*(m[sign].is_not(None) for sign in _SIGNS[self.success]))

    @property
    def is_reported(self) -> bool:
        """Whether a message that nothing was heard of in time has not succeeded."""
        return self.success is not Success.TAKEN


def channels_of(run: Run) -> list[str]:
    """The channels of a run's steps, in their order."""
    return [run.channel, *(str(step["channel"]) for step in run.settings.get("steps") or ())]


def channel_of(run: Run, step: int) -> str:
    """The channel of a step of a run; copies, whose runs have no steps, are numbered by theirs."""
    chain = channels_of(run)
    return chain[step - 1] if 1 <= step <= len(chain) else chain[0]


def uses_channel(channel: str) -> ColumnElement[bool]:
    """Whether a step of `run` goes by a channel, in a statement."""
    run = table(Run).c
    among = run.settings.contains({"steps": [{"channel": channel}]})
    return or_(run.channel == channel, among)


def of_step(step: ColumnElement[int], name: str) -> ColumnElement[str]:
    """A value of a further step of `run` as text, in a statement; null for the first."""
    return func.jsonb_extract_path_text(table(Run).c.settings, "steps", cast(step - 2, Text), name)


def channel_at(step: ColumnElement[int]) -> ColumnElement[str]:
    """The channel of a step of `run`, in a statement."""
    first = table(Run).c.channel
    return case((step <= 1, first), else_=func.coalesce(of_step(step, "channel"), first))


def has_next(step: ColumnElement[int]) -> ColumnElement[bool]:
    """Whether a step of `run` has one behind it, in a statement; null is no."""
    return func.jsonb_array_length(table(Run).c.settings["steps"]) >= step
