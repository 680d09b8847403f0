"""Hands messages over as the settings describe, and says what an answer means."""

from __future__ import annotations

from urllib.parse import urlsplit

from envoi.outgoing import Answer, Request, WebAccount, by_status
from envoi.types import Outgoing, SendResult, SendStatus
from envoi_provider_http.filling import Kind, filled, found_at, tree_of
from envoi_provider_http.settings import HttpSettings, Method


class HttpAccount(WebAccount):
    """A configured account; sentences call it by the name of its server."""

    advice = "Check the gateway's settings."

    def __init__(self, settings: HttpSettings) -> None:
        found = urlsplit(settings.url)
        self._root = f"{found.scheme}://{found.netloc}"
        super().__init__(self._root, settings.timeout)
        self.name = found.hostname or ""
        self._settings = settings
        self._secret = {"secret": settings.secret.get_secret_value()}

    def question(self) -> Request:
        """Ask the address to test, or the server alone."""
        path = self._path(self._settings.test_url or f"{self._root}/", {})
        return Request(method="GET", path=path, headers=self._headers({}))

    def written(self, message: Outgoing) -> Request:
        """Write the request as the settings describe it."""
        settings = self._settings
        values = _values(message, settings)
        body = "" if settings.method is Method.GET else settings.body
        media = {"content-type": settings.kind.media_type} if body else {}
        return Request(
            method=settings.method,
            path=self._path(settings.url, values),
            headers=media | self._headers(values),
            body=filled(body, values, settings.kind).encode(),
        )

    def is_well(self, answer: Answer) -> bool:
        """Whether the address to test says so; without one, that the server answers is enough."""
        return not self._settings.test_url or super().is_well(answer)

    def is_refused(self, answer: Answer) -> bool:
        """Whether the account is refused, or a proxy refuses us."""
        return answer.status == 407 or super().is_refused(answer)

    def is_busy(self, answer: Answer) -> bool:
        """Whether to wait, as after any error where the key lets a message arrive only once."""
        may_repeat = answer.status >= 500 and self._settings.key_header
        return bool(may_repeat) or super().is_busy(answer)

    def meaning(self, answer: Answer) -> SendResult:
        """Say what stands in an answer where the settings look."""
        if answer.status >= 500 or answer.status == 429:
            return by_status(answer)
        said = _Said(answer, self._settings)
        return SendResult(
            status=said.status,
            code=said.code or answer.status,
            provider_id=said.number or "",
            raw=answer.raw,
        )

    def _path(self, url: str, values: dict[str, str]) -> str:
        path = url.partition("://")[2].removeprefix(urlsplit(url).netloc)
        return filled(path, values | self._secret, Kind.FORM)

    def _headers(self, values: dict[str, str]) -> dict[str, str]:
        known = dict.fromkeys(("phone", "digits", "key"), "") | values | self._secret
        lines = self._settings.header_lines
        headers = {name.lower(): filled(value, known, Kind.TEXT) for name, value in lines}
        if self._settings.key_header and "key" in values:
            headers[self._settings.key_header.lower()] = values["key"]
        return headers


def _values(message: Outgoing, settings: HttpSettings) -> dict[str, str]:
    return {
        "phone": message.address,
        "digits": message.address.removeprefix("+"),
        "text": message.payload.decode(),
        "sender": message.sender or settings.sender,
        "key": message.key,
        "parts": str(message.parts),
        "lifetime": str(message.lifetime_seconds),
    }


class _Said:
    """What an answer says where the settings look."""

    def __init__(self, answer: Answer, settings: HttpSettings) -> None:
        self._positive, self._settings = answer.status < 300, settings
        self._tree, self._text = tree_of(answer.body), answer.text
        self.number = self._at(settings.id_at)
        self._word = self._at(settings.status_at)
        code = self._at(settings.code_at) or ""
        self.code = int(code) if code.isdecimal() and len(code) < 9 else 0

    @property
    def status(self) -> SendStatus:
        """An answer without what was expected leaves open whether the message was taken."""
        word = (self._word or "").casefold()
        if word and word in _words(self._settings.again):
            return SendStatus.REFUSED_NOW
        if not self._positive:
            return SendStatus.REFUSED
        if self._settings.status_at and self._settings.taken and self._word is not None:
            is_taken = word in _words(self._settings.taken)
            return SendStatus.ACCEPTED if is_taken else SendStatus.REFUSED
        missing = None in (
            self.number if self._settings.id_at else "",
            self._word if self._settings.status_at else "",
        )
        return SendStatus.UNKNOWN if missing else SendStatus.ACCEPTED

    def _at(self, place: str) -> str | None:
        return found_at(place, self._tree, self._text) if place else None


def _words(typed: str) -> set[str]:
    return {word.strip().casefold() for word in typed.split(",")}
