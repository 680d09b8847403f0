"""The message as a page, for people whose mail program shows it badly."""

from __future__ import annotations

from functools import lru_cache

from envoi.content.kit import Kit
from envoi.db import Database
from envoi.delivery.models import Run
from envoi.delivery.recipients import sample_person
from envoi.delivery.runs import RunSettings
from envoi.errors import EnvoiError
from envoi.library.files import Library
from envoi.plugins import Plugins, fence
from envoi.tracking.answers import NOTHING_HERE, Answer, message
from envoi.tracking.tokens import MessageRef, TokenKind, TokenSigner
from envoi.tracking.urls import UrlMaker

KEPT = 32
"""Pages that a process keeps, at most some megabytes each: who opens one often opens it again."""


class WebVersions:
    """The view of a message's own page; it shows what was sent, with links that are not counted."""

    def __init__(self, database: Database, plugins: Plugins, signer: TokenSigner) -> None:
        self._database = database
        self._plugins = plugins
        self._signer = signer
        self._kept = lru_cache(KEPT)(self._made)

    def __call__(self, ref: MessageRef) -> Answer:
        """The page, or the one 404 where the message cannot be made any more."""
        try:
            return self._kept(ref)
        except EnvoiError:
            return NOTHING_HERE

    def _made(self, ref: MessageRef) -> Answer:
        with self._database.tenant_session(ref.tenant_id) as session:
            run = session.get(Run, (ref.tenant_id, ref.run_id))
            spec = self._plugins.channels.get(run.channel) if run else None
            if run is None or spec is None:
                return NOTHING_HERE
            frozen = RunSettings.model_validate(run.settings)
            variant = next((v for v in frozen.variants if v.number == ref.variant), None)
            if variant is None:
                return NOTHING_HERE
            person = sample_person(session, ref.tenant_id, ref.customer_id, spec.address_kind)
            urls = UrlMaker(frozen.links_url, self._signer).message(ref)
            variables = {
                **person.variables,
                "unsubscribe_url": urls.of(TokenKind.UNSUBSCRIBE),
                "preferences_url": urls.of(TokenKind.PREFERENCES),
                "view_url": urls.of(TokenKind.VIEW),
            }
            content = spec.content_schema.model_validate(variant.content)
            kit = Kit(Library(session, ref.tenant_id, frozen.links_url))
            shown: str = fence(
                self._plugins,
                "channel",
                spec.name,
                lambda: spec.preview(content, kit, variables),
            )
        return message(shown)
