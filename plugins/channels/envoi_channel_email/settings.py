"""What an administrator fills in for an SMTP gateway."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from socket import getfqdn

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from envoi.outgoing import VerifyCertificate
from envoi.types import DnsRecord
from envoi_channel_email.dkim import DkimSigner, read_key


class Security(StrEnum):
    """How the connection is protected."""

    NONE = "none"
    STARTTLS = "starttls"
    TLS = "tls"

    @property
    def label(self) -> str:
        """What a person chooses."""
        return "Not protected" if self is Security.NONE else self.value.upper()


class SmtpSettings(BaseModel):
    """An SMTP server and how to talk to it; the time-outs are those of RFC 5321, in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(
        min_length=1,
        max_length=253,
        pattern=r"^[^\s/@]+$",
        title="Server",
        description="Its name, such as smtp.example.com.",
    )
    port: int = Field(
        587, ge=1, le=65535, title="Port", description="587 with STARTTLS, 465 with TLS."
    )
    security: Security = Field(Security.STARTTLS, title="Security")
    verify_certificate: VerifyCertificate = True
    username: str = Field("", max_length=200, title="User name")
    password: SecretStr = Field(
        SecretStr(""), max_length=1_000, title="Password", json_schema_extra={"sent_to": "host"}
    )
    helo_name: str = Field(
        "",
        max_length=253,
        pattern=r"^[A-Za-z0-9.:\[\]-]*$",
        title="Introduce as",
        description="The name given with EHLO. Empty: the name of this machine.",
    )
    messages_per_connection: int = Field(
        1_000,
        ge=1,
        le=1_000_000,
        title="Messages per connection",
        description="After so many a new one is opened.",
    )
    dkim_domain: str = Field(
        "",
        max_length=253,
        pattern=r"^([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9-]+)+)?$",
        title="DKIM domain",
        description="The domain that signs, best that of the sender address. Empty: nothing is"
        " signed here.",
    )
    dkim_selector: str = Field(
        "",
        max_length=63,
        pattern=r"^([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?)?$",
        title="DKIM selector",
        description="Names the key, such as envoi2026.",
    )
    dkim_key: SecretStr = Field(
        SecretStr(""),
        max_length=20_000,
        title="DKIM private key",
        description="In PEM form, RSA of 2048 bits or Ed25519.",
        json_schema_extra={"lines": 6},
    )
    connect_timeout: float = Field(
        30, gt=0, le=600, title="Time to connect", description="In seconds."
    )
    reply_timeout: float = Field(
        300, gt=0, le=600, title="Time to answer a command", description="In seconds."
    )
    data_timeout: float = Field(
        120, gt=0, le=600, title="Time to take a message's data", description="In seconds."
    )
    final_timeout: float = Field(
        600,
        gt=0,
        le=3600,
        title="Time to confirm a message",
        description="In seconds. It may rightly take 10 minutes; a shorter wait makes duplicates.",
    )

    @field_validator("username")
    @classmethod
    def _no_nul(cls, value: str) -> str:
        if "\0" in value:
            raise ValueError("A user name holds no NUL.")
        return value

    @model_validator(mode="after")
    def _protect_the_password(self) -> SmtpSettings:
        if self.username and self.security is Security.NONE:
            raise ValueError("A password is sent over TLS only. Choose STARTTLS or TLS.")
        return self

    @model_validator(mode="after")
    def _sign_with_everything(self) -> SmtpSettings:
        given = (self.dkim_domain, self.dkim_selector, self.dkim_key.get_secret_value())
        if any(given[:2]) and not all(given):
            raise ValueError("DKIM needs a domain, a selector and a private key. Fill in all.")
        if self.dkim_domain:
            read_key(given[2])
        return self

    @property
    def signer(self) -> DkimSigner | None:
        """Signs messages, where that is set up."""
        if not self.dkim_domain:
            return None
        key = read_key(self.dkim_key.get_secret_value())
        return DkimSigner(self.dkim_domain.lower(), self.dkim_selector.lower(), key)

    @property
    def introduction(self) -> str:
        """The name given with EHLO."""
        return self.helo_name or getfqdn()


def dns_records(settings: SmtpSettings) -> Sequence[DnsRecord]:
    """Return the record by which others check our signatures."""
    signer = settings.signer
    if signer is None:
        return ()
    purpose = "Mailbox providers check the DKIM signature with it."
    return [DnsRecord(name=signer.record_name, type="TXT", value=signer.record, purpose=purpose)]
