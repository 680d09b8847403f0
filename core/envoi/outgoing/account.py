"""Accounts of web services: what is the same for every provider that has an HTTP interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import closing
from time import monotonic
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from envoi.errors import PermanentProviderError, TemporaryProviderError
from envoi.http1 import ANSWER_SECONDS, Http1Client
from envoi.outgoing.exchange import Client, Request, Result, judged, words_of
from envoi.outgoing.http import Answer
from envoi.types import Outgoing, SendResult, SendStatus

TEST_SECONDS = 10.0
LONGEST_REST = 3_600.0
"""For so long an account keeps to itself that it was asked to wait, whatever it was asked."""

_STRANGE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What reading an answer raises that is not as documented."""

Address = Annotated[str, Field(pattern=r"^https?://[^\s/?#@]+$", max_length=200, title="Address")]
TestAddress = Annotated[
    str,
    Field(
        pattern=r"^(https?://[^\s/?#@]+)?$",
        max_length=200,
        title="Address of the service",
        description="Leave it empty; only a test server has one.",
    ),
]
Secret = Annotated[SecretStr, Field(max_length=500, json_schema_extra={"sent_to": "url"})]
Sender = Annotated[
    str,
    Field(
        max_length=20,
        title="Usual sender",
        description="As it is approved, for messages that name none.",
    ),
]
Seconds = Annotated[float, Field(gt=0, le=120, title="Time to answer", description="In seconds.")]


class AccountSettings(BaseModel):
    """What an administrator fills in; the form is made of the titles and descriptions."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class WebAccount(ABC):
    """An account of a service: a provider says what is sent, and what the answers mean.

    Answers about the account are read here, and so is what has to wait.

    Args:
        url: Where the service is; the paths of requests stand behind it.
        seconds: How long an answer may take.
    """

    name: str
    """The service, as sentences call it."""
    advice: str
    """What to check where it refuses the account: a sentence such as "Check the API key."."""
    batch_size: ClassVar[int] = 1
    """How many messages are handed over at once."""
    quota_seconds: ClassVar[float | None] = None
    """How long to wait after too many requests where the service does not say it; None: the
    messages go again at a slower tempo."""
    client: ClassVar[type[Client]] = Http1Client

    def __init__(self, url: str, seconds: float = ANSWER_SECONDS) -> None:
        self._url, self._seconds = url, seconds
        self._rests_until = 0.0
        self.has_taken = False
        """Whether a message was taken, so that what is unknown is not the account."""

    @abstractmethod
    def question(self) -> Request:
        """Write what *Test connection* asks; it must send nothing to anybody."""

    @abstractmethod
    def written(self, message: Outgoing) -> Request:
        """Write the request that hands a message over."""

    @abstractmethod
    def meaning(self, answer: Answer) -> SendResult:
        """Say what an answer means for its message.

        What cannot be read may raise `ValueError` and its like: the message may have been taken
        then, which is `SendStatus.UNKNOWN`.
        """

    def is_well(self, answer: Answer) -> bool:
        """Whether the answer to the question shows that the account is good."""
        return answer.status < 300 and not self.is_refused(answer)

    def is_refused(self, answer: Answer) -> bool:
        """Whether an answer refuses the account, whatever message it was given for."""
        return answer.status in (401, 402, 403, 404, 405) or 300 <= answer.status < 400

    def is_busy(self, answer: Answer) -> bool:
        """Whether the service asks all messages to wait."""
        return answer.status == 503 or (answer.status == 429 and self._wait(answer) is not None)

    def connect(self) -> WebConnection:
        """Open a connection; raise `ProviderError` when that fails."""
        client = self.client(self._url, self._seconds)
        try:
            client.connect()
        except BaseException:
            client.close()
            raise
        return WebConnection(self, client)

    def test(self) -> str:
        """Ask the question, and return the service's own words."""
        with closing(self.client(self._url, min(self._seconds, TEST_SECONDS))) as client:
            [answer] = self.exchange(client, [self.question()])
        if not isinstance(answer, Answer):
            raise TemporaryProviderError(words_of(answer))
        if self.is_well(answer):
            return f"{self.name} answered as it should: {answer.raw}"
        self._require_account(answer)
        words = f"{self.name} does not answer as it should. Check the address, or try again later."
        raise TemporaryProviderError(words, raw=answer.raw)

    def hand_over(self, client: Client, messages: Sequence[Outgoing]) -> Sequence[SendResult]:
        """Hand messages over, each by a request of its own; see `envoi.types.BatchConnection`."""
        return judged(self.exchange(client, list(map(self.written, messages))), self.judge)

    def exchange(self, client: Client, requests: Sequence[Request]) -> list[Result]:
        """Send requests; while the service asked us to wait, raise instead."""
        if (left := self._rests_until - monotonic()) > 0:
            raise TemporaryProviderError(f"{self.name} asked us to wait.", retry_after=left)
        return client.exchange(requests)

    def judge(self, answer: Answer) -> SendResult:
        """Say what an answer means for its message; raise where it is about the account."""
        try:
            self._require_account(answer)
            result = self.meaning(answer)
        except _STRANGE:
            return SendResult(status=SendStatus.UNKNOWN, code=answer.status, raw=answer.raw)
        self.has_taken = self.has_taken or result.status is SendStatus.ACCEPTED
        return result

    def refusal(self, answer: Answer) -> PermanentProviderError:
        """Say that the service does not take the account, and what to check."""
        return PermanentProviderError(
            f"{self.name} refuses the account or the address (HTTP {answer.status}). {self.advice}",
            raw=answer.raw,
        )

    def _require_account(self, answer: Answer) -> None:
        if self.is_refused(answer):
            raise self.refusal(answer)
        if self.is_busy(answer):
            wait = self._wait(answer)
            self._rests_until = max(self._rests_until, monotonic() + min(wait or 0, LONGEST_REST))
            words = f"{self.name} asks us to wait (HTTP {answer.status})."
            raise TemporaryProviderError(words, raw=answer.raw, retry_after=wait)

    def _wait(self, answer: Answer) -> float | None:
        if answer.retry_after is None and answer.status == 429:
            return self.quota_seconds
        return answer.retry_after


class WebConnection:
    """A kept connection of an account; see `envoi.types.BatchConnection`."""

    def __init__(self, account: WebAccount, client: Client) -> None:
        self._account, self._client = account, client
        self.batch_size = account.batch_size

    def send(self, message: Outgoing) -> SendResult:
        """Hand one message over."""
        return self.send_batch([message])[0]

    def send_batch(self, messages: Sequence[Outgoing]) -> Sequence[SendResult]:
        """Hand messages over; raise only where the service has taken or refused none of them."""
        return self._account.hand_over(self._client, messages)

    def close(self) -> None:
        """Hang up."""
        self._client.close()


def by_status(answer: Answer) -> SendResult:
    """Say what an answer means that only its status tells of."""
    status = SendStatus.REFUSED if 400 <= answer.status < 500 else SendStatus.UNKNOWN
    if answer.status == 429:
        status = SendStatus.THROTTLED
    return SendResult(status=status, code=answer.status, raw=answer.raw)
