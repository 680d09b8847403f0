"""Turns a segment's tree into one select of customer ids.

Conditions over a customer's own columns become a plain WHERE; sets of ids become semijoins
and, for "not", antijoins. Inside "any" sets are united first, because PostgreSQL plans `IN`
below OR as a subplan that crawls once the set no longer fits into memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from functools import cached_property, partial
from typing import Any
from uuid import uuid4

from babel.numbers import get_currency_precision
from pydantic import BaseModel, ValidationError
from sqlalchemy import (
    ColumnElement,
    Date,
    FromClause,
    Select,
    Subquery,
    Text,
    and_,
    cast,
    column,
    func,
    literal,
    null,
    or_,
    select,
    text,
    true,
    union_all,
)
from sqlalchemy import table as lightweight_table
from sqlalchemy.orm import Session

from envoi.errors import Problem, ValidationFailedError, problems_of
from envoi.plugins import Plugins, accuse, fence
from envoi.segments.catalogue import load_catalogue
from envoi.segments.criteria import Checked, check
from envoi.segments.models import Segment
from envoi.segments.rows import Buckets, Rows
from envoi.segments.tree import Condition, Group, Match, Node, child_path, conditions, parse
from envoi.sql import CustomerIds, Membership, Outside, SourceColumns
from envoi.tenants.service import company_zone, tenant_settings
from envoi.types import SegmentSourceSpec

_MOST_SEGMENTS = 50
"""How many other segments one segment may use, directly and through others."""


def customer_ids(
    session: Session,
    tenant_id: int,
    tree: Group | Mapping[str, Any],
    *,
    now: datetime,
    plugins: Plugins,
    buckets: Buckets | None = None,
    segment_id: int | None = None,
) -> CustomerIds:
    """Return a select of the ids of the customers in a tree, each once.

    Must run in the same transaction as it was made in, because ids from outside systems are
    put into a temporary table. Everything is evaluated at `now`.

    Args:
        session: An open session of the tenant.
        tenant_id: The tenant.
        tree: A parsed tree, or the JSON of a stored one.
        now: The moment that every condition is evaluated at.
        plugins: All plugins; only those that are on for the tenant are used.
        buckets: Restricts customers and receipts to a sample, for estimates.
        segment_id: The segment whose tree this is, so that it cannot use itself.

    Raises:
        ValidationFailedError: Conditions are incomplete or refer to something deleted; every
            problem names its condition by path.
        PluginError: A segment source failed.
    """
    group = tree if isinstance(tree, Group) else parse(tree)
    compiler = _Compiler(session, tenant_id, now, plugins, buckets)
    if segment_id is not None:
        compiler.open.append(segment_id)
    return compiler.ids(group)


def branch_flags(
    session: Session,
    tenant_id: int,
    tree: Group,
    *,
    now: datetime,
    plugins: Plugins,
    buckets: Buckets | None = None,
) -> tuple[Subquery, Mapping[str, ColumnElement[bool]]]:
    """Return all customers, and by path what tells whether a node of the tree holds for one.

    The path of the root is empty. Unlike `customer_ids` this looks at every condition for
    every customer, so that all of them can be counted in one statement.
    """
    return _Compiler(session, tenant_id, now, plugins, buckets).flags(tree)


class _Compiler:
    """One compilation: a tree and the segments it uses, at one moment."""

    def __init__(
        self,
        session: Session,
        tenant_id: int,
        now: datetime,
        plugins: Plugins,
        buckets: Buckets | None,
    ) -> None:
        self.session = session
        self.tenant_id = tenant_id
        self.now = now
        self.plugins = plugins.for_tenant(session, tenant_id)
        self.catalogue = load_catalogue(session, tenant_id, plugins)
        self.settings = tenant_settings(session, tenant_id)
        self.zone = company_zone(self.settings)
        self.rows = Rows(session, tenant_id, now, buckets)
        self.customers = self.rows.customers
        self.open: list[int] = []
        self.segments: dict[int, CustomerIds] = {}

    def ids(self, group: Group) -> CustomerIds:
        """Compile a tree into a select of ids."""
        return _Tree(self.customers, self._answers(group)).ids(group)

    def flags(self, group: Group) -> tuple[Subquery, Mapping[str, ColumnElement[bool]]]:
        """Compile a tree into a flag for each of its nodes."""
        return _Flags(self.customers, self._answers(group)).of(group)

    def _answers(self, group: Group) -> Mapping[str, Membership]:
        """Ask every source first, so that a person sees all problems at once."""
        answers: dict[str, Membership] = {}
        problems: list[Problem] = []
        for path, condition in conditions(group):
            try:
                answers[path] = self._membership(condition, path)
            except ValidationFailedError as error:
                problems += error.problems
        if problems:
            raise ValidationFailedError(problems)
        return answers

    def _membership(self, condition: Condition, path: str) -> Membership:
        checked = check(condition, self.catalogue, self.plugins, path)
        spec, settings = checked.spec, _settings(checked, path)
        try:
            if spec.select is None:
                return self._materialised(spec, settings)
            made, columns = spec.select, self.columns
            answer = self._fence(spec, lambda: made(settings, columns))
        except ValidationFailedError as error:
            raise ValidationFailedError(
                [Problem(f"{path}.{p.field}".strip("."), p.message) for p in error.problems]
            ) from error
        if not isinstance(answer, Select | Outside | ColumnElement):
            raise accuse(self.plugins, "segment source", spec.name, f"gave {answer!r}, no SQL")
        return answer

    def _fence(self, spec: SegmentSourceSpec, call: Callable[[], Any]) -> Any:
        return fence(self.plugins, "segment source", spec.name, call)

    @cached_property
    def columns(self) -> SourceColumns:
        """What every source selects from: conditions stand beside each other, never inside."""
        return SourceColumns(
            tenant_id=self.tenant_id,
            now=self.now,
            today=self.now.astimezone(self.zone).date(),
            midnight=lambda day: datetime.combine(day, time(), self.zone),
            day=lambda at: cast(func.timezone(self.settings.time_zone, at), Date),
            minor_units=10 ** get_currency_precision(self.catalogue.currency),
            catalogue=self.catalogue,
            customers=self.customers,
            receipts=self.rows.receipts,
            receipt_lines=self.rows.lines,
            products=self.rows.products(),
            values=self.rows.values(),
            zones=self.rows.zones(),
            messages=self.rows.messages,
            segment=self._segment,
            audience=self.rows.audience,
            opted_out=lambda name, category: self.rows.opted_out(
                self.plugins.channels[name], category
            ),
        )

    def _segment(self, segment_id: int) -> CustomerIds:
        """Compile another segment once; used again, it is the same common table expression."""
        if segment_id in self.open:
            names = [self.catalogue.segments.get(n, str(n)) for n in [*self.open, segment_id]]
            raise _problem(f"The segment would contain itself: {' > '.join(names)}.")
        if segment_id not in self.segments:
            if len(self.segments) + len(self.open) >= _MOST_SEGMENTS:
                raise _problem(f"A segment can use at most {_MOST_SEGMENTS} other segments.")
            self.segments[segment_id] = self._compiled(segment_id)
        return self.segments[segment_id]

    def _compiled(self, segment_id: int) -> CustomerIds:
        stored = self.session.get(Segment, (self.tenant_id, segment_id))
        if stored is None:
            raise _problem(f"The segment uses the segment {segment_id}, which was deleted.")
        self.open.append(segment_id)
        try:
            ids = self.ids(parse(stored.tree)).cte(f"segment_{segment_id}")
        except ValidationFailedError as error:
            told = " ".join(problem.message for problem in error.problems)
            raise _problem(f"In the segment {stored.name}: {told}") from error
        finally:
            self.open.pop()
        return select(ids.c.id)

    def _materialised(self, spec: SegmentSourceSpec, settings: BaseModel) -> CustomerIds:
        name = f"segment_ids_{uuid4().hex[:12]}"
        self.session.execute(text(f"CREATE TEMP TABLE {name} (external_id text) ON COMMIT DROP"))
        self._fence(spec, lambda: self._copy(name, spec, settings))
        self.session.execute(text(f"ANALYZE {name}"))
        given = lightweight_table(name, column("external_id", Text))
        customer = self.customers.c
        return select(customer.id).where(customer.external_id.in_(select(given.c.external_id)))

    def _copy(self, name: str, spec: SegmentSourceSpec, settings: BaseModel) -> None:
        driver: Any = self.session.connection().connection.driver_connection
        assert spec.iter_external_ids is not None
        with driver.cursor() as cursor, cursor.copy(f"COPY {name} FROM STDIN") as copy:
            for external_id in spec.iter_external_ids(settings):
                copy.write_row((external_id,))


def _settings(checked: Checked, path: str) -> BaseModel:
    try:
        return checked.spec.settings.model_validate(dict(checked.settings))
    except ValidationError as error:
        raise ValidationFailedError(problems_of(error, path, "settings")) from error


def _problem(message: str) -> ValidationFailedError:
    return ValidationFailedError([Problem("", message)])


@dataclass(frozen=True)
class _Part:
    """A node as a condition over customers; `row` says that it needs no set of ids."""

    holds: ColumnElement[bool]
    row: bool = False
    ids: CustomerIds | None = None


class _Tree:
    """Puts the answers of the sources together.

    Every select of ids has its own `customers` in FROM, so none of them is correlated.
    """

    def __init__(self, customers: FromClause, answers: Mapping[str, Membership]) -> None:
        self.customers = customers
        self.answers = answers

    def ids(self, group: Group) -> CustomerIds:
        return self._select(self._part(group, "").holds)

    def _part(self, node: Node, path: str) -> _Part:
        if isinstance(node, Condition):
            return self._condition(self.answers[path])
        parts = [
            self._part(child, child_path(path, node.match, number))
            for number, child in enumerate(node.nodes)
        ]
        if node.match is Match.ANY:
            return self._any(parts)
        if node.match is Match.NONE:
            parts = [self._fails(part) for part in parts]
        return _Part(and_(*(part.holds for part in parts)), row=all(p.row for p in parts))

    def _condition(self, answer: Membership) -> _Part:
        if isinstance(answer, Outside):
            return _Part(self._outside(answer.ids))
        if isinstance(answer, Select):
            ids = answer.correlate(None)
            return _Part(self.customers.c.id.in_(ids), ids=ids)
        return _Part(answer, row=True)

    def _any(self, parts: list[_Part]) -> _Part:
        rows = [part.holds for part in parts if part.row]
        sets = [self._ids(part) for part in parts if not part.row]
        if not sets:
            return _Part(or_(*rows), row=True)
        if rows:
            sets.append(self._select(or_(*rows)))
        return _Part(self.customers.c.id.in_(union_all(*sets) if len(sets) > 1 else sets[0]))

    def _fails(self, part: _Part) -> _Part:
        if part.row:
            return _Part(part.holds.is_not(true()), row=True)
        return _Part(self._outside(self._ids(part)))

    def _outside(self, ids: CustomerIds) -> ColumnElement[bool]:
        found = ids.correlate(None).subquery()
        same = select(1).where(next(iter(found.c)) == self.customers.c.id)
        return ~same.correlate(self.customers).exists()

    def _ids(self, part: _Part) -> CustomerIds:
        return self._select(part.holds) if part.ids is None else part.ids

    def _select(self, holds: ColumnElement[bool]) -> CustomerIds:
        return select(self.customers.c.id).where(holds).correlate(None)


class _Flags:
    """A flag for every node: customers and sets of ids are piled up and grouped by the id.

    There is no join, so that wrong guesses about how large a set is cannot cost much.
    """

    def __init__(self, customers: FromClause, answers: Mapping[str, Membership]) -> None:
        self.customers = customers
        self.answers = answers

    def of(self, group: Group) -> tuple[Subquery, Mapping[str, ColumnElement[bool]]]:
        """Name the flags of conditions in a subquery, so that groups do not repeat them."""
        rows: list[ColumnElement[bool]] = []
        sets: list[CustomerIds] = []
        holds: dict[str, Callable[[Subquery], ColumnElement[bool]]] = {}
        for path, answer in self.answers.items():
            if isinstance(answer, Select | Outside):
                sets.append(answer.ids if isinstance(answer, Outside) else answer)
                holds[path] = partial(_inside, len(sets), outside=isinstance(answer, Outside))
            else:
                rows.append(answer.is_(true()).label(f"row_{len(rows)}"))
                holds[path] = partial(_named, rows[-1].name)
        flagged = self._grouped(rows, sets)
        found = {path: hold(flagged) for path, hold in holds.items()}
        self._group(group, "", found)
        return flagged, found

    def _grouped(
        self, rows: Sequence[ColumnElement[bool]], sets: Sequence[CustomerIds]
    ) -> Subquery:
        customer = self.customers.c
        piles: list[Select[Any]] = [
            select(customer.id, customer.bucket, *rows, literal(0).label("set"))
        ]
        for number, ids in enumerate(sets, 1):
            found = ids.correlate(None).subquery()
            nothing = [cast(null(), column.type) for column in (customer.bucket, *rows)]
            piles.append(select(found.c[0], *nothing, literal(number)))
        pile = union_all(*piles).subquery()
        return (
            select(
                pile.c.id,
                func.max(pile.c.bucket).label("bucket"),
                *(func.bool_or(pile.c[row.name]).label(row.name) for row in rows),
                func.array_agg(pile.c.set).label("sets"),
            )
            .group_by(pile.c.id)
            .having(func.bool_or(pile.c.set == 0))
            .subquery("flagged")
        )

    def _group(
        self, node: Node, path: str, holds: dict[str, ColumnElement[bool]]
    ) -> ColumnElement[bool]:
        if isinstance(node, Group):
            parts = [
                self._group(child, child_path(path, node.match, number), holds)
                for number, child in enumerate(node.nodes)
            ]
            found = and_(*parts) if node.match is Match.ALL else or_(*parts)
            holds[path] = ~found if node.match is Match.NONE else found
        return holds[path]


def _inside(number: int, flagged: Subquery, *, outside: bool) -> ColumnElement[bool]:
    found = literal(number) == func.any(flagged.c.sets)
    return ~found if outside else found


def _named(name: str, flagged: Subquery) -> ColumnElement[bool]:
    flag: ColumnElement[bool] = flagged.c[name]
    return flag
