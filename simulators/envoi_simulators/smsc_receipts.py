"""Delivery receipts as message centres of this world write them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from envoi_provider_smpp.pdu import RECEIPT, Address, ShortMessage, Tag


class Shape(StrEnum):
    """How a receipt looks."""

    FULL = "full"
    BARE = "bare"
    """Neither `sub` nor `dlvrd` nor dates, and words in lower case."""
    SPOKEN = "spoken"
    """The error is a word with a space before it."""
    TLV = "tlv"
    """No text at all."""
    UNMARKED = "unmarked"
    """`esm_class` does not say that it is a receipt."""


def same(message_id: str) -> str:
    """The number as it was answered."""
    return message_id


def decimal(message_id: str) -> str:
    """The number in decimal, where the answer had it in hexadecimal."""
    return str(int(message_id, 16))


def hexadecimal(message_id: str) -> str:
    """The number in hexadecimal, where the answer had it in decimal."""
    return f"{int(message_id):X}"


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """A receipt to be sent for a message: `seconds` after it was taken, or before the answer."""

    state: str = "DELIVRD"
    error: str = "000"
    shape: Shape = Shape.FULL
    number: Callable[[str], str] = same
    seconds: float = 0.0
    is_early: bool = False
    times: int = 1


_STATES = {
    "ENROUTE": 1,
    "DELIVRD": 2,
    "EXPIRED": 3,
    "DELETED": 4,
    "UNDELIV": 5,
    "ACCEPTD": 6,
    "UNKNOWN": 7,
    "REJECTD": 8,
}


def receipt_body(receipt: Receipt, message_id: str, sender: Address, recipient: Address) -> bytes:
    """Write the body of the `deliver_sm`: it goes from the recipient to the sender."""
    is_tlv = receipt.shape is Shape.TLV
    number = receipt.number(message_id)
    tlvs: dict[int, bytes] = {
        Tag.RECEIPTED_MESSAGE_ID: number.encode() + b"\0",
        Tag.MESSAGE_STATE: bytes([_STATES.get(receipt.state, 7)]),
    }
    return ShortMessage(
        source=recipient,
        destination=sender,
        text=b"" if is_tlv else _text(receipt, number).encode(),
        esm_class=0 if receipt.shape is Shape.UNMARKED else RECEIPT,
        tlvs=tlvs if is_tlv else {},
    ).encode()


def _text(receipt: Receipt, number: str) -> str:
    if receipt.shape is Shape.BARE:
        return f"id:{number} stat:{receipt.state.lower()} err:{receipt.error}"
    now = datetime.now(UTC)
    error = f" {receipt.error}" if receipt.shape is Shape.SPOKEN else receipt.error
    return (
        f"id:{number} sub:001 dlvrd:{int(receipt.state == 'DELIVRD'):03}"
        f" submit date:{now:%y%m%d%H%M} done date:{now:%y%m%d%H%M%S}"
        f" stat:{receipt.state} err:{error} text:"
    )
