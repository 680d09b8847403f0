"""The table of chores: what the scheduler does again and again, and when it did it last."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import SQLModel

from envoi.columns import moment, share, text_key, words


class Chore(SQLModel, table=True):
    """When a chore of the scheduler was last done, and how long it took. No RLS: for everybody."""

    __tablename__ = "chore"
    name: str = text_key()
    done_at: datetime = moment(nullable=False)
    seconds: float = share(0)
    host: str = words()

    def age(self, now: datetime) -> float:
        """How many seconds ago it was done."""
        return max(0.0, (now - self.done_at).total_seconds())
