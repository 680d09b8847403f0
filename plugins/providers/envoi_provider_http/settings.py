"""What an administrator fills in to describe any provider's HTTP interface."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from envoi.types import EventType
from envoi_provider_http.filling import NAMES, Kind, filled, names_in


class Method(StrEnum):
    """How messages are handed over."""

    POST = "POST"
    GET = "GET"
    PUT = "PUT"

    @property
    def label(self) -> str:
        """What a person chooses."""
        return self.value


class Proof(StrEnum):
    """How a report shows that it is the provider's."""

    HEADER = "header"
    HMAC = "hmac"
    QUERY = "query"

    @property
    def label(self) -> str:
        """What a person chooses."""
        return {
            Proof.HEADER: "The secret in a header",
            Proof.HMAC: "HMAC-SHA256 of the body in a header",
            Proof.QUERY: "The secret in the address, as ?secret=",
        }[self]


class Means(StrEnum):
    """What a provider's word for a message's state can mean."""

    DELIVERED = EventType.DELIVERED
    READ = EventType.READ
    FAILED = EventType.FAILED
    DEFERRED = EventType.DEFERRED


_EXAMPLES = dict.fromkeys(NAMES, "x") | dict.fromkeys(("digits", "parts", "lifetime"), "1")
"""Only numbers may stand in JSON without quotes: a text could say more than its own field."""

_PLACE = "A path in JSON, such as result.0.id, or the text around it, such as id={}&."


class HttpSettings(BaseModel):
    """A provider's interface in words: what is sent, and where the answer stands."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(
        min_length=8,
        max_length=1_000,
        title="Address",
        description="May hold {phone}, {digits}, {text}, {sender}, {key}, {parts}, {lifetime} and"
        " {secret}, as the next fields.",
    )
    method: Method = Field(Method.POST, title="Method")
    kind: Kind = Field(Kind.JSON, title="Body")
    body: str = Field(
        '{"to": "{phone}", "from": "{sender}", "text": "{text}", "id": "{key}"}',
        max_length=5_000,
        title="Template of the body",
        json_schema_extra={"lines": 4},
    )
    headers: str = Field(
        "Authorization: Bearer {secret}",
        max_length=2_000,
        title="Headers",
        description="One a line.",
        json_schema_extra={"lines": 3},
    )
    secret: SecretStr = Field(
        SecretStr(""),
        max_length=1_000,
        title="Password or key",
        description="Stands where {secret} is written.",
        json_schema_extra={"sent_to": "url"},
    )
    sender: str = Field("", max_length=20, title="Usual sender")
    key_header: str = Field(
        "",
        max_length=100,
        pattern=r"^[A-Za-z0-9-]*$",
        title="Header of the key",
        description="Where the provider takes a message with the same key only once.",
    )
    id_at: str = Field("id", max_length=200, title="Where the number stands", description=_PLACE)
    status_at: str = Field("", max_length=200, title="Where the answer's word stands")
    code_at: str = Field("", max_length=200, title="Where the error's number stands")
    taken: str = Field(
        "", max_length=500, title="Words for taken", description="Separated by commas. Empty: any."
    )
    again: str = Field("", max_length=500, title="Words for try again")
    timeout: float = Field(30, gt=0, le=120, title="Time to answer", description="In seconds.")
    test_url: str = Field(
        "",
        max_length=1_000,
        title="Address to test",
        description="Asked by GET, such as the balance. Empty: only whether the server is there.",
    )
    report_id_at: str = Field("id", max_length=200, title="Reports: where the number stands")
    report_key_at: str = Field("", max_length=200, title="Reports: where our key stands")
    report_status_at: str = Field("status", max_length=200, title="Reports: where the state stands")
    report_words: dict[str, Means] = Field(
        default_factory=lambda: {"delivered": Means.DELIVERED, "failed": Means.FAILED},
        max_length=50,
        title="Reports: what states mean",
        description="One a line: the provider's word, and delivered, read, failed or deferred.",
    )
    reply_phone_at: str = Field(
        "", max_length=200, title="Replies: where the customer's number stands"
    )
    reply_text_at: str = Field(
        "",
        max_length=200,
        title="Replies: where the text stands",
        description="Replies come to the same address as reports, and have no state.",
    )
    report_proof: Proof = Field(Proof.HEADER, title="Reports: shown to be genuine by")
    report_header: str = Field("X-Secret", max_length=100, title="Reports: header of the proof")
    report_secret: SecretStr = Field(
        SecretStr(""),
        max_length=1_000,
        title="Reports: secret",
        description="Without it no report is taken.",
    )

    @property
    def header_lines(self) -> list[tuple[str, str]]:
        """The headers as pairs."""
        lines = (line.partition(":") for line in self.headers.splitlines() if line.strip())
        return [(name.strip(), value.strip()) for name, _, value in lines]

    @model_validator(mode="after")
    def _is_one_server(self) -> Self:
        for url in filter(None, (self.url, self.test_url)):
            found = urlsplit(url)
            if found.scheme not in ("http", "https") or not found.hostname or "{" in found.netloc:
                raise ValueError("An address begins with https:// and the server's name.")
            if "@" in found.netloc:
                raise ValueError("An address is shown to everybody. Put a password into headers.")
        if self.test_url and urlsplit(self.test_url)[:2] != urlsplit(self.url)[:2]:
            raise ValueError("The address to test is on another server, which gets no secret.")
        if names_in(self.test_url) - {"secret"}:
            raise ValueError("The address to test holds {secret} only.")
        return self

    @model_validator(mode="after")
    def _can_be_filled(self) -> Self:
        for text in (self.url, self.body, self.headers):
            if unknown := names_in(text) - NAMES:
                raise ValueError(f"Nothing is called {min(unknown)}. Choose one of the names.")
        if any(not name.isascii() or not name for name, _ in self.header_lines):
            raise ValueError("A header is a name, a colon and a value.")
        if names_in(self.headers) - {"key", "digits", "phone", "secret"}:
            raise ValueError("Headers hold {key}, {digits}, {phone} and {secret} only.")
        if self.kind is Kind.JSON and self.body:
            try:
                json.loads(filled(self.body, _EXAMPLES, Kind.JSON))
            except ValueError:
                raise ValueError("The template of the body is no JSON. Correct it.") from None
        return self
