"""What an administrator fills in for an SMTP gateway."""

from __future__ import annotations

from enum import StrEnum
from socket import getfqdn

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator


class Security(StrEnum):
    """How the connection is protected."""

    NONE = "none"
    STARTTLS = "starttls"
    TLS = "tls"


class SmtpSettings(BaseModel):
    """An SMTP server and how to talk to it; the time-outs are those of RFC 5321, in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(min_length=1, max_length=253, pattern=r"^[^\s/@]+$")
    port: int = Field(587, ge=1, le=65535)
    security: Security = Security.STARTTLS
    verify_certificate: bool = True
    username: str = Field("", max_length=200)
    password: SecretStr = SecretStr("")
    helo_name: str = Field("", max_length=253, pattern=r"^[A-Za-z0-9.:\[\]-]*$")
    """How we introduce ourselves; empty is this machine's name."""
    connect_timeout: float = Field(30, gt=0, le=600)
    reply_timeout: float = Field(300, gt=0, le=600)
    data_timeout: float = Field(120, gt=0, le=600)
    final_timeout: float = Field(600, gt=0, le=3600)
    """A final dot may rightly take 10 minutes; a shorter wait manufactures duplicates."""

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

    @property
    def introduction(self) -> str:
        """The name given with EHLO."""
        return self.helo_name or getfqdn()
