"""Conditions on messages that customers got, and on what they subscribe to.

These are the filters by which marketers keep from writing too often: how many messages in a
period, how long since the last one, whether somebody got a certain mailing.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from envoi.sql import CustomerIds, Membership, Outside, SourceColumns, func, select
from envoi.types import Catalogue, Criterion, Input, InputKind, Operator, SegmentSourceSpec
from envoi_segment_builtin.comparisons import numbers
from envoi_segment_builtin.records import (
    NEVER,
    PERIOD,
    Recorded,
    ago_period,
    measured,
    named,
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


def _criteria(catalogue: Catalogue) -> Sequence[Criterion]:
    of = (
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
    )


def _messages(asked: MessageSettings, columns: SourceColumns) -> Membership:
    if asked.criterion == "days_since":
        return _days_since(asked, columns)
    ids = _within(asked, columns)
    if asked.operator == "never":
        return Outside(ids)
    if asked.operator == "once":
        return ids
    return measured(ids.group_by(ids.selected_columns[0]), func.count(), asked)


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


def _days_since(asked: MessageSettings, columns: SourceColumns) -> Membership:
    message = columns.messages(mailing=asked.mailing).c
    ids = select(message.customer_id)
    if asked.channel:
        ids = ids.where(message.channel == asked.channel)
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
