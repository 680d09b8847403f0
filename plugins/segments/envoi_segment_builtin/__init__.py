"""The segment sources that Envoi ships: what is known, bought, received; segments, audiences."""

from __future__ import annotations

from collections.abc import Iterable

from envoi import hookimpl
from envoi.types import SegmentSourceSpec
from envoi_segment_builtin import attributes, fields, messages, purchases, receipts, whole


@hookimpl
def register_segment_sources() -> Iterable[SegmentSourceSpec]:
    """Bring the built-in sources in the order in which the builder offers them."""
    return [
        attributes.ATTRIBUTES,
        fields.CUSTOM_FIELDS,
        messages.SUBSCRIPTIONS,
        receipts.RECEIPTS,
        purchases.PURCHASES,
        messages.MESSAGES,
        whole.SEGMENTS,
        whole.AUDIENCES,
        whole.ALL_CUSTOMERS,
    ]
