"""The message as a page, for people whose mail program shows it badly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from sqlalchemy import SmallInteger, literal, select

from envoi.content.kit import Kit
from envoi.db import Database, table
from envoi.delivery.macros import Macros
from envoi.delivery.models import Run
from envoi.delivery.recipients import sample_person
from envoi.delivery.runs import RunSettings, get_run
from envoi.delivery.steps import channel_at, channel_of
from envoi.errors import EnvoiError, NotFoundError
from envoi.library.files import Library
from envoi.plugins import Plugins, fence
from envoi.tracking.answers import NOTHING_HERE, Answer, message
from envoi.tracking.tokens import MessageRef, TokenKind, TokenSigner
from envoi.tracking.urls import UrlMaker

KEPT = 32
"""Pages that a process keeps, at most some megabytes each: who opens one often opens it again."""


@dataclass(frozen=True)
class _Reader:
    """A message and whom it is for; two are the same while the customer's data are."""

    message: MessageRef
    known: str
    variables: Mapping[str, Any] = field(compare=False)


class WebVersions:
    """The view of a message's own page; it shows what was sent, with links that are not counted.

    The customer is read every time, so that a page does not outlive a change of their data.
    """

    def __init__(self, database: Database, plugins: Plugins, signer: TokenSigner) -> None:
        self._database = database
        self._plugins = plugins
        self._signer = signer
        self._kept = lru_cache(KEPT)(self._made)

    def __call__(self, ref: MessageRef) -> Answer:
        """The page, or the one 404 where the message cannot be made any more."""
        try:
            return self._kept(self._reader(ref))
        except EnvoiError:
            return NOTHING_HERE

    def _reader(self, ref: MessageRef) -> _Reader:
        c = table(Run).c
        mine = (c.tenant_id == ref.tenant_id, c.id == ref.run_id)
        with self._database.tenant_session(ref.tenant_id) as session:
            channel = select(channel_at(literal(ref.step, SmallInteger))).where(*mine)
            spec = self._plugins.channels.get(session.scalar(channel) or "")
            if spec is None:
                raise NotFoundError("There is no such message.")
            person = sample_person(session, ref.tenant_id, ref.customer_id, spec.address_kind)
        return _Reader(ref, repr(person.variables), person.variables)

    def _made(self, reader: _Reader) -> Answer:
        ref = reader.message
        with self._database.tenant_session(ref.tenant_id) as session:
            run = get_run(session, ref.tenant_id, ref.run_id)
            spec = self._plugins.channels[channel_of(run, ref.step)]
            frozen = RunSettings.model_validate(run.settings)
            variant = next(
                (v for v in frozen.variants_at(ref.step) if v.number == ref.variant), None
            )
            if variant is None:
                return NOTHING_HERE
            urls = UrlMaker(frozen.links_url, self._signer).message(ref)
            variables: dict[str, Any] = {
                **reader.variables,
                "unsubscribe_url": urls.of(TokenKind.UNSUBSCRIBE),
                "preferences_url": urls.of(TokenKind.PREFERENCES),
                "view_url": urls.of(TokenKind.VIEW),
            }
            content = spec.content_schema.model_validate(variant.content)
            kit = Kit(Library(session, ref.tenant_id, frozen.links_url), self._plugins.macros)
            macros = Macros(self._plugins, ref.tenant_id, ref.run_id, run.mailing_id)
            variables |= macros.recalled(session.connection(), ref.customer_id)
            shown: str = fence(
                self._plugins,
                "channel",
                spec.name,
                lambda: spec.preview(content, kit, variables),
            )
        return message(shown)
