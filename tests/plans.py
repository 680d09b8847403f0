"""Reading the database's plans: which tables it scans, and how."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import ClauseElement, Executable


class Explain(Executable, ClauseElement):
    """EXPLAIN of a statement with its parameters."""

    inherit_cache = False

    def __init__(self, statement: ClauseElement) -> None:
        self.statement = statement


@compiles(Explain)
def _explain(element: Explain, compiler: Any, **options: Any) -> str:
    return f"EXPLAIN (FORMAT JSON) {compiler.process(element.statement, **options)}"


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def scans(connection: Connection, statement: Any, **parameters: Any) -> dict[str, set[str]]:
    """Return the kinds of scan of each table in a statement's plan."""
    plan = connection.execute(Explain(statement), parameters).scalar_one()[0]["Plan"]
    found: dict[str, set[str]] = {}
    for node in nodes(plan):
        if "Relation Name" in node:
            found.setdefault(node["Relation Name"], set()).add(node["Node Type"])
    return found
