"""The macros of plugins among the variables that the editor offers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from sqlalchemy.orm import Session

from envoi.content.macros import MacroCall
from envoi.operations.plugin_errors import asked
from envoi.sending import MacroCheck
from envoi.types import MacroSpec
from envoi.webkit import current
from envoi.webkit.formats import translated


def macro_offers(session: Session) -> list[tuple[str, str, str]]:
    """Return every macro with each of its arguments: as it is written, in words, its stand-in."""
    plugins = current.plugins.for_tenant(session, current.tenant_id)
    return [offer for spec in plugins.macros.values() for offer in _of(session, spec)]


def _of(session: Session, spec: MacroSpec) -> Iterator[tuple[str, str, str]]:
    offers, what = partial(_offers, session, spec), ("macro", spec.name)
    found = asked(session, current.plugins, current.tenant_id, what, offers)
    label = str(translated(spec.label))
    for argument, example in found or ():
        words = f"{label}: {argument}" if argument else label
        yield str(MacroCall(spec.name, argument)), words, example


def _offers(session: Session, spec: MacroSpec) -> list[tuple[str, str]]:
    tenant_id = current.tenant_id
    check = MacroCheck(connection=session.connection(), tenant_id=tenant_id, argument="")
    return [(argument, spec.example(argument)) for argument in spec.arguments(check)]
