"""What messages cost at a gateway: a price for each part, by the beginning of the address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from sqlalchemy.orm import Session

from envoi.delivery.gateways import default_gateway, get_gateway
from envoi.delivery.models import Gateway
from envoi.errors import ValidationFailedError, problems_of

UNITS = 10_000
"""Amounts are whole numbers of this fraction of the currency's unit."""

Money = Annotated[Decimal, Field(ge=0, le=1_000_000, decimal_places=4)]


class Price(BaseModel):
    """What a part costs for addresses that begin so; an empty beginning means all others."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prefix: str = Field("", max_length=20, pattern=r"^(\+\d+)?$")
    price: Money


class PriceTable(BaseModel):
    """The prices of a gateway, the longest beginning first; stored as `gateway.prices`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prices: tuple[Price, ...] = Field((), max_length=5_000)

    @field_validator("prices")
    @classmethod
    def _sorted(cls, value: tuple[Price, ...]) -> tuple[Price, ...]:
        for prefix, count in Counter(p.prefix for p in value).items():
            if count > 1:
                raise ValueError(f"{prefix or 'The rest'} has {count} prices. Leave one.")
        return tuple(sorted(value, key=lambda p: (-len(p.prefix), p.prefix)))

    def __bool__(self) -> bool:
        return bool(self.prices)


class PriceList:
    """A price table made ready for looking up."""

    def __init__(self, prices: PriceTable) -> None:
        self._by_prefix = {p.prefix: int(p.price * UNITS) for p in prices.prices}
        self._lengths = sorted({len(prefix) for prefix in self._by_prefix}, reverse=True)

    def __bool__(self) -> bool:
        return bool(self._by_prefix)

    def prefix_of(self, address: str) -> str:
        """The longest beginning of an address that has a price."""
        found = (address[:n] for n in self._lengths if address[:n] in self._by_prefix)
        return next(found, "")

    def of(self, address: str) -> int:
        """What a part costs, in 1/10,000 of the currency's unit; 0 where nothing is set."""
        return self.at(self.prefix_of(address))

    def at(self, prefix: str) -> int:
        """What a part costs for addresses that are priced by this beginning."""
        return self._by_prefix.get(prefix, 0)

    def by_length(self) -> list[tuple[int, list[str]]]:
        """The beginnings by their length, the longest first."""
        return [(n, [p for p in self._by_prefix if len(p) == n]) for n in self._lengths]


def prices_of(gateway: Gateway) -> PriceTable:
    """Return the prices of a gateway."""
    return PriceTable.model_validate(gateway.prices)


def channel_prices(session: Session, tenant_id: int, channel: str) -> PriceList:
    """Return what a channel's messages cost, by the gateway through which they leave."""
    gateway = default_gateway(session, tenant_id, channel)
    return PriceList(prices_of(gateway) if gateway else PriceTable())


def set_prices(
    session: Session, tenant_id: int, gateway_id: int, values: Mapping[str, Any]
) -> None:
    """Replace the prices of a gateway; senders take them on with their next block.

    Raises:
        ValidationFailedError: A value does not suit; every problem is named.
    """
    gateway = get_gateway(session, tenant_id, gateway_id)
    try:
        prices = PriceTable.model_validate(dict(values))
    except ValidationError as error:
        raise ValidationFailedError(problems_of(error)) from None
    gateway.prices = prices.model_dump(mode="json")
    gateway.version += 1
