"""Makes the demo's sent mailing: collected by the real collection, then dated back.

Nothing is sent for it. Which customers opened and clicked is drawn from a fixed seed; the
purchases attributed to them are the shipped ones.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Row, case, func, select, update
from sqlalchemy.orm import Session

from envoi.audience.collection import collect
from envoi.db import table
from envoi.delivery.blocks import messages_of_run
from envoi.delivery.figures import keep_figures
from envoi.delivery.models import (
    BlockState,
    Message,
    MessageState,
    Run,
    RunBlock,
    RunStatus,
)
from envoi.delivery.runs import get_run, store_links
from envoi.installation import Installation
from envoi.jobs import Work, withdraw
from envoi.mailings import launch
from envoi.mailings.models import Mailing
from envoi.receipts.attribution import attribute
from envoi.tracking.ledger import Hit, write
from envoi.tracking.models import EventKind
from envoi.tracking.tokens import MessageRef

OPENED, CLICKED = 0.43, 0.2
PER_SECOND = 20
SEED = 1
"""Fixed, so that the same customers are in control on every first start."""
_WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
_AGENTS = (
    f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) {_WEBKIT} Mobile/15E148",
    f"Mozilla/5.0 (iPad; CPU OS 18_6 like Mac OS X) {_WEBKIT} Mobile/15E148",
    "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Thunderbird/140.3.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; Microsoft Outlook 16.0)",
)


def send_in_the_past(
    installation: Installation, tenant_id: int, mailing_id: int, at: datetime, link: str
) -> None:
    """Collect a mailing's audience and record it as sent at a moment that has passed."""
    database = installation.database
    with database.tenant_session(tenant_id) as session:
        run_id = launch.launch_draft(
            session, installation.plugins, installation.settings, tenant_id, mailing_id, at
        )
        get_run(session, tenant_id, run_id).seed = SEED
    collect(database, installation.plugins, tenant_id, run_id)
    with database.tenant_session(tenant_id) as session:
        store_links(session, tenant_id, run_id, 1, (link,))
        messages = _accept(session, get_run(session, tenant_id, run_id), at)
    launched_on = messages[0].launched_on
    write(database, tenant_id, launched_on, list(_hits(tenant_id, run_id, messages)))
    attribute(database, tenant_id, run_id)
    with database.tenant_connection(tenant_id) as connection:
        keep_figures(connection, tenant_id, [run_id])


def _accept(session: Session, run: Run, at: datetime) -> Sequence[Row[tuple[int]]]:
    """Let the messages leave one after the other from a moment on; return those accepted."""
    message = table(Message)
    waiting = (messages_of_run(run), message.c.state == MessageState.READY)
    first = select(func.min(message.c.seq)).where(*waiting).scalar_subquery()
    moment = at + (message.c.seq - first) * func.make_interval(0, 0, 0, 0, 0, 0, 1 / PER_SECOND)
    # Every two-hundredth address turned out not to exist.
    gone = message.c.customer_id % 200 == 0
    tried = session.execute(
        update(message)
        .where(*waiting)
        .values(
            state=case((gone, int(MessageState.FAILED)), else_=int(MessageState.ACCEPTED)),
            code=case((gone, 550), else_=250),
            detail=case((gone, "550 5.1.1 no such mailbox")),
            accepted_at=case((gone, None), else_=moment),
            attempt=1,
        )
        .returning(
            message.c.run_id,
            message.c.customer_id,
            message.c.step,
            message.c.variant,
            message.c.launched_on,
            message.c.accepted_at,
        )
    ).all()
    _end(session, run, at, timedelta(seconds=len(tried) / PER_SECOND))
    return [row for row in tried if row.accepted_at is not None]


def _end(session: Session, run: Run, at: datetime, took: timedelta) -> None:
    """Date a run back, and end it as if its senders had."""
    block, mailing = table(RunBlock), table(Mailing)
    theirs = (block.c.tenant_id == run.tenant_id, block.c.run_id == run.id)
    session.execute(update(block).where(*theirs).values(state=int(BlockState.DONE)))
    run.status = RunStatus.SENT
    run.created_at = run.collected_at = at
    run.finished_at = at + took
    session.execute(
        update(mailing)
        .where(mailing.c.tenant_id == run.tenant_id, mailing.c.run_id == run.id)
        .values(created_at=at - timedelta(days=1))
    )
    withdraw(session, run.tenant_id, Work.SEND, run.id)


def _hits(tenant_id: int, run_id: int, messages: Sequence[Row[tuple[int]]]) -> Iterator[Hit]:
    chance = random.Random(20_261_122 + run_id)  # noqa: S311 (a demo's opens, nothing to guard)
    for row in messages:
        if chance.random() >= OPENED:
            continue
        ref = MessageRef(
            tenant_id=tenant_id,
            run_id=row.run_id,
            customer_id=row.customer_id,
            launched_on=row.launched_on,
            step=row.step,
            variant=row.variant,
        )
        opened = row.accepted_at + timedelta(minutes=2 + chance.expovariate(1 / 600))
        agent = chance.choice(_AGENTS)
        yield Hit(message=ref, kind=EventKind.OPEN, at=opened, agent=agent)
        if chance.random() < CLICKED:
            clicked = opened + timedelta(seconds=5 + chance.expovariate(1 / 40))
            yield Hit(message=ref, kind=EventKind.CLICK, at=clicked, link=0, agent=agent)
