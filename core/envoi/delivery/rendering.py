"""Making the messages of one step of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from envoi.content.kit import Kit
from envoi.delivery.claim import ClaimedMessage
from envoi.delivery.recipients import Person
from envoi.tracking.tokens import MessageRef, TokenKind, TokenSigner
from envoi.tracking.urls import UrlMaker
from envoi.types import CompiledContent, Outgoing, Recipient

MOST_PARTS = 1_000

_MORE_URLS = (
    ("preferences_url", TokenKind.PREFERENCES),
    ("view_url", TokenKind.VIEW),
)


def more_urls(kit: Kit) -> Sequence[tuple[str, TokenKind]]:
    """Addresses that few contents show, so that the others need not sign them."""
    return [entry for entry in _MORE_URLS if entry[0] in kit.named]


@dataclass(frozen=True)
class Rendering:
    """The contents of a step's variants, and what its messages are made with."""

    tenant_id: int
    run_id: int
    launched_on: date
    contents: Mapping[int, CompiledContent]
    signer: TokenSigner
    urls: UrlMaker
    more_urls: Sequence[tuple[str, TokenKind]] = ()
    usual_sender: str = ""
    """The company's, for messages that name none, where the gateway has none of its own."""

    def render(self, message: ClaimedMessage, person: Person) -> Outgoing:
        """Make one message; raise what the content raises."""
        ref = MessageRef(
            tenant_id=self.tenant_id,
            run_id=self.run_id,
            customer_id=message.customer_id,
            launched_on=self.launched_on,
            step=message.step,
            variant=message.variant,
        )
        urls = self.urls.message(ref)
        unsubscribe = urls.of(TokenKind.UNSUBSCRIBE)
        more = {name: urls.of(kind) for name, kind in self.more_urls}
        recipient = Recipient(
            address=person.address or "",
            name=person.name,
            variables=person.variables,
            message_key=self.signer.message_key(ref),
            unsubscribe_url=unsubscribe,
            one_click_url=unsubscribe,
            open_url=urls.of(TokenKind.OPEN),
            preferences_url=more.get("preferences_url", ""),
            view_url=more.get("view_url", ""),
            click=urls.click,
            devices=person.devices,
        )
        made = self.contents[message.variant].render(recipient)
        if not isinstance(made.parts, int) or not 0 <= made.parts <= MOST_PARTS:
            raise ValueError(f"a message cannot have {made.parts!r:.50} parts")
        if self.usual_sender and not made.sender:
            made = replace(made, sender=self.usual_sender)
        return made
