"""What can be done with accounts: make one, give it a role in a company, set its preferences."""

from __future__ import annotations

import secrets
from datetime import date

from argon2 import PasswordHasher
from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert

from envoi.accounts.models import Account, Membership
from envoi.accounts.permissions import Role
from envoi.accounts.queries import account_by_email
from envoi.db import Database, table
from envoi.errors import ConflictError, Problem, ValidationFailedError

MIN_PASSWORD = 10


def create_account(
    database: Database, *, email: str, password: str, name: str = "", language: str = "en"
) -> int:
    """Make an account that can sign in; return its number."""
    if len(password) < MIN_PASSWORD:
        raise ValidationFailedError(
            [Problem("password", f"Use at least {MIN_PASSWORD} characters for the password.")]
        )
    with database.system_session() as session:
        if account_by_email(session, email):
            raise ConflictError(f"There is already an account with the email address {email}.")
        account = Account(
            email=email.strip(),
            password=PasswordHasher().hash(password),
            name=name,
            language=language,
            fs_uniquifier=secrets.token_hex(32),
        )
        session.add(account)
        session.flush()
        return account.id


def set_role(
    database: Database,
    *,
    tenant_id: int,
    account_id: int,
    role: Role,
    active_until: date | None = None,
) -> None:
    """Give an account a role in a company, or change it; `active_until` ends it by itself."""
    values = {"role": role.value, "active_until": active_until}
    statement = insert(table(Membership)).values(
        tenant_id=tenant_id, account_id=account_id, **values
    )
    with database.tenant_session(tenant_id) as session:
        session.execute(
            statement.on_conflict_do_update(index_elements=["tenant_id", "account_id"], set_=values)
        )


def set_preferences(database: Database, account_id: int, *, language: str, theme: str) -> None:
    """Save the language and the theme an employee likes to work in."""
    with database.system_session() as session:
        session.execute(
            update(Account)
            .where(table(Account).c.id == account_id)
            .values(language=language, theme=theme)
        )
