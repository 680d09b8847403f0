"""Addresses in messages that lead back to Envoi: opens, clicks, unsubscribe, web version."""

from __future__ import annotations

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

TARGET_PARAMETER = "to"
"""The query parameter of a click's target where that differs between recipients."""


class MessageUrls:
    """The addresses of one message."""

    __slots__ = ("_base", "_tokens")

    def __init__(self, base: str, tokens: MessageTokens) -> None:
        self._base = base
        self._tokens = tokens

    def of(self, kind: TokenKind) -> str:
        """The address for one kind of token; unsubscribing has one for both GET and POST."""
        return f"{self._base}{PATHS[kind]}{self._tokens.token(kind)}"

    def click(self, link: int, target: str) -> str:
        """The tracked address of a link; `target` is "" where the link's number tells it."""
        url = f"{self._base}/c/{self._tokens.token(TokenKind.CLICK, link, target)}"
        return f"{url}?{TARGET_PARAMETER}={quote(target, safe='')}" if target else url


class UrlMaker:
    """Makes the addresses of messages under one public address without a slash at the end."""

    def __init__(self, base_url: str, signer: TokenSigner) -> None:
        self._base = base_url.rstrip("/")
        self._signer = signer

    def message(self, ref: MessageRef) -> MessageUrls:
        """The addresses of one message."""
        return MessageUrls(self._base, self._signer.message(ref))
