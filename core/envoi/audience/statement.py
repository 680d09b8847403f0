"""Runs the statements of an audience: with memory for their hashes, naming the guilty plugin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Executable, Row, func, select, text
from sqlalchemy.exc import DataError, DBAPIError, ProgrammingError

from envoi.audience.request import AudienceRequest
from envoi.audience.stages import judge_rows
from envoi.errors import PluginError
from envoi.plugins import Plugins
from envoi.policies.rules import owners

# Hashes and sorts over millions of customers; compiling the expressions costs more than it saves.
_ROOM = text("SELECT set_config('work_mem', '128MB', true), set_config('jit', 'off', true)")


def run_statement(
    connection: Connection, plugins: Plugins, request: AudienceRequest, statement: Executable
) -> Sequence[Row[Any]]:
    """Execute a statement made of judged rows; a rule that fails in SQL names its plugin."""
    connection.execute(_ROOM)
    try:
        with connection.begin_nested():
            return connection.execute(statement).all()
    except (DataError, ProgrammingError) as error:
        _blame(connection, plugins, request, error)
        raise


def _blame(
    connection: Connection, plugins: Plugins, request: AudienceRequest, error: DBAPIError
) -> None:
    """Try each rule alone over everybody; raise `PluginError` for the one that fails."""
    for rule in request.rules:
        alone = judge_rows(plugins, replace(request, rules=(rule,))).query.subquery()
        counted = select(func.count(alone.c.stage), func.max(alone.c.deferred_until))
        try:
            with connection.begin_nested():
                connection.execute(counted)
        except (DataError, ProgrammingError) as again:
            plugin = owners(plugins, (rule,))
            kind = rule["kind"]
            raise PluginError(
                plugin,
                f"its rule failed in the database: {again.orig}",
                place=f"rule kind {kind}",
            ) from error
