"""Groups of codes: making, filling, blocking, counting, deleting."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice
from typing import Any

from envoi.data import (
    IntegrityError,
    Session,
    Text,
    and_,
    delete,
    func,
    insert,
    literal,
    rows,
    select,
    update,
    upsert,
)
from envoi.errors import ConflictError, NotFoundError, Problem, ValidationFailedError
from envoi_module_promo_codes.formats import LONGEST_CODE, parse_format
from envoi_module_promo_codes.tables import CODES, GROUPS

LONGEST_NAME = 60
MOST_AT_ONCE = 200_000
CHUNK = 5_000
MOST_PROBLEMS = 20
_NOT_IN_NAMES = frozenset("\"'{}\\<>")


@dataclass(frozen=True, kw_only=True)
class Group:
    """A group with its counts: what remains is neither issued nor blocked."""

    id: int
    name: str
    expires_on: date | None
    total: int
    remaining: int
    issued: int
    sent: int
    blocked: int


@dataclass(frozen=True)
class Added:
    """What became of codes that were to be added: those that there are already stay out."""

    added: int
    known: int


def list_groups(session: Session, tenant_id: int) -> list[Group]:
    """Return the company's groups by name."""
    query = _counted(tenant_id).order_by(GROUPS.c.name)
    return [Group(**row._mapping) for row in session.execute(query)]


def get_group(session: Session, tenant_id: int, group_id: int) -> Group:
    """Return one group; raise `NotFoundError`."""
    row = session.execute(_counted(tenant_id).where(GROUPS.c.id == group_id)).one_or_none()
    if row is None:
        raise NotFoundError("There is no such group of promo codes.")
    return Group(**row._mapping)


def find_group(session: Session, tenant_id: int, name: str) -> Group | None:
    """Return the group of a name, if there is one."""
    row = session.execute(_counted(tenant_id).where(GROUPS.c.name == name)).one_or_none()
    return Group(**row._mapping) if row else None


def create_group(
    session: Session, tenant_id: int, name: str, expires_on: date | None = None
) -> int:
    """Make an empty group and return its number."""
    values = {"tenant_id": tenant_id, "name": _checked_name(name), "expires_on": expires_on}
    try:
        made: int = session.scalars(insert(GROUPS).values(values).returning(GROUPS.c.id)).one()
    except IntegrityError:
        raise _taken(name) from None
    return made


def change_group(
    session: Session, tenant_id: int, group_id: int, name: str, expires_on: date | None
) -> None:
    """Rename a group or change when its codes expire; messages name it by the new name then."""
    get_group(session, tenant_id, group_id)
    values = {"name": _checked_name(name), "expires_on": expires_on}
    try:
        session.execute(update(GROUPS).where(*_this(tenant_id, group_id)).values(values))
    except IntegrityError:
        raise _taken(name) from None


def delete_group(session: Session, tenant_id: int, group_id: int) -> None:
    """Remove a group with its free codes; those that were issued stay known to their customers."""
    get_group(session, tenant_id, group_id)
    session.execute(delete(CODES).where(*_codes(tenant_id, group_id), CODES.c.run_id.is_(None)))
    gone = update(GROUPS).where(*_this(tenant_id, group_id))
    session.execute(gone.values(deleted_at=func.now()))


def add_codes(session: Session, tenant_id: int, group_id: int, written: Iterable[str]) -> Added:
    """Add codes, one a line; those that the company has already stay out.

    Raises:
        ValidationFailedError: A line is no code, or there are too many.
    """
    get_group(session, tenant_id, group_id)
    lines = [line.strip() for line in written]
    codes = list(dict.fromkeys(filter(None, lines)))
    if not codes:
        raise ValidationFailedError([Problem("codes", "There are no codes. Enter one a line.")])
    if len(codes) > MOST_AT_ONCE:
        raise _too_many()
    wrong = (place for place, line in enumerate(lines, 1) if not _is_code(line))
    if problems := [_no_code(place) for place in islice(wrong, MOST_PROBLEMS)]:
        raise ValidationFailedError(problems)
    added = sum(_insert(session, tenant_id, group_id, chunk) for chunk in _chunks(codes))
    return Added(added, len(codes) - added)


