"""Submissions: what a provider took of a message, part by part or device by device."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    SmallInteger,
    Text,
    delete,
    func,
    literal,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from envoi.customers.devices import drop
from envoi.db import Database, storable, table
from envoi.delivery.blocks import BlockKey, rows
from envoi.delivery.models import SUBMISSION_DAYS, HandedOver, SubmissionState
from envoi.delivery.models import Submission as Row
from envoi.tenants.service import tenant_ids
from envoi.types import Outgoing, SendResult, SendStatus, Submission

if TYPE_CHECKING:
    from envoi.delivery.outcomes import Outcome

LONGEST_ID = 255
MOST_FORGOTTEN = 10_000
"""So many rows are deleted in one transaction."""

_STATES = {
    SendStatus.ACCEPTED: SubmissionState.ACCEPTED,
    SendStatus.UNKNOWN: SubmissionState.UNCONFIRMED,
}
_GRAVITY = (
    SendStatus.ACCEPTED,
    SendStatus.UNKNOWN,
    SendStatus.THROTTLED,
    SendStatus.REFUSED_NOW,
    SendStatus.REFUSED,
)
"""What a message as a whole has come to is the first of these that one of its parts has."""

_ORDER = tuple(SendStatus)
_HEAD = struct.Struct("<qhBBB")
"""Number, code, place of the status, whether the address is gone, bytes of the id."""
_MOST_CODE = 2**15 - 1


def whole(result: SendResult) -> SendResult:
    """Return the answer to a message as a whole, judged by its parts where there are several.

    A message of which something was taken counts as taken, and its words tell what was not.
    """
    parts = result.submissions
    if not parts:
        return result
    by_status = {s.status: s for s in reversed(parts)}
    status = next(status for status in _GRAVITY if status in by_status)
    missing = [s for s in parts if s.status is not SendStatus.ACCEPTED]
    told = by_status[status]
    raw = result.raw or told.raw
    if status is SendStatus.ACCEPTED:
        raw = _shortfall(missing, len(parts)) if missing else ""
    return SendResult(
        status=status,
        code=result.code or told.code,
        provider_id=result.provider_id,
        raw=raw,
        submissions=parts,
    )


def _shortfall(missing: Sequence[Submission], count: int) -> str:
    words = next((s.raw for s in missing if s.raw), "")
    return f"{len(missing)} of {count} were not taken: {words}".removesuffix(": ")


def submissions_of(result: SendResult, message: Outgoing) -> tuple[Submission, ...]:
    """Return what is kept of an answer: its parts, or the number of the whole message."""
    if not result.submissions:
        only = Submission(
            number=1, status=result.status, code=result.code, provider_id=result.provider_id
        )
        return (only,) if result.provider_id else ()
    if message.devices:
        return result.submissions
    # The numbers are those of parts, so none of them may be taken for a device that is gone.
    return tuple(replace(s, address_gone=False) for s in result.submissions)


def packed(submissions: Sequence[Submission], room: int) -> bytes:
    """Write as many submissions as fit for the flight recorder."""
    found = b""
    for s in submissions:
        name = _id(s).encode()[:LONGEST_ID]
        # There is no room for the moment; without it a device that was named since would go.
        is_gone = s.address_gone and s.gone_since is None
        head = _HEAD.pack(s.number, within(s.code), _ORDER.index(s.status), is_gone, len(name))
        if len(found) + len(head) + len(name) > room:
            break
        found += head + name
    return found


def unpacked(data: bytes) -> tuple[Submission, ...]:
    """Read what `packed` wrote."""
    return tuple(_unpacked(data))


def _unpacked(data: bytes) -> Iterator[Submission]:
    at = 0
    while at < len(data):
        number, code, status, gone, length = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        name = data[at : at + length].decode("utf-8", "ignore")
        at += length
        yield Submission(
            number=number,
            status=_ORDER[status],
            code=code,
            provider_id=name,
            address_gone=bool(gone),
        )


def within(code: int) -> int:
    """A provider's number as the ledger can hold it; 0 for one that it cannot."""
    return code if 0 <= code <= _MOST_CODE else 0


def note_submissions(
    session: Session, key: BlockKey, gateway_id: int, outcomes: Sequence[Outcome]
) -> None:
    """Keep what the messages of a block came to at the provider, in one statement."""
    found = [(o, s) for o in outcomes for s in o.submissions]
    if not found:
        return
    new = rows(
        provider_id=([_id(s) for _, s in found], Text()),
        customer_id=([o.customer_id for o, _ in found], BigInteger()),
        step=([o.step for o, _ in found], SmallInteger()),
        number=([s.number for _, s in found], BigInteger()),
        state=([_state(s) for _, s in found], SmallInteger()),
        code=([within(s.code) for _, s in found], Integer()),
    )
    same = {
        "tenant_id": key.tenant_id,
        "gateway_id": gateway_id,
        "run_id": key.run_id,
        "launched_on": key.launched_on,
    }
    query = select(*(literal(value).label(name) for name, value in same.items()), *new.c)
    into = insert(table(Row)).from_select([*same, *new.c.keys()], query)
    session.execute(into.on_conflict_do_nothing())
    drop(session.connection(), key.tenant_id, [s for _, s in found])


def _id(submission: Submission) -> str:
    return storable(submission.provider_id)[:LONGEST_ID]


def _state(submission: Submission) -> SubmissionState:
    return _STATES.get(submission.status, SubmissionState.REFUSED)


def forget_old(database: Database) -> int:
    """Delete what no report will name any more; return how many rows."""
    return sum(_forget_old(database, tenant_id) for tenant_id in tenant_ids(database))


def _forget_old(database: Database, tenant_id: int) -> int:
    gone = 0
    for kept in (table(Row), table(HandedOver)):
        place: ColumnElement[str] = literal_column("ctid")
        long_ago = kept.c.at < func.now() - timedelta(days=SUBMISSION_DAYS)
        old = select(place).select_from(kept).where(kept.c.tenant_id == tenant_id, long_ago)
        places = func.array(old.limit(MOST_FORGOTTEN).scalar_subquery())
        page = delete(kept).where(place == func.any(places))
        deleted = MOST_FORGOTTEN
        while deleted == MOST_FORGOTTEN:
            with database.tenant_session(tenant_id) as session:
                deleted = session.connection().execute(page).rowcount
            gone += deleted
    return gone
