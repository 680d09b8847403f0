"""Requests to a service and what became of each: what the HTTP clients and their users share."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol, Self
from urllib.parse import urlencode

from envoi.errors import ProviderError, UnansweredError
from envoi.outgoing.http import Answer
from envoi.types import SendResult, SendStatus


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request; names of headers are in lower case."""

    path: str
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @classmethod
    def of_json(cls, path: str, value: object, headers: Mapping[str, str] | None = None) -> Self:
        """Make one that brings JSON, as short as it can be written."""
        body = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        headers = {"content-type": "application/json; charset=utf-8", **(headers or {})}
        return cls(path=path, headers=headers, body=body.encode(errors="replace"))

    @classmethod
    def of_form(cls, path: str, fields: Mapping[str, Any]) -> Self:
        """Make one that brings the fields of a form."""
        headers = {"content-type": "application/x-www-form-urlencoded"}
        return cls(path=path, headers=headers, body=urlencode(fields).encode())


class Unanswered(Enum):
    """Why a request has no answer."""

    NOT_TAKEN = "the service has not taken the request"
    UNKNOWN = "the connection broke before the service answered"


Result = Answer | Unanswered | UnansweredError
"""The error stands for `UNKNOWN` where there are words for it."""


class Client(Protocol):
    """A kept way to one service; `envoi.http1` and `envoi.http2` have one each."""

    def __init__(self, url: str, seconds: float) -> None: ...

    def connect(self) -> None:
        """See whether the service is there; raise `ProviderError` where it is not."""

    def exchange(self, requests: Sequence[Request]) -> list[Result]:
        """Send requests and return what became of each, in their order.

        Raises:
            ProviderError: No connection could be opened; nothing has left.
        """

    def close(self) -> None:
        """End it; may be repeated."""


def judged(
    answers: Sequence[Result], judge: Callable[[Answer], SendResult]
) -> Sequence[SendResult]:
    """Say what answers mean for their messages, as a batch has to.

    What `judge` raises is about the account: raised where no message has an answer of its own,
    else those concerned have not been taken, and the others count.
    """
    results: list[SendResult | ProviderError] = []
    for answer in answers:
        try:
            results.append(judge(answer) if isinstance(answer, Answer) else _open(answer))
        except ProviderError as error:
            results.append(error)
    troubles = [result for result in results if isinstance(result, ProviderError)]
    if troubles and len(troubles) == len(results):
        raise troubles[0]
    return [_not_taken(r) if isinstance(r, ProviderError) else r for r in results]


def _open(found: Unanswered | UnansweredError) -> SendResult:
    if found is Unanswered.NOT_TAKEN:
        return SendResult(status=SendStatus.THROTTLED, raw=Unanswered.NOT_TAKEN.value)
    return SendResult(status=SendStatus.UNKNOWN, raw=words_of(found))


def words_of(found: Unanswered | UnansweredError) -> str:
    """Say why there is no answer."""
    return found.value if isinstance(found, Unanswered) else str(found)


def _not_taken(error: ProviderError) -> SendResult:
    return SendResult(status=SendStatus.THROTTLED, raw=error.raw or str(error))
