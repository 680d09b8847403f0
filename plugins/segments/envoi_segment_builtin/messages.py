"""Conditions on messages that customers got, and on what they subscribe to.

These are the filters by which marketers keep from writing too often: how many messages in a
period, how long since the last one, whether somebody got a certain mailing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pydantic import BaseModel, ConfigDict

from envoi.sql import CustomerIds, Membership, Outside, SourceColumns, func, select
from envoi.types import Catalogue, Criterion, Input, InputKind, Operator, SegmentSourceSpec
from envoi_segment_builtin.comparisons import numbers, sets
from envoi_segment_builtin.records import (
    MOMENTS,
    NEVER,
    PERIOD,
    Recorded,
    ago_period,
    measured,
    moments,
    named,
    of_sets,
    period,
)


class MessageSettings(Recorded):
    """A comparison of messages of a mailing or by a channel, within a period."""

    mailing: int | None = None
    channel: str | None = None


class SubscriptionSettings(BaseModel):
    """A channel, and maybe one category of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    criterion: str
    operator: str
    channel: str
    category: int | None = None


_ONCE = Operator(name="once", label="at least once", phrase="at least once")
_MOMENTS = {"received": "at", "opened": "opened_at", "clicked": "clicked_at"}


def _of(catalogue: Catalogue) -> tuple[Input, Input]:
    """Of which mailing, by which channel."""
    return (
        Input(
            name="mailing",
            label="Mailing",
            kind=InputKind.CHOICE,
            choices=named(catalogue.mailings),
            required=False,
            before="of the mailing",
        ),
        Input(
            name="channel",
            label="Channel",
            kind=InputKind.CHOICE,
            choices=named(catalogue.channels),
            required=False,
            before="by the channel",
        ),
    )


def _criteria(catalogue: Catalogue) -> Sequence[Criterion]:
    of = _of(catalogue)
    chosen = replace(of[0], name="values", label="Values", kind=InputKind.CHOICES, before="")
    mailings = sets(replace(chosen, required=True))
    often = (_ONCE, NEVER, *numbers(kind=InputKind.WHOLE))
    days = (*numbers("days", InputKind.WHOLE), NEVER)
    return (
        Criterion(
            name="received", label="Messages received", operators=often, inputs=(*of, *PERIOD)
        ),
        Criterion(name="opened", label="Messages opened", operators=often, inputs=(*of, *PERIOD)),
        Criterion(name="clicked", label="Messages clicked", operators=often, inputs=(*of, *PERIOD)),
        Criterion(
            name="days_since", label="Days since the last message", operators=days, inputs=of
        ),
        Criterion(name="last", label="Last message", operators=MOMENTS, inputs=of),
        Criterion(name="first", label="First message", operators=MOMENTS, inputs=of),
        Criterion(
            name="mailings_received", label="Mailings received", operators=mailings, inputs=PERIOD
        ),
        Criterion(
            name="mailings_opened", label="Mailings opened", operators=mailings, inputs=PERIOD
        ),
        Criterion(
            name="mailings_clicked", label="Mailings clicked", operators=mailings, inputs=PERIOD
        ),
    )


def _messages(asked: MessageSettings, columns: SourceColumns) -> Membership:
    if asked.criterion.startswith("mailings_"):
        return _mailings(asked, columns)
    if asked.criterion in {"days_since", "last", "first"}:
        return _last_or_first(asked, columns)
    ids = _within(asked, columns)
    if asked.operator == "never":
        return Outside(ids)
    if asked.operator == "once":
        return ids
    return measured(ids.group_by(ids.selected_columns[0]), func.count(), asked)


def _mailings(asked: MessageSettings, columns: SourceColumns) -> Membership:
    """Compare by mailing: each of them reads no more than the days on which it went out."""
    of_one = asked.model_copy(update={"criterion": asked.criterion.removeprefix("mailings_")})
    numbers = [int(value) for value in asked.values]
    sets = {n: _within(of_one.model_copy(update={"mailing": n}), columns) for n in numbers}
    return of_sets(sets, asked.operator)


def _within(asked: MessageSettings, columns: SourceColumns) -> CustomerIds:
    """Messages received, opened or clicked in the period; opens may come long after."""
    since, until = period(asked, columns)
    received = asked.criterion == "received"
    message = columns.messages(
        mailing=asked.mailing, since=since if received else None, until=until
    ).c
    at = message[_MOMENTS[asked.criterion]]
    ids = select(message.customer_id).where(at <= columns.now, *period(asked, columns).holds(at))
    return ids.where(message.channel == asked.channel) if asked.channel else ids


def _last_or_first(asked: MessageSettings, columns: SourceColumns) -> Membership:
    message = columns.messages(mailing=asked.mailing).c
    ids = select(message.customer_id)
    if asked.channel:
        ids = ids.where(message.channel == asked.channel)
    if asked.criterion != "days_since":
        return moments(ids, message.at, asked, columns)
    if asked.operator == "never":
        return Outside(ids)
    last = ago_period(asked, columns).holds(func.max(message.at))
    ids = ids.group_by(message.customer_id).having(*last)
    return Outside(ids) if asked.negated else ids


def _subscriptions(catalogue: Catalogue) -> Sequence[Criterion]:
    of = (
        Input(
            name="channel",
            label="Channel",
            kind=InputKind.CHOICE,
            choices=named(catalogue.channels),
            before="to the channel",
        ),
        Input(
            name="category",
            label="Category",
            kind=InputKind.CHOICE,
            choices=named(catalogue.categories),
            required=False,
            before="in the category",
        ),
    )
    return (
        Criterion(
            name="subscription",
            label="Subscription",
            operators=(
                Operator(name="is", label="subscribed", phrase="subscribed"),
                Operator(name="is_not", label="not subscribed", phrase="not subscribed"),
            ),
            inputs=of,
        ),
    )


def _subscribed(asked: SubscriptionSettings, columns: SourceColumns) -> Membership:
    """Everybody is subscribed until they leave, themselves or by their address."""
    left = columns.opted_out(asked.channel, asked.category)
    return Outside(left) if asked.operator == "is" else left


MESSAGES = SegmentSourceSpec(
    name="messages",
    label="Messages",
    settings=MessageSettings,
    select=_messages,
    criteria=_criteria,
    order=50,
)
SUBSCRIPTIONS = SegmentSourceSpec(
    name="subscription",
    label="Subscription",
    settings=SubscriptionSettings,
    select=_subscribed,
    criteria=_subscriptions,
    order=25,
)
