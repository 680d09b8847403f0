"""What of a company uses a plugin: told before it is switched off."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.delivery.models import UNFINISHED, Gateway, Run
from envoi.mailings.cascade import channels_of
from envoi.mailings.models import Mailing, MailingState, Variant
from envoi.plugins import Plugins
from envoi.policies.models import Policy
from envoi.segments.models import Segment


@dataclass(frozen=True)
class PluginUses:
    """The names of what uses a plugin; mailings are those that are planned or being sent.

    Policies keep a plugin on: without one of their rules too many would get messages.
    """

    mailings: tuple[str, ...]
    gateways: tuple[str, ...]
    segments: tuple[str, ...]
    policies: tuple[str, ...]


@dataclass(frozen=True)
class _Brought:
    """What a plugin brings, by kind."""

    plugins: Plugins
    plugin: str

    def __getitem__(self, kind: str) -> set[str]:
        owners = self.plugins.owners.items()
        return {name for (its, name), owner in owners if (its, owner) == (kind, self.plugin)}


def uses_of(session: Session, plugins: Plugins, tenant_id: int, plugin: str) -> PluginUses:
    """Look what a company uses of what a plugin brings."""
    brought = _Brought(plugins, plugin)
    g, s, p = table(Gateway).c, table(Segment).c, table(Policy).c
    gateways = select(Gateway).where(g.tenant_id == tenant_id).order_by(g.name)
    every = session.scalars(gateways).all()
    gone = [gateway for gateway in every if gateway.provider in brought["provider"]]
    left = {gateway.channel for gateway in every if gateway.is_on and gateway not in gone}
    channels = brought["channel"] | {gateway.channel for gateway in gone} - left
    written = _written(brought["macro"], brought["segment source"])
    segments = session.scalars(select(Segment).where(s.tenant_id == tenant_id).order_by(s.name))
    using = {segment.id: segment.name for segment in segments if written(segment.tree)}
    policies = session.scalars(select(Policy).where(p.tenant_id == tenant_id).order_by(p.name))
    return PluginUses(
        mailings=tuple(
            mailing.name
            for mailing, contents in _awaited(session, tenant_id)
            if not channels.isdisjoint(channels_of(mailing))
            or mailing.segment_id in using
            or written([mailing.tree, *contents])
        ),
        gateways=tuple(gateway.name for gateway in gone),
        segments=tuple(using.values()),
        policies=tuple(
            policy.name
            for policy in policies
            if brought["rule kind"] & {rule.get("kind") for rule in policy.rules}
        ),
    )


def _written(macros: Collection[str], sources: Collection[str]) -> Callable[[Any], bool]:
    """Return what tells whether a document calls one of the macros or names one of the sources."""
    calls = [rf"\b{re.escape(name)}\s*\(" for name in macros]
    named = [re.escape(f'"source": {json.dumps(name)}') for name in sources]
    wanted = re.compile("|".join((*calls, *named)) or "(?!)")
    return lambda document: wanted.search(json.dumps(document)) is not None


def _awaited(session: Session, tenant_id: int) -> Sequence[tuple[Mailing, list[Any]]]:
    """Return the mailings that are planned or being sent, with their contents."""
    m, r, v = table(Mailing).c, table(Run).c, table(Variant).c
    run = and_(r.tenant_id == m.tenant_id, r.id == m.run_id)
    query = select(Mailing).join(table(Run), run, isouter=True).order_by(m.name)
    awaited = or_(m.state == MailingState.CREATED, r.status.in_(UNFINISHED))
    mailings = session.scalars(query.where(m.tenant_id == tenant_id, awaited)).all()
    numbers = [mailing.id for mailing in mailings]
    contents = select(v.mailing_id, v.content, v.steps).where(
        v.tenant_id == tenant_id, v.mailing_id.in_(numbers)
    )
    found: dict[int, list[Any]] = {number: [] for number in numbers}
    for row in session.execute(contents):
        found[row.mailing_id].append([row.content, row.steps])
    return [(mailing, found[mailing.id]) for mailing in mailings]
