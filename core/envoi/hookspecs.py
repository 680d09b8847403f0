"""Every seam of Envoi: what a plugin may register, one sentence each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pluggy

from envoi.types import (
    ApiMethod,
    ChannelSpec,
    CustomerPanel,
    LimitSpec,
    MacroSpec,
    MenuItem,
    ProviderSpec,
    RuleKindSpec,
    SegmentSourceSpec,
    SettingsSpec,
)

if TYPE_CHECKING:
    from pathlib import Path

    from dramatiq import Broker
    from flask import Blueprint

    from envoi.sending import DeliveryBatch

hookspec = pluggy.HookspecMarker("envoi")


@hookspec
def register_channels() -> Iterable[ChannelSpec]:  # type: ignore[empty-body]
    """Bring channels: what a marketer fills in and how it becomes messages."""


@hookspec
def register_providers() -> Iterable[ProviderSpec]:  # type: ignore[empty-body]
    """Bring providers: kinds of accounts through which a channel's messages leave."""


@hookspec
def register_rule_kinds() -> Iterable[RuleKindSpec]:  # type: ignore[empty-body]
    """Bring kinds of rules for communication policies."""


@hookspec
def register_segment_sources() -> Iterable[SegmentSourceSpec]:  # type: ignore[empty-body]
    """Bring conditions that segments can be built from."""


@hookspec
def register_limits() -> Iterable[LimitSpec]:  # type: ignore[empty-body]
    """Bring limits on what leaves through a gateway, such as the warm-up of an IP address."""


@hookspec
def register_macros() -> Iterable[MacroSpec]:  # type: ignore[empty-body]
    """Bring macros of templates, such as a promo code for each message that is really sent."""


@hookspec
def register_migrations() -> Iterable[Path]:  # type: ignore[empty-body]
    """Bring SQL files that make a module's own tables, in the order in which they are run."""


@hookspec
def register_settings() -> Iterable[SettingsSpec[Any]]:  # type: ignore[empty-body]
    """Bring what a company can set of the plugin, as a form on the plugin's page."""


@hookspec
def register_blueprints() -> Iterable[Blueprint]:  # type: ignore[empty-body]
    """Bring pages; closed unless a view declares its permission."""


@hookspec
def register_menu_items() -> Iterable[MenuItem]:  # type: ignore[empty-body]
    """Bring links for the left menu."""


@hookspec
def register_customer_panels() -> Iterable[CustomerPanel]:  # type: ignore[empty-body]
    """Bring parts of a customer's page, such as the promo codes that were issued."""


@hookspec
def register_api_methods() -> Iterable[ApiMethod]:  # type: ignore[empty-body]
    """Bring methods of the API, for other systems of the company."""


@hookspec
def register_actors(broker: Broker) -> None:
    """Bring background jobs, bound to the given broker."""


@hookspec
def delivery_recorded(batch: DeliveryBatch) -> None:
    """Observe what became of messages, after it was recorded; it harms no sending."""
