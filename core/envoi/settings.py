"""The installation's settings: typed, documented once, read from `ENVOI_*` variables."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from envoi.errors import ConfigurationError


class Settings(BaseSettings):
    """Every setting of an installation; what a tenant sets is in the database instead.

    The descriptions are the documentation: `envoi settings` and `docs/operators/settings.md`
    are made from them.
    """

    model_config = SettingsConfigDict(env_prefix="ENVOI_", frozen=True, extra="ignore")

    port: int = Field(8000, ge=1, le=65535, description="Port of the web pages.")
    tracking_port: int = Field(
        0, ge=0, le=65535, description="Port of tracking and webhooks; 0 is the web port plus 1."
    )
    host: str = Field("127.0.0.1", description="Address that web and tracking listen on.")
    base_url: str = Field("", description="Public address of the pages; empty is http://host:port.")
    tracking_url: str = Field(
        "", description="Public address in links of messages; empty is http://host:tracking_port."
    )
    data_dir: Path = Field(
        Path("var"),
        description="Folder of the embedded servers, keys, uploads and flight recorders.",
    )
    database_url: SecretStr = Field(
        SecretStr(""), description="PostgreSQL 17+ as its owner; empty starts the embedded one."
    )
    app_role: str = Field(
        "envoi_app",
        pattern=r"^[a-z_][a-z0-9_]{0,62}$",
        description="Role that every tenant's work runs as.",
    )
    redis_url: SecretStr = Field(
        SecretStr(""),
        description="Redis or Valkey for the queue; empty starts the embedded Valkey.",
    )
    secret_key: SecretStr = Field(
        SecretStr(""),
        description="Signs sessions and encrypts secrets; empty keeps one in the data folder.",
    )
    former_secret_keys: tuple[SecretStr, ...] = Field(
        (),
        description="Secret keys of before, a JSON list: links and stored passwords made with "
        "them stay valid.",
    )
    message_domain: str = Field(
        "envoi.test", description="Domain of Message-ID and of the return path (VERP) of emails."
    )
    inbound_host: str = Field(
        "127.0.0.1", description="Address that the listener for bounces (LMTP and SMTP) listens on."
    )
    inbound_port: int = Field(
        0, ge=0, le=65535, description="Port of that listener; 0 is the web port plus 3."
    )
    inbound_connections: int = Field(
        50, ge=1, le=1_000, description="Connections that listener serves at once; others get 421."
    )
    inbound_days: int = Field(
        30, ge=1, le=365, description="Days that bounces and complaints are kept as they came."
    )
    mailbox_url: SecretStr = Field(
        SecretStr(""),
        description="Mailbox of the return path, imaps://user:password@host/INBOX (or"
        " imap+starttls); empty reads none.",
    )
    mailbox_seconds: int = Field(
        60, ge=5, le=3600, description="How often that mailbox is looked into."
    )
    mail_url: SecretStr = Field(
        SecretStr(""),
        description="Server for password resets, smtp://user:password@host:port (or "
        "smtp+starttls); empty writes them to the log.",
    )
    smtp_demo_port: int = Field(
        0, ge=0, le=65535, description="Port of the demo's SMTP server; 0 is the web port plus 2."
    )
    simulators_port: int = Field(
        0,
        ge=0,
        le=65532,
        description="Port of the demo's virtual phones, on 127.0.0.1; the three after it are the"
        " simulated providers of SMS, of HTTP interfaces and of push. 0 is the web port plus 5.",
    )
    worker_processes: int = Field(
        2, ge=1, le=64, description="Sending processes of one `envoi worker`."
    )
    worker_threads: int = Field(
        4, ge=1, le=64, description="Sending threads, each with a connection, per process."
    )
    plugin_seconds: float = Field(
        60,
        gt=0,
        le=3600,
        description="Seconds that a call into a plugin may last before its mailing is paused;"
        " providers name their own.",
    )
    block_size: int = Field(250, ge=1, le=500, description="Messages a sender claims at a time.")
    domain_limits: dict[str, float] = Field(
        {},
        description="Messages a second to a recipients' domain, of all companies together, a JSON"
        ' object such as {"gmail.com": 20}.',
    )
    metrics_host: str = Field(
        "127.0.0.1", description="Address that the metrics for Prometheus are served on."
    )
    metrics_port: int = Field(
        0, ge=0, le=65535, description="Port of the metrics; 0 is the web port plus 4."
    )
    metrics_token: SecretStr = Field(
        SecretStr(""),
        description="Bearer token that a scrape must send; may be empty on 127.0.0.1 only.",
    )
    log_format: Literal["", "json", "text"] = Field(
        "", description="json or text; empty writes JSON unless a terminal reads it."
    )
    undo_seconds: int = Field(
        60, ge=0, le=3600, description="Grace after the start is confirmed, to undo it."
    )
    upload_days: int = Field(
        7, ge=1, le=365, description="Days that an imported file is kept after its import."
    )
    private_servers: bool = Field(
        True,
        description="Whether gateways may be on this machine and in private networks; say false"
        " where companies that do not trust each other share the installation.",
    )
    demo: bool = Field(
        True, description="Load the demo tenant on the first start and run the demo SMTP server."
    )

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    def secrets(self) -> list[str]:
        """Every value that is not to be seen, and the passwords in addresses."""
        values = [value for _, value in self if isinstance(value, SecretStr)]
        found = [value.get_secret_value() for value in (*values, *self.former_secret_keys)]
        return [*found, *(unquote(urlsplit(url).password or "") for url in found if "://" in url)]

    @cached_property
    def web_url(self) -> str:
        """The pages' public address without a slash at the end."""
        return self.base_url.rstrip("/") or f"http://{self.host}:{self.port}"

    @cached_property
    def effective_tracking_port(self) -> int:
        """The port tracking really listens on."""
        return self.tracking_port or self.port + 1

    @cached_property
    def effective_smtp_port(self) -> int:
        """The port the demo's SMTP server really listens on."""
        return self.smtp_demo_port or self.port + 2

    @cached_property
    def effective_inbound_port(self) -> int:
        """The port the listener for bounces really listens on."""
        return self.inbound_port or self.port + 3

    @cached_property
    def effective_metrics_port(self) -> int:
        """The port the metrics are really served on."""
        return self.metrics_port or self.port + 4

    @cached_property
    def effective_simulators_port(self) -> int:
        """The port of the virtual phones; the simulated providers have the next three."""
        return self.simulators_port or self.port + 5

    @cached_property
    def links_url(self) -> str:
        """The address that links in messages begin with, without a slash at the end."""
        return self.tracking_url.rstrip("/") or f"http://{self.host}:{self.effective_tracking_port}"


def load_settings(**overrides: object) -> Settings:
    """Read the settings; raise `ConfigurationError` that names each wrong variable."""
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        lines = [f"ENVOI_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors()]
        raise ConfigurationError("Wrong settings. " + "; ".join(lines)) from None
    except SettingsError as error:
        raise ConfigurationError(f"Wrong settings. {error}: it is not JSON.") from None
