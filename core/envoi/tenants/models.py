"""Tables of tenants; those without row-level security give the reason in `envoi.schema`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
)
from sqlmodel import Field, SQLModel

from envoi.columns import (
    big,
    document,
    identity_key,
    moment,
    share,
    small,
    tenant_key,
    text_key,
    whole,
    words,
    yes_no,
)


class Tenant(SQLModel, table=True):
    """A company. No RLS: it is read before the tenant is known, and holds only the name."""

    __tablename__ = "tenant"
    id: int = Field(default=None, sa_column=Column(Integer, Identity(), primary_key=True))
    slug: str = Field(sa_column=Column(Text, nullable=False, unique=True))
    name: str = words()
    created_at: datetime = moment(nullable=False, now=True)


class TenantSettings(SQLModel, table=True):
    """What a company sets in General settings; one row a tenant.

    `senders` lists further senders as `{"name": ..., "address": ...}`; the window is in minutes
    of the company's day; `daily_limit` is the load a day may carry; `quiet_days` lists
    `{"date": ..., "name": ...}`; `design` is a `Design` document of the public pages. Above
    `approval_from` recipients a senior starts a mailing, `approval_always` a second person.
    `unconfirmed_resend` tells by channel whether messages of unknown outcome are sent again; a
    channel that is not there keeps its own contract. `sender_names` are by channel, for messages
    whose mailing and gateway name no sender; `stop_words` mean an opt-out besides the usual ones.
    """

    __tablename__ = "tenant_settings"
    tenant_id: int = tenant_key()
    time_zone: str = words("Europe/Berlin")
    currency: str = words("EUR")
    locale: str = words("en")
    sender_name: str = words()
    sender_address: str = words()
    reply_to: str = words()
    postal_address: str = words()
    default_country: str = words("DE")
    lifetime_minutes: int = whole(4320)
    attribution_days: int = small(14)
    unconfirmed_resend: dict[str, bool] = document()
    test_customer_id: int | None = big(nullable=True)
    site: str = words()
    contact_name: str = words()
    contact_phone: str = words()
    contact_email: str = words()
    senders: list[dict[str, str]] = document("[]")
    window_from: int | None = small(None, nullable=True)
    window_until: int | None = small(None, nullable=True)
    limit_per_minute: int | None = whole(None, nullable=True)
    daily_limit: int | None = whole(None, nullable=True)
    undo_seconds: int | None = small(None, nullable=True)
    utm: dict[str, str] = document()
    quiet_days: list[dict[str, str]] = document("[]")
    watcher_group_id: int | None = big(nullable=True)
    approval_from: int = whole(50_000)
    approval_always: bool = yes_no()
    design: dict[str, Any] = document()
    pause_bounce_share: float = share(5.0)
    pause_complaint_share: float = share(0.3)
    pause_after: int = whole(200)
    sender_names: dict[str, str] = document()
    stop_words: list[str] = document("[]")


class WatcherGroup(SQLModel, table=True):
    """People outside the customer base who get copies of mailings; lists of addresses."""

    __tablename__ = "watcher_group"
    __table_args__ = (UniqueConstraint("tenant_id", "name"),)
    tenant_id: int = tenant_key()
    id: int = identity_key()
    name: str = words(None)
    emails: list[str] = document("[]")
    phones: list[str] = document("[]")
    pushes: list[str] = document("[]")
    created_at: datetime = moment(nullable=False, now=True)


class EnabledPlugin(SQLModel, table=True):
    """A plugin switched on or off for a tenant; `name` is the entry point's name.

    Without a row ours are on and those of partners are off.
    """

    __tablename__ = "enabled_plugin"
    tenant_id: int = tenant_key()
    name: str = text_key()
    is_on: bool = yes_no(default=True)
    enabled_at: datetime = moment(nullable=False, now=True)


class PluginSettings(SQLModel, table=True):
    """What a tenant has set of a plugin, by the name of its `SettingsSpec`."""

    __tablename__ = "plugin_settings"
    tenant_id: int = tenant_key()
    name: str = text_key()
    settings: dict[str, Any] = document()
    secrets: bytes = Field(b"", sa_column=Column(LargeBinary, nullable=False))
    changed_at: datetime = moment(nullable=False, now=True)


class PluginMigration(SQLModel, table=True):
    """A file of SQL by which a module made tables of its own. No RLS: written by the owner."""

    __tablename__ = "plugin_migration"
    plugin: str = text_key()
    name: str = text_key()
    tables: list[str] = document("[]")
    applied_at: datetime = moment(nullable=False, now=True)


class DueWork(SQLModel, table=True):
    """Work that falls due, announced in the transaction that makes it due.

    No RLS: the scheduler reads it for all tenants at once. Holds only numbers. What is urgent
    goes before the rest of its tenant.
    """

    __tablename__ = "due_work"
    __table_args__ = (UniqueConstraint("tenant_id", "kind", "ref"), Index(None, "due_at"))
    id: int = identity_key()
    due_at: datetime = moment(nullable=False)
    tenant_id: int = Field(sa_column=Column(Integer, nullable=False))
    kind: str = words(None)
    ref: int = big()
    urgent: bool = yes_no()


class InboundRoute(SQLModel, table=True):
    """Finds the tenant of a webhook or bounce by an opaque key, before the tenant is known."""

    __tablename__ = "inbound_route"
    key: str = Field(sa_column=Column(Text, primary_key=True))
    tenant_id: int = Field(sa_column=Column(Integer, ForeignKey("tenant.id"), nullable=False))
    kind: str = words(None)
    ref: int = big()


class TimeZone(SQLModel, table=True):
    """Known time zones by a short number. No RLS: the same for everybody."""

    __tablename__ = "time_zone"
    id: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    name: str = Field(sa_column=Column(Text, nullable=False, unique=True))
