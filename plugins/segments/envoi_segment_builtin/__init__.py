"""The segment sources that Envoi ships: attributes, custom fields, receipts, segments."""

from __future__ import annotations

from collections.abc import Iterable

from envoi import hookimpl
from envoi.types import SegmentSourceSpec
from envoi_segment_builtin import attributes, receipts, whole


@hookimpl
def register_segment_sources() -> Iterable[SegmentSourceSpec]:
    """Bring the built-in sources in the order in which the builder offers them."""
    return [
        attributes.ATTRIBUTES,
        attributes.CUSTOM_FIELDS,
        receipts.RECEIPTS,
        whole.SEGMENTS,
        whole.ALL_CUSTOMERS,
    ]
