"""Promo codes: groups of codes, issued by a macro once for each message that is really sent."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from envoi import hookimpl
from envoi.sending import DeliveryBatch
from envoi.types import MacroSpec, SegmentSourceSpec
from envoi_module_promo_codes.criteria import ISSUED
from envoi_module_promo_codes.issuing import PROMO_CODE, note_sent


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
def delivery_recorded(batch: DeliveryBatch) -> None:
    """Note which codes have left."""
    note_sent(batch)
