"""A form that is sent twice: the second time finds what the first time has made."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy.orm import Session

from envoi.db import one_at_a_time

A_MOMENT = timedelta(seconds=5)
"""Made by the same person within this time, the same thing was asked for once."""


def one_by_one(session: Session, what: str, tenant_id: int, account_id: int | None) -> None:
    """Let a person make things of one kind one after the other, until the transaction ends."""
    one_at_a_time(session, f"{what}:{tenant_id}:{account_id}")
