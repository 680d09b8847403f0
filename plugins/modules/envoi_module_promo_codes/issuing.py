"""The macro: one code for each message that leaves, the same one however often it is tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from envoi.data import (
    BigInteger,
    Connection,
    company_today,
    func,
    plugin_settings,
    rows,
    select,
    update,
)
from envoi.sending import (
    DeliveryBatch,
    DeliveryOutcome,
    MacroCheck,
    MacroRequest,
    NotIssuedError,
)
from envoi.types import MacroSpec
from envoi_module_promo_codes.settings import SETTINGS
from envoi_module_promo_codes.tables import CODES, GROUPS


def issue(request: MacroRequest) -> Mapping[int, str]:
    """Give every customer the code of this run they have, or else a free one of the group."""
    group = _group(request.connection, request.tenant_id, request.argument)
    if problem := _problem(request, group):
        raise NotIssuedError(problem)
    given = recall(request)
    missing = [number for number in request.customer_ids if number not in given]
    return {**given, **(_take(request, group.id, missing) if missing else {})}


def recall(request: MacroRequest) -> dict[int, str]:
    """Return the codes that these customers were given in this run."""
    query = (
        select(CODES.c.customer_id, CODES.c.code)
        .join_from(CODES, GROUPS, _same_group())
        .where(CODES.c.tenant_id == request.tenant_id, GROUPS.c.name == request.argument)
        .where(CODES.c.run_id == request.run_id)
        .where(CODES.c.customer_id.in_(list(request.customer_ids)))
        .order_by(GROUPS.c.deleted_at)
    )
    return {row.customer_id: row.code for row in request.connection.execute(query)}


def check(asked: MacroCheck) -> str:
    """Say what keeps a group from being used in a message."""
    return _problem(asked, _group(asked.connection, asked.tenant_id, asked.argument))


def warn(asked: MacroCheck) -> str:
    """Say where a group has too few codes for the mailing, or few in any case."""
    left = remaining(asked.connection, asked.tenant_id, asked.argument)
    if left < asked.recipients:
        return (
            f"The group {asked.argument} has {left} promo codes left, and {asked.recipients}"
            " customers get the mailing. Add codes to it: the mailing pauses when they run out."
        )
    if left < plugin_settings(asked.connection, asked.tenant_id, SETTINGS).few:
        return f"The group {asked.argument} has {left} promo codes left. Add codes to it in time."
    return ""


def offered(asked: MacroCheck) -> Sequence[str]:
    """Return the groups that a message can name, by name."""
    c = GROUPS.c
    query = select(c.name).where(c.tenant_id == asked.tenant_id, c.deleted_at.is_(None))
    return asked.connection.scalars(query.order_by(c.name)).all()


def remaining(connection: Connection, tenant_id: int, name: str) -> int:
    """Count the codes of a group that can still be issued."""
    query = (
        select(func.count())
        .select_from(CODES.join(GROUPS, _same_group()))
        .where(CODES.c.tenant_id == tenant_id, GROUPS.c.name == name)
        .where(GROUPS.c.deleted_at.is_(None), CODES.c.run_id.is_(None), ~CODES.c.blocked)
    )
    return connection.scalar(query) or 0


def note_sent(batch: DeliveryBatch) -> None:
    """Write down which codes have left; those of refused messages stay with their customers."""
    left = [m.customer_id for m in batch.messages if m.outcome is DeliveryOutcome.ACCEPTED]
    mine = (CODES.c.tenant_id == batch.tenant_id, CODES.c.run_id == batch.run_id)
    sent = update(CODES).where(*mine, CODES.c.customer_id.in_(left), CODES.c.sent_at.is_(None))
    with batch.session() as session:
        session.execute(sent.values(sent_at=func.now()))


PROMO_CODE = MacroSpec(
    name="promo_code",
    label="Promo code",
    issue=issue,
    recall=recall,
    example=lambda argument: "PROMO-CODE",  # noqa: ARG005 (the same for every group)
    check=check,
    warn=warn,
    arguments=offered,
    hint="A code of a group, one for each customer of a mailing.",
)


def _group(connection: Connection, tenant_id: int, name: str) -> Any:
    query = select(GROUPS).where(
        GROUPS.c.tenant_id == tenant_id, GROUPS.c.name == name, GROUPS.c.deleted_at.is_(None)
    )
    return connection.execute(query).one_or_none()


def _problem(asked: MacroCheck | MacroRequest, group: Any) -> str:
    name = asked.argument
    if group is None:
        return f"There is no group of promo codes named {name}. Choose one that there is."
    last = group.expires_on
    if last and last < company_today(asked.connection, asked.tenant_id):
        return f"The promo codes of {name} have expired. Choose another group."
    return ""


def _take(request: MacroRequest, group_id: int, customer_ids: Sequence[int]) -> dict[int, str]:
    """Take free codes that no other sender is taking, all of them or none."""
    free = (
        select(CODES.c.id, CODES.c.code)
        .where(CODES.c.tenant_id == request.tenant_id, CODES.c.group_id == group_id)
        .where(CODES.c.run_id.is_(None), ~CODES.c.blocked)
        .order_by(CODES.c.id)
        .limit(len(customer_ids))
        .with_for_update(skip_locked=True)
    )
    taken = request.connection.execute(free).all()
    if len(taken) < len(customer_ids):
        raise NotIssuedError(
            f"The group {request.argument} has {len(taken)} promo codes left, and"
            f" {len(customer_ids)} messages are next. Add codes to it, then continue the mailing."
        )
    pairs = rows(
        id=([row.id for row in taken], BigInteger()), customer_id=(customer_ids, BigInteger())
    )
    mine = (CODES.c.tenant_id == request.tenant_id, CODES.c.id == pairs.c.id)
    request.connection.execute(
        update(CODES)
        .where(*mine)
        .values(run_id=request.run_id, customer_id=pairs.c.customer_id, issued_at=func.now())
    )
    codes = (row.code for row in taken)
    return dict(zip(customer_ids, codes, strict=True))


def _same_group() -> Any:
    return (GROUPS.c.tenant_id == CODES.c.tenant_id) & (GROUPS.c.id == CODES.c.group_id)
