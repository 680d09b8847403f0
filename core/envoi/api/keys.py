"""Keys of the API: shown once, kept as a digest, revoked for good."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from hashlib import sha256

from sqlalchemy import func, or_, select, text
from sqlalchemy.orm import Session

from envoi.accounts.models import ApiKey
from envoi.db import one_at_a_time, table
from envoi.errors import NotFoundError, Problem, ValidationFailedError

MAX_NAME = 100
_FORM = re.compile(r"envoi_([1-9][0-9]{0,8})_[A-Za-z0-9_-]{43}")


def make_key(session: Session, tenant_id: int, name: str, account_id: int | None) -> str:
    """Make a key and return it: this is the only time that it can be read.

    It names its company, so that no table outside of companies is needed to find that.

    Raises:
        ValidationFailedError: The name is empty, too long, or that of another key.
    """
    name = name.strip()
    if not name or len(name) > MAX_NAME or not name.isprintable():
        problem = f"A key has a name of 1 to {MAX_NAME} characters, best that of the system."
        raise ValidationFailedError([Problem("name", problem)])
    one_at_a_time(session, f"api_key:{tenant_id}")
    c = table(ApiKey).c
    mine = (c.tenant_id == tenant_id, c.revoked_at.is_(None))
    if session.scalar(select(c.id).where(*mine, c.name == name)) is not None:
        problem = "There is a key of this name already. Choose another name, or revoke that one."
        raise ValidationFailedError([Problem("name", problem)])
    key = f"envoi_{tenant_id}_{secrets.token_urlsafe(32)}"
    session.add(ApiKey(tenant_id=tenant_id, name=name, digest=_digest(key), created_by=account_id))
    session.flush()
    return key


def keys_of(session: Session, tenant_id: int) -> Sequence[ApiKey]:
    """List a company's keys, those that are revoked last."""
    c = table(ApiKey).c
    mine = select(ApiKey).where(c.tenant_id == tenant_id)
    return session.scalars(mine.order_by(c.revoked_at.is_not(None), c.name, c.id)).all()


def revoke(session: Session, tenant_id: int, key_id: int) -> None:
    """Let a key open nothing any more."""
    key = session.get(ApiKey, (tenant_id, key_id))
    if key is None:
        raise NotFoundError("There is no such key.")
    c = table(ApiKey).c
    mine = (c.tenant_id == tenant_id, c.id == key_id, c.revoked_at.is_(None))
    session.execute(table(ApiKey).update().where(*mine).values(revoked_at=func.now()))


def company_of(key: str) -> int | None:
    """The company that a key claims to be of; whether that is so `opens` tells."""
    found = _FORM.fullmatch(key)
    return int(found[1]) if found else None


def opens(session: Session, tenant_id: int, key: str) -> int | None:
    """The number of a company's living key, noted as used; None for any other."""
    api_key = table(ApiKey)
    c = api_key.c
    mine = (c.tenant_id == tenant_id, c.digest == _digest(key), c.revoked_at.is_(None))
    number: int | None = session.scalar(select(c.id).where(*mine))
    if number is None:
        return None
    lately = or_(c.used_at.is_(None), c.used_at < func.now() - text("interval '1 minute'"))
    session.execute(api_key.update().where(*mine, lately).values(used_at=func.now()))
    return number


def _digest(key: str) -> str:
    return sha256(key.encode()).hexdigest()
