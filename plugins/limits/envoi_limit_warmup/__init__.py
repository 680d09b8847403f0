"""A limit that grows from day to day, while an IP address or a domain earns its reputation."""

from __future__ import annotations

from collections.abc import Iterable

from envoi import hookimpl
from envoi.types import LimitSpec
from envoi_limit_warmup.ramp import WarmUp, allowance, describe


@hookimpl
def register_limits() -> Iterable[LimitSpec]:
    """Bring the warm-up."""
    return [
        LimitSpec(
            name="warmup",
            label="Warm-up",
            settings=WarmUp,
            allowance=allowance,
            describe=describe,
            order=10,
        )
    ]
