"""Collection: one message row for every customer of the segment, written once, as sets."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    DateTime,
    Insert,
    Select,
    SmallInteger,
    and_,
    case,
    cast,
    func,
    insert,
    literal,
    select,
    text,
)
from sqlalchemy.exc import DataError, ProgrammingError
from sqlalchemy.orm import Session

from envoi.audience.outcomes import drawn, outcomes
from envoi.audience.request import AudienceRequest, request_of_run
from envoi.audience.stages import judge_rows, segment_of
from envoi.audience.statement import run_statement
from envoi.audience.volume import Volume, account, tally
from envoi.db import Database, one_at_a_time, table
from envoi.delivery.models import Message, MessageState, Run, RunBlock, RunStatus
from envoi.delivery.pace import Pace
from envoi.delivery.runs import RunSettings, get_run, pause_run, start_sending
from envoi.errors import ConflictError, PluginError, ValidationFailedError
from envoi.failpoints import Place, hit
from envoi.operations.plugin_errors import note_fault
from envoi.plugins import Plugins

_LARGE = 50_000
_STOPPING = (PluginError, ValidationFailedError, ConflictError, DataError, ProgrammingError)
"""What keeps an audience from being written down: its run pauses with the reason."""


def collect(database: Database, plugins: Plugins, tenant_id: int, run_id: int) -> Volume | None:
    """Write the run's audience down and let senders at it; repeating it changes nothing.

    Collections of a company run one at a time, so that each sees the reservations of those
    before it. When a rule or the segment fails, the run is paused with the reason.

    Returns:
        The account, None when there is nothing to collect.
    """
    try:
        with database.tenant_session(tenant_id) as session:
            one_at_a_time(session, f"collect:{tenant_id}")
            run = get_run(session, tenant_id, run_id, lock=True)
            if run.collected_at is not None:
                return Volume.from_document(run.volume)
            if run.status != RunStatus.COLLECTING:
                return None
            volume = _collect(session, plugins, run)
            hit(Place.BEFORE_COLLECT_COMMIT)
    except _STOPPING as error:
        note_fault(database, tenant_id, error)
        reason = getattr(error, "orig", None) or error
        # Somebody may have paused or cancelled it meanwhile.
        with suppress(ConflictError), database.tenant_session(tenant_id) as session:
            pause_run(session, tenant_id, run_id, f"Working out who gets it failed: {reason}")
        return None
    hit(Place.AFTER_COLLECT_COMMIT)
    if volume.segment > _LARGE:
        _analyze(database, volume.computed_at)
    return volume


def collection_statement(
    session: Session, plugins: Plugins, run: Run, request: AudienceRequest
) -> Select[Any]:
    """Return the one statement that writes messages and blocks and counts what it wrote."""
    connection = session.connection()
    segment = segment_of(connection, plugins, request)
    found = outcomes(judge_rows(plugins, request, segment=segment), request)
    settings = RunSettings.model_validate(run.settings)
    size, pace = settings.block_size, settings.pace()
    due = _due(drawn(found, request), request, run.expires_at)
    if pace is not None:
        rows = _paced(_blocks_by_moment(due, pace.size), pace, run.expires_at)
    else:
        together = not found.may_defer and not request.then
        rows = _blocks(due, size) if together else _blocks_by_moment(due, size)
    return tally(rows).add_cte(
        _messages(rows, run).cte("written"), _run_blocks(rows, run).cte("blocks")
    )


def _collect(session: Session, plugins: Plugins, run: Run) -> Volume:
    now = datetime.now(UTC)
    request = request_of_run(plugins, run, now)
    statement = collection_statement(session, plugins, run, request)
    rows = run_statement(session.connection(), plugins, request, statement)
    volume = account(rows, request)
    _require_approved(run, volume)
    run.volume, run.collected_at = volume.as_document(), now
    start_sending(session, run.tenant_id, run.id)
    return volume


def _require_approved(run: Run, volume: Volume) -> None:
    """Stop where an audience has grown beyond what was approved since it was counted last."""
    most = RunSettings.model_validate(run.settings).most_recipients
    if most is not None and volume.recipients > most:
        raise ConflictError(
            f"There are {volume.recipients:,} recipients now, more than the {most:,} that need no"
            " other approval. Cancel the mailing and copy it, then ask for approval of the copy."
        )


def _analyze(database: Database, moment: datetime) -> None:
    """Renew the planner's figures; partitions are granted to nobody, so the owner does it."""
    with database.engine.begin() as owner:
        owner.execute(text(f"ANALYZE message_{moment:%Y_%m}"))


