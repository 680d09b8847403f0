"""What customers got before: every count a policy needs, from one grouped pass over the ledger.

A message that is not yet handed over is a reservation and counts as if it left now. In the
re-check only earlier reservations count, besides everything that has left: two mailings that
race under a cap then neither both pass nor both stop.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    Select,
    Subquery,
    and_,
    bindparam,
    case,
    false,
    func,
    literal,
    or_,
    select,
    true,
)

from envoi.audience.request import AudienceRequest
from envoi.db import table
from envoi.delivery.models import Message, MessageState, Run, RunKind
from envoi.delivery.states import LONGEST_LIFETIME
from envoi.delivery.steps import channel_at
from envoi.sql import MessageCount
from envoi.subscriptions.models import MailingCategory
from envoi.types import Need, NeedRequest

_LAST_CONTACT_HOURS = 24 * 365
_WAITING = (MessageState.READY, MessageState.CLAIMED)
_COUNTED = (*_WAITING, MessageState.ACCEPTED, MessageState.UNCONFIRMED)

_LAST = 2**63 - 1

HISTORY_NEEDS = (Need.MESSAGE_COUNT, Need.LAST_CONTACT)


def moment_of(request: AudienceRequest) -> ColumnElement[Any]:
    """Return the moment of the decision as a parameter, so that a statement can be run again."""
    return bindparam("now", request.now, DateTime(timezone=True))


def contacts(
    request: AudienceRequest, needs: Sequence[NeedRequest], only: ColumnElement[Any] | None
) -> Subquery:
    """Return one row for every customer who got something, with columns for each need.

    Args:
        needs: Message counts and last contacts; `a<n>` and `b<n>` are the columns of each.
        only: The customers concerned, as an array; None means all.
    """
    message, run, now = table(Message), table(Run), moment_of(request)
    waiting = message.c.state.in_(_WAITING)
    at = case(
        (waiting, func.greatest(message.c.due_at, now)),
        else_=func.coalesce(message.c.accepted_at, message.c.due_at),
    )
    columns = []
    for number, need in enumerate(needs):
        columns += _columns(number, need, at, now)
    query = (
        select(message.c.customer_id, *columns)
        .join_from(message, run, _same_run(request))
        .where(
            message.c.tenant_id == request.tenant_id, _counted(message.c), *_range(request, needs)
        )
        .where(at > now - _window(max(needs, key=_hours)))
        .group_by(message.c.customer_id)
    )
    query = query.where(~_exempt(request))
    if request.past:
        query = query.where(message.c.accepted_at <= now)
    return _narrowed(query, request, only, waiting).subquery("contacts")


def counts(
    history: Subquery, needs: Sequence[NeedRequest]
) -> tuple[dict[NeedRequest, MessageCount], dict[NeedRequest, ColumnElement[Any]]]:
    """Hand out the columns of `contacts` as message counts and last contacts."""
    found: dict[NeedRequest, MessageCount] = {}
    last: dict[NeedRequest, ColumnElement[Any]] = {}
    for number, need in enumerate(needs):
        if need.need == Need.MESSAGE_COUNT:
            found[need] = MessageCount(
                count=func.coalesce(history.c[f"a{number}"], 0), oldest_at=history.c[f"b{number}"]
            )
        else:
            last[need] = history.c[f"a{number}"]
    return found, last


def _columns(number: int, need: NeedRequest, at: Any, now: Any) -> list[Any]:
    run, message = table(Run).c, table(Message).c
    matches = [at > now - _window(need)]
    again: ColumnElement[bool] = message.follows
    if need.channels:
        matches.append(channel_at(message.step).in_(need.channels))
        again = and_(again, run.channel.in_(need.channels))
    if need.need == Need.MESSAGE_COUNT:
        # A cascade is one message, however many of its channels are counted.
        matches.append(~again)
    if need.categories:
        matches.append(run.settings["category_id"].as_integer().in_(need.categories))
    if need.need == Need.LAST_CONTACT:
        return [func.max(at).filter(*matches).label(f"a{number}")]
    return [
        func.count().filter(*matches).label(f"a{number}"),
        func.min(at).filter(*matches).label(f"b{number}"),
    ]


def _counted(message: Any) -> ColumnElement[bool]:
    """What left, may have left or is about to; refused before acceptance does not count."""
    bounced = and_(message.state == MessageState.FAILED, message.accepted_at.is_not(None))
    return or_(message.state.in_(_COUNTED), bounced)


def _exempt(request: AudienceRequest) -> ColumnElement[bool]:
    """Tell whether a run was of a category whose service messages do not count.

    As an array the categories are read once, and not asked again for each run.
    """
    category, run = table(MailingCategory).c, table(Run).c
    exempt = select(category.id).where(category.tenant_id == request.tenant_id, category.exempt)
    among = func.any(func.array(exempt.scalar_subquery()))
    return func.coalesce(run.settings["category_id"].as_integer() == among, false())


def _same_run(request: AudienceRequest) -> ColumnElement[bool]:
    message, run = table(Message).c, table(Run).c
    return and_(
        run.tenant_id == request.tenant_id,
        run.id == message.run_id,
        run.kind == RunKind.MAILING,
        run.id != request.exclude_run if request.exclude_run else true(),
    )


def _range(request: AudienceRequest, needs: Sequence[NeedRequest]) -> list[ColumnElement[bool]]:
    message, run = table(Message).c, table(Run).c
    longest = _hours(max(needs, key=_hours))
    since = (request.now - timedelta(hours=longest) - LONGEST_LIFETIME).date()
    # A run's re-check is made once and used until the run ends.
    until = (request.now + LONGEST_LIFETIME).date()
    return [c.launched_on.between(since, until) for c in (message, run)]


def _narrowed(
    query: Select[Any], request: AudienceRequest, only: ColumnElement[Any] | None, waiting: Any
) -> Select[Any]:
    if only is None:
        return query
    message = table(Message)
    query = query.where(message.c.customer_id == func.any(only))
    if request.exclude_run is None:
        return query
    return query.where(or_(~waiting, message.c.seq < _own_place(request, only)))


def _own_place(request: AudienceRequest, only: ColumnElement[Any]) -> ColumnElement[int]:
    """Return where the run stands among reservations; before its collection, behind all others.

    Collections of a company never interleave, so any row of a run stands for all of them.
    """
    own = table(Message).alias("own")
    place = (
        select(own.c.seq)
        .where(
            own.c.tenant_id == request.tenant_id,
            own.c.run_id == request.exclude_run,
            own.c.launched_on == request.launched_on,
            own.c.customer_id == func.any(only),
        )
        .limit(1)
    )
    return func.coalesce(place.scalar_subquery(), literal(_LAST, BigInteger))


def _hours(need: NeedRequest) -> int:
    return need.window_hours or _LAST_CONTACT_HOURS


def _window(need: NeedRequest) -> ColumnElement[Any]:
    return literal(timedelta(hours=_hours(need)))
