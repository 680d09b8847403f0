"""Promo codes: groups of codes, issued by a macro once for each message that is really sent."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from envoi import hookimpl
from envoi.sending import DeliveryBatch
from envoi.types import (
    ApiMethod,
    CustomerPanel,
    MacroSpec,
    MenuItem,
    SegmentSourceSpec,
    SettingsSpec,
)
from envoi_module_promo_codes import api
from envoi_module_promo_codes.criteria import ISSUED
from envoi_module_promo_codes.issued import ISSUED_CODES
from envoi_module_promo_codes.issuing import PROMO_CODE, note_sent
from envoi_module_promo_codes.settings import SETTINGS, PromoCodeSettings

if TYPE_CHECKING:
    from envoi.webkit import Blueprint


@hookimpl
def register_macros() -> Iterable[MacroSpec]:
    """Bring `promo_code("group")`."""
    return [PROMO_CODE]


@hookimpl
def register_migrations() -> Iterable[Path]:
    """Bring the tables of groups and codes."""
    return sorted((Path(__file__).parent / "migrations").glob("*.sql"))


@hookimpl
def register_segment_sources() -> Iterable[SegmentSourceSpec]:
    """Bring the condition on codes that were issued."""
    return [ISSUED]


@hookimpl
def register_settings() -> Iterable[SettingsSpec[PromoCodeSettings]]:
    """Bring the number of codes below which a group is short of them."""
    return [SETTINGS]


@hookimpl
def register_blueprints() -> Iterable[Blueprint]:
    """Bring the pages of groups."""
    # Senders load this plugin and do without pages.
    from envoi_module_promo_codes.pages import promo_codes

    return [promo_codes]


@hookimpl
def register_menu_items() -> Iterable[MenuItem]:
    """Bring the link to the groups."""
    return [
        MenuItem(
            name="promo_codes",
            label="Promo codes",
            section="promo_codes",
            endpoint="promo_codes.index",
        )
    ]


@hookimpl
def register_customer_panels() -> Iterable[CustomerPanel]:
    """Bring the codes that a customer was given."""
    return [ISSUED_CODES]


@hookimpl
def register_api_methods() -> Iterable[ApiMethod]:
    """Bring what other systems do with groups."""
    return api.METHODS


@hookimpl
def delivery_recorded(batch: DeliveryBatch) -> None:
    """Note which codes have left."""
    note_sent(batch)