def _due(rows: CTE, request: AudienceRequest, expires_at: datetime | None) -> CTE:
    """Add when a recipient's message is due; null for everybody else.

    What may only leave after the lifetime is due at its end and expires then, so that the run
    ends and the reservation with it.
    """
    recipient = and_(rows.c.stage.is_(None), ~rows.c.control)
    now = literal(request.now, DateTime(timezone=True))
    end = literal(expires_at, DateTime(timezone=True))
    due_at = case((recipient, func.least(func.coalesce(rows.c.deferred_until, now), end)))
    return select(rows, due_at.label("due_at")).cte("due")


def _blocks(rows: CTE, size: int) -> CTE:
    """Number the blocks of the one moment at which everybody is due.

    Counting the rows as they come saves a sort; which recipients share a block is no matter.
    """
    so_far = func.count(rows.c.due_at).over(rows=(None, 0))
    block = case((rows.c.due_at.is_not(None), (so_far - 1) // size + 1))
    return select(rows, block.label("block")).cte("numbered")


def _blocks_by_moment(rows: CTE, size: int) -> CTE:
    """Number the blocks where some are deferred: later ones come later.

    None mixes moments or steps.
    """
    alike = [rows.c.due_at, *([rows.c.step] if "step" in rows.c else [])]
    place = func.row_number().over(partition_by=alike, order_by=rows.c.customer_id)
    placed = select(rows, ((place - 1) // size).label("part")).cte("placed")
    keys = [placed.c[column.name] for column in alike]
    number = func.dense_rank().over(order_by=(*keys, placed.c.part))
    block = case((placed.c.due_at.is_not(None), number))
    return select(placed, block.label("block")).cte("numbered")


def _paced(rows: CTE, pace: Pace, expires_at: datetime | None) -> CTE:
    """Put the blocks as far apart as the limit wants; what comes too late expires at the end."""
    moments = (
        select(rows.c.block, func.min(rows.c.due_at).label("due_at"))
        .where(rows.c.block.is_not(None))
        .group_by(rows.c.block)
        .cte("moments")
    )
    end = literal(expires_at, DateTime(timezone=True))
    starts = func.least(pace.starts(moments.c.due_at, moments.c.block - 1), end)
    queue = select(moments.c.block, starts.label("due_at")).cte("queue")
    kept = [column for column in rows.c if column.name != "due_at"]
    query = select(*kept, queue.c.due_at)
    return query.select_from(rows.outerjoin(queue, queue.c.block == rows.c.block)).cte("paced")


def _messages(rows: CTE, run: Run) -> Insert:
    state = case(
        (rows.c.stage.is_not(None), MessageState.EXCLUDED.value),
        (rows.c.control, MessageState.CONTROL.value),
        else_=MessageState.READY.value,
    )
    query = select(
        literal(run.tenant_id),
        cast(run.id, BigInteger),
        literal(run.launched_on),
        rows.c.customer_id,
        state,
        rows.c.stage,
        rows.c.detail,
        rows.c.variant,
        rows.c.due_at,
        rows.c.block,
        _step(rows),
    )
    columns = ["tenant_id", "run_id", "launched_on", "customer_id", "state", "stage", "detail"]
    return insert(table(Message)).from_select(
        [*columns, "variant", "due_at", "block", "step"], query, include_defaults=False
    )


def _step(rows: CTE) -> ColumnElement[int]:
    return rows.c.step if "step" in rows.c else literal(1, SmallInteger)


def _run_blocks(rows: CTE, run: Run) -> Insert:
    step = func.min(_step(rows))
    end = literal(run.expires_at, DateTime(timezone=True))
    moves_at = case((step <= len(run.settings.get("steps") or ()), end))
    query = (
        select(
            literal(run.tenant_id),
            cast(run.id, BigInteger),
            literal(run.launched_on),
            rows.c.block,
            func.count(),
            func.min(rows.c.due_at),
            step,
            moves_at,
        )
        .where(rows.c.block.is_not(None))
        .group_by(rows.c.block)
    )
    columns = ["tenant_id", "run_id", "launched_on", "number", "size", "due_at", "step", "moves_at"]
    return insert(table(RunBlock)).from_select(columns, query, include_defaults=False)
