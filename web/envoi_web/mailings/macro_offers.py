"""The macros of plugins among the variables that the editor offers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import structlog
from sqlalchemy.orm import Session

from envoi.content.macros import MacroCall
from envoi.errors import EnvoiError
from envoi.operations.plugin_errors import add_fault
from envoi.plugins import fence
from envoi.sending import MacroCheck
from envoi.types import MacroSpec
from envoi.webkit import current
from envoi.webkit.formats import translated

log = structlog.get_logger()


def macro_offers(session: Session) -> list[tuple[str, str, str]]:
    """Return every macro with each of its arguments: as it is written, in words, its stand-in."""
    plugins = current.plugins.for_tenant(session, current.tenant_id)
    return [offer for spec in plugins.macros.values() for offer in _of(session, spec)]


def _of(session: Session, spec: MacroSpec) -> Iterator[tuple[str, str, str]]:
    tenant_id = current.tenant_id
    try:
        with session.begin_nested():
            check = MacroCheck(connection=session.connection(), tenant_id=tenant_id, argument="")
            found = fence(current.plugins, "macro", spec.name, partial(_offers, spec, check))
    except EnvoiError as error:
        log.error("macro_not_offered", macro=spec.name, reason=str(error))
        add_fault(session, tenant_id, error)
        return
    label = str(translated(spec.label))
    for argument, example in found:
        words = f"{label}: {argument}" if argument else label
        yield str(MacroCall(spec.name, argument)), words, example


def _offers(spec: MacroSpec, check: MacroCheck) -> list[tuple[str, str]]:
    return [(argument, spec.example(argument)) for argument in spec.arguments(check)]
