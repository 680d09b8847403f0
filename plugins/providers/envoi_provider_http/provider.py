"""Hands messages over as the settings describe, and says what an answer means."""

from __future__ import annotations

from urllib.parse import urlsplit

from envoi.errors import PermanentProviderError, TemporaryProviderError, UnansweredError
from envoi.outgoing import Answer, HttpClient
from envoi.types import Outgoing, SendResult, SendStatus
from envoi_provider_http.filling import Kind, filled, found_at, tree_of
from envoi_provider_http.settings import HttpSettings, Method

TEST_SECONDS = 10.0
_ACCOUNT = (401, 402, 403, 404, 405, 407)
"""Answers that concern the account or its settings, whatever message they were given for."""


class HttpProvider:
    """A configured account."""

    def __init__(self, settings: HttpSettings) -> None:
        self._settings = settings

    def connect(self) -> HttpConnection:
        """Open a connection; raise `ProviderError` when that fails."""
        return HttpConnection(self._settings)

    def test(self) -> str:
        """Ask the address to test, or the server alone, and return its own words."""
        client = HttpClient(timeout=min(self._settings.timeout, TEST_SECONDS))
        try:
            asked = self._settings.test_url or _root(self._settings.url)
            answer = client.request(
                "GET", _url(asked, self._settings, {}), headers=_headers(self._settings, {})
            )
        except UnansweredError as error:
            raise TemporaryProviderError(str(error)) from error
        finally:
            client.close()
        if self._settings.test_url and answer.status >= 300:
            raise _not_this_account(answer)
        return answer.raw


class HttpConnection:
    """A kept connection, for one message at a time."""

    def __init__(self, settings: HttpSettings) -> None:
        self._settings = settings
        self._client = HttpClient(timeout=settings.timeout, connections=1)
        self._client.reach(settings.url)

    def send(self, message: Outgoing) -> SendResult:
        """Hand one message over; see `envoi.types.Connection`."""
        settings = self._settings
        values = _values(message, settings)
        body = "" if settings.method is Method.GET else settings.body
        headers = _headers(settings, values)
        if body:
            headers.append(("Content-Type", settings.kind.media_type))
        try:
            answer = self._client.request(
                settings.method,
                _url(settings.url, settings, values),
                headers=headers,
                content=filled(body, values, settings.kind).encode(),
            )
        except UnansweredError as error:
            return SendResult(status=SendStatus.UNKNOWN, raw=str(error))
        return _judged(answer, settings)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


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


def _headers(settings: HttpSettings, values: dict[str, str]) -> list[tuple[str, str]]:
    known = dict.fromkeys(("phone", "digits", "key"), "") | values | _secret(settings)
    headers = [(name, filled(value, known, Kind.TEXT)) for name, value in settings.header_lines]
    if settings.key_header and "key" in values:
        headers.append((settings.key_header, values["key"]))
    return headers


def _url(url: str, settings: HttpSettings, values: dict[str, str]) -> str:
    return filled(url, values | _secret(settings), Kind.FORM)


def _secret(settings: HttpSettings) -> dict[str, str]:
    return {"secret": settings.secret.get_secret_value()}


def _root(url: str) -> str:
    found = urlsplit(url)
    return f"{found.scheme}://{found.netloc}/"


def _judged(answer: Answer, settings: HttpSettings) -> SendResult:
    status, raw = answer.status, answer.raw
    if status in _ACCOUNT or 300 <= status < 400:
        raise _not_this_account(answer)
    may_repeat = status >= 500 and settings.key_header
    if status == 503 or may_repeat or (status == 429 and answer.retry_after):
        raise TemporaryProviderError(
            f"The provider asks us to wait (HTTP {status}).",
            raw=raw,
            retry_after=answer.retry_after,
        )
    if status == 429:
        return SendResult(status=SendStatus.THROTTLED, code=status, raw=raw)
    if status >= 500:
        return SendResult(status=SendStatus.UNKNOWN, code=status, raw=raw)
    said = _Said(answer, settings)
    return SendResult(
        status=said.status, code=said.code or status, provider_id=said.number or "", raw=raw
    )


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


def _not_this_account(answer: Answer) -> PermanentProviderError:
    return PermanentProviderError(
        f"The provider refuses the account or the address (HTTP {answer.status}). Check the"
        " gateway's settings.",
        raw=answer.raw,
    )
