"""Addresses in messages that lead back to Envoi: opens, clicks, unsubscribe, web version."""

from __future__ import annotations

from datetime import date
from urllib.parse import quote

from envoi.tracking.tokens import MessageRef, MessageTokens, TokenKind, TokenSigner

PATHS = {
    TokenKind.OPEN: "/o/",
    TokenKind.CLICK: "/c/",
    TokenKind.UNSUBSCRIBE: "/u/",
    TokenKind.PREFERENCES: "/p/",
    TokenKind.VIEW: "/v/",
}
"""The first part of the address for each kind of token; the token follows."""

SHORT_PATH = "/s/"
"""The first part of a click's address in its short form; the code follows."""

TARGET_PARAMETER = "to"
"""The query parameter of a click's target where that differs between recipients."""

_EXAMPLES = TokenSigner(["an example, which no installation signs with"])


class MessageUrls:
    """The addresses of one message."""

    __slots__ = ("_base", "_short", "_tokens")

    def __init__(self, base: str, tokens: MessageTokens, *, short: bool) -> None:
        self._base = base
        self._tokens = tokens
        self._short = short

    def of(self, kind: TokenKind) -> str:
        """The address for one kind of token; unsubscribing has one for both GET and POST."""
        return f"{self._base}{PATHS[kind]}{self._tokens.token(kind)}"

    def click(self, link: int, target: str) -> str:
        """The tracked address of a link; `target` is "" where the link's number tells it.

        A target of this message's own travels with the address, which is never a short one then.
        """
        if self._short and not target and (code := self._tokens.code(link)):
            return f"{self._base}{SHORT_PATH}{code}"
        url = f"{self._base}/c/{self._tokens.token(TokenKind.CLICK, link, target)}"
        return f"{url}?{TARGET_PARAMETER}={quote(target, safe='')}" if target else url


class UrlMaker:
    """Makes the addresses of messages under one public address without a slash at the end."""

    def __init__(self, base_url: str, signer: TokenSigner, *, short: bool = False) -> None:
        self._base = base_url.rstrip("/")
        self._signer = signer
        self._short = short

    def message(self, ref: MessageRef) -> MessageUrls:
        """The addresses of one message."""
        return MessageUrls(self._base, self._signer.message(ref), short=self._short)


def example_urls(base_url: str, tenant_id: int, customer_id: int, *, short: bool) -> MessageUrls:
    """Addresses as long as those of a message that is not sent yet; they lead nowhere."""
    ref = MessageRef(tenant_id, 0, customer_id, date.today())
    return UrlMaker(base_url, _EXAMPLES, short=short).message(ref)
