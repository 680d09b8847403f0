"""Column types and key columns shared by every table, so that they are the same everywhere."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    Identity,
    Integer,
    SmallInteger,
    Text,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field


def tenant_key() -> Any:
    """The first column of every tenant's key."""
    return Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))


def identity_key() -> Any:
    """A number given by the database, unique over all tenants."""
    return Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))


def big_key() -> Any:
    """A part of the key that refers to another table's number."""
    return Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))


def int_key() -> Any:
    """A small part of the key: a block, a link's number."""
    return Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))


def small_key() -> Any:
    """A part of the key with few values: a step, a variant, a kind."""
    return Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))


def text_key() -> Any:
    """A part of the key that is a word."""
    return Field(sa_column=Column(Text, primary_key=True))


def big(*, nullable: bool = False) -> Any:
    """A bigint: another row's number, or money in minor units."""
    default = None if nullable else ...
    return Field(default, sa_column=Column(BigInteger, nullable=nullable))


def small(default: int | None = 0, *, nullable: bool = False) -> Any:
    """A smallint: a state, a code."""
    return Field(
        default,
        sa_column=Column(
            SmallInteger,
            nullable=nullable,
            server_default=None if default is None else str(default),
        ),
    )


def whole(default: int | None = 0, *, nullable: bool = False) -> Any:
    """An integer: a count, a duration in minutes."""
    return Field(
        default,
        sa_column=Column(
            Integer,
            nullable=nullable,
            server_default=None if default is None else str(default),
        ),
    )


def share(default: float | None = None) -> Any:
    """A share in percent, with decimals; without a default it may be missing."""
    missing = default is None
    given = None if missing else f"{default:g}"
    return Field(default, sa_column=Column(Double, nullable=missing, server_default=given))


def yes_no(default: bool = False) -> Any:
    """A boolean with a default."""
    return Field(
        default,
        sa_column=Column(Boolean, nullable=False, server_default="true" if default else "false"),
    )


def words(default: str | None = "", *, nullable: bool = False) -> Any:
    """A text."""
    return Field(default, sa_column=Column(Text, nullable=nullable, server_default=default))


def moment(*, nullable: bool = True, now: bool = False) -> Any:
    """A point in time with its zone; `now` lets the database fill it in."""
    return Field(
        default=None,
        sa_column=Column(
            DateTime(timezone=True), nullable=nullable, server_default=func.now() if now else None
        ),
    )


def document(default: str = "{}") -> Any:
    """A JSON document, validated by a pydantic model before it is stored."""
    return Field(
        default_factory=list if default == "[]" else dict,
        sa_column=Column(JSONB, nullable=False, server_default=default),
    )
