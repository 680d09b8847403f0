"""What comes back, made for a message that was really sent."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select

from envoi.db import Database, table
from envoi.delivery.models import Message, MessageState, Run
from envoi.tracking.tokens import MessageRef

SAMPLES = Path(__file__).parents[1] / "data" / "bounces"
SAMPLE_KEY = (SAMPLES / "key.txt").read_text().strip().encode()
SAMPLE_ADDRESS = b"ines.vogt@kundenpost.test"


def sample(name: str, key: str, address: str = "") -> bytes:
    """A sample that is about this message and address instead of its own."""
    raw = (SAMPLES / f"{name}.eml").read_bytes().replace(SAMPLE_KEY, key.encode())
    return raw.replace(SAMPLE_ADDRESS, address.encode()) if address else raw


def messages(database: Database, run: Run) -> list[MessageRef]:
    """The messages of a run that have left, or could."""
    m = table(Message).c
    query = select(m.customer_id, m.step, m.variant).where(
        m.tenant_id == run.tenant_id,
        m.run_id == run.id,
        m.launched_on == run.launched_on,
        m.state != MessageState.EXCLUDED,
    )
    with database.tenant_session(run.tenant_id) as session:
        return [
            MessageRef(
                tenant_id=run.tenant_id,
                run_id=run.id,
                customer_id=row.customer_id,
                launched_on=run.launched_on,
                step=row.step,
                variant=row.variant or 0,
            )
            for row in session.execute(query.order_by(m.customer_id))
        ]