def generate_codes(
    session: Session, tenant_id: int, group_id: int, written: str, quantity: int
) -> None:
    """Add so many new codes of a format; all of them or none.

    Raises:
        ValidationFailedError: The format is none, or has not so many codes left.
    """
    get_group(session, tenant_id, group_id)
    made = parse_format(written)
    if not 1 <= quantity <= MOST_AT_ONCE:
        raise _too_many("quantity")
    if quantity > made.combinations:
        raise _too_few(made.combinations)
    drawn, added = made.draw(), 0
    while added < quantity:
        chunk = list(islice(drawn, min(CHUNK, quantity - added)))
        if not chunk:
            raise _too_few(added)
        added += _insert(session, tenant_id, group_id, chunk)


def block_codes(session: Session, tenant_id: int, group_id: int, written: Iterable[str]) -> int:
    """Keep free codes from being issued; without any, all that are free. Return how many."""
    get_group(session, tenant_id, group_id)
    codes = [code for line in written if (code := line.strip())]
    named = rows(code=(list(filter(_is_code, codes)), Text()))
    free = (*_codes(tenant_id, group_id), CODES.c.run_id.is_(None), ~CODES.c.blocked)
    return _set_blocked(session, [*free, *([CODES.c.code == named.c.code] if codes else [])], True)


def unblock_codes(session: Session, tenant_id: int, group_id: int) -> int:
    """Let every blocked code of a group be issued again; return how many."""
    get_group(session, tenant_id, group_id)
    return _set_blocked(session, [*_codes(tenant_id, group_id), CODES.c.blocked], False)


def _set_blocked(session: Session, which: Sequence[Any], blocked: bool) -> int:
    done = update(CODES).where(*which).values(blocked=blocked).returning(CODES.c.id)
    return len(session.execute(done).all())


def _no_code(place: int) -> Problem:
    message = f"Line {place} is no code: at most {LONGEST_CODE} characters, no spaces."
    return Problem("codes", message)


def _is_code(written: str) -> bool:
    return len(written) <= LONGEST_CODE and not any(
        c.isspace() or not c.isprintable() for c in written
    )


def _counted(tenant_id: int) -> Any:
    free = CODES.c.run_id.is_(None)
    here = and_(CODES.c.tenant_id == GROUPS.c.tenant_id, CODES.c.group_id == GROUPS.c.id)
    counted = {
        "total": func.count(CODES.c.id),
        "remaining": func.count().filter(CODES.c.id.is_not(None), free, ~CODES.c.blocked),
        "issued": func.count(CODES.c.run_id),
        "sent": func.count(CODES.c.sent_at),
        "blocked": func.count().filter(CODES.c.blocked),
    }
    counts = [column.label(name) for name, column in counted.items()]
    return (
        select(GROUPS.c.id, GROUPS.c.name, GROUPS.c.expires_on, *counts)
        .join_from(GROUPS, CODES, here, isouter=True)
        .where(GROUPS.c.tenant_id == tenant_id, GROUPS.c.deleted_at.is_(None))
        .group_by(GROUPS.c.id, GROUPS.c.name, GROUPS.c.expires_on)
    )


def _insert(session: Session, tenant_id: int, group_id: int, codes: Sequence[str]) -> int:
    given = rows(code=(codes, Text()))
    values = select(literal(tenant_id), literal(group_id), given.c.code)
    into = upsert(CODES).from_select(["tenant_id", "group_id", "code"], values)
    return len(session.execute(into.on_conflict_do_nothing().returning(CODES.c.id)).all())


def _chunks(codes: Sequence[str]) -> Iterable[Sequence[str]]:
    return (codes[start : start + CHUNK] for start in range(0, len(codes), CHUNK))


def _this(tenant_id: int, group_id: int) -> tuple[Any, ...]:
    return (GROUPS.c.tenant_id == tenant_id, GROUPS.c.id == group_id)


def _codes(tenant_id: int, group_id: int) -> tuple[Any, ...]:
    return (CODES.c.tenant_id == tenant_id, CODES.c.group_id == group_id)


def _checked_name(name: str) -> str:
    name = name.strip()
    if not name or len(name) > LONGEST_NAME or _NOT_IN_NAMES & set(name) or not name.isprintable():
        message = f"Enter a name of 1 to {LONGEST_NAME} characters without quotes and braces."
        raise ValidationFailedError([Problem("name", message)])
    return name


def _taken(name: str) -> ConflictError:
    return ConflictError(f"There is a group named {name.strip()} already. Choose another name.")


def _too_many(field: str = "codes") -> ValidationFailedError:
    message = f"From 1 to {MOST_AT_ONCE:,} codes can be added at once. Add the others after them."
    return ValidationFailedError([Problem(field, message)])


def _too_few(count: int) -> ValidationFailedError:
    message = f"The format has only {count:,} codes that are free. Make it longer."
    return ValidationFailedError([Problem("quantity", message)])
