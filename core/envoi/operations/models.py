"""Tables of operations: what the scheduler has done, and what went wrong in plugins."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import SQLModel

from envoi.columns import moment, share, tenant_key, text_key, whole, words


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


class PluginFault(SQLModel, table=True):
    """Something that went wrong in a plugin, and how often; `place` is what it was asked."""

    __tablename__ = "plugin_error"
    tenant_id: int = tenant_key()
    plugin: str = text_key()
    place: str = text_key()
    sentence: str = text_key()
    count: int = whole(1)
    first_at: datetime = moment(nullable=False, now=True)
    last_at: datetime = moment(nullable=False, now=True)
