"""Rules of communication policies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from envoi.types.base import Descriptor

if TYPE_CHECKING:
    from envoi.sql import RuleColumns, SqlCondition


class Need(StrEnum):
    """What a rule kind may ask of the core; each is computed once for all rules that need it."""

    CUSTOMER = "customer"
    MESSAGE_COUNT = "message_count"
    LAST_CONTACT = "last_contact"
    ZONE_CLOCK = "zone_clock"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule's answer for every candidate at once, as row expressions.

    `blocked` true leaves the customer out; else `deferred_until` not null makes the message
    due then. Block beats defer beats allow. `reason` is a stable code, listed in the plugin's
    documentation, stored with the message.
    """

    reason: str
    blocked: SqlCondition | None = None
    deferred_until: SqlCondition | None = None


@dataclass(frozen=True, kw_only=True)
class NeedRequest:
    """One need with its parameters: `window_hours`, `channels` and `categories` narrow counts."""

    need: Need
    window_hours: int | None = None
    channels: tuple[str, ...] = ()
    categories: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RuleKindSpec(Descriptor):
    """A kind of rule for communication policies: settings, needs, and the rule itself."""

    settings: type[BaseModel]
    needs: Callable[[Any], Sequence[NeedRequest]]
    rule: Callable[[Any, RuleColumns], Rule]
    reasons: Mapping[str, str]
    """Each reason code with the sentence shown for it."""
    describe: Callable[[Any], str] = field(default=lambda settings: str(settings))
    order: int = 100
