"""How a message becomes one or several `submit_sm`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from zlib import crc32

from envoi import gsm
from envoi.types import Outgoing
from envoi_provider_smpp.pdu import UDH, Address, ShortMessage, Status, Tag
from envoi_provider_smpp.settings import Alphabet, LongTexts, SmppSettings

_NAME = re.compile(r"[ -~]{1,11}")
_NUMBER = re.compile(r"\+?([0-9]{3,20})")
_ALPHANUMERIC, _SHORT, _INTERNATIONAL = (5, 0), (3, 0), (1, 1)
_LONGEST_SHORT_NUMBER = 6


class UnsendableError(Exception):
    """The centre would not take it; `status` is what it would answer."""

    def __init__(self, status: Status, words: str) -> None:
        super().__init__(words)
        self.status = status


class Writer:
    """Writes messages as the settings of an account want them."""

    def __init__(self, settings: SmppSettings) -> None:
        self._settings = settings

    def bodies(self, message: Outgoing) -> Sequence[bytes]:
        """Return the body of each `submit_sm`; raise `UnsendableError`."""
        settings = self._settings
        reference = crc32(message.key.encode()) & 0xFFFF
        try:
            parts = gsm.parts(message.payload.decode(), reference)
        except ValueError as error:
            raise UnsendableError(Status.ESME_RINVMSGLEN, str(error)) from error
        if len(parts) > 1 and settings.long_texts is LongTexts.PAYLOAD:
            whole = b"".join(part.data for part in parts)
            parts = [gsm.Part(number=1, total=1, udh=b"", data=whole, coding=parts[0].coding)]
        source, destination = (
            self._source(message.sender or settings.sender),
            self._destination(message.address),
        )
        validity = _validity(message.lifetime_seconds)
        return [
            ShortMessage(
                source=source,
                destination=destination,
                text=self._text(part),
                coding=part.coding,
                esm_class=UDH if self._has_header(part) else 0,
                service_type=settings.service_type,
                validity=validity,
                registered_delivery=int(settings.receipts),
                tlvs=self._tlvs(part, reference),
            ).encode()
            for part in parts
        ]

    def _source(self, sender: str) -> Address:
        if not sender:
            return Address("")
        number = _NUMBER.fullmatch(sender)
        if not number and not _NAME.fullmatch(sender):
            raise UnsendableError(Status.ESME_RINVSRCADR, f"{sender[:50]!r} is no sender name")
        text = number[1] if number else sender
        kind = _ALPHANUMERIC
        if number:
            kind = _SHORT if len(text) <= _LONGEST_SHORT_NUMBER else _INTERNATIONAL
        ton, npi = self._settings.source_ton, self._settings.source_npi
        return Address(text, kind[0] if ton is None else ton, kind[1] if npi is None else npi)

    def _destination(self, address: str) -> Address:
        number = _NUMBER.fullmatch(address)
        if not number:
            words = f"{address[:50]!r} is no telephone number"
            raise UnsendableError(Status.ESME_RINVDSTADR, words)
        return Address(number[1], self._settings.destination_ton, self._settings.destination_npi)

    def _has_header(self, part: gsm.Part) -> bool:
        return part.total > 1 and self._settings.long_texts is LongTexts.UDH

    def _text(self, part: gsm.Part) -> bytes:
        data = part.data
        if not part.coding and self._settings.alphabet is Alphabet.LATIN:
            data = gsm.text_of(data, part.coding).encode("latin-1", "replace")
        return part.udh + data if self._has_header(part) else data

    def _tlvs(self, part: gsm.Part, reference: int) -> dict[int, bytes]:
        tlvs: dict[int, bytes] = {}
        number = reference.to_bytes(2)
        if self._settings.number_messages:
            tlvs[Tag.USER_MESSAGE_REFERENCE] = number
        if part.total > 1 and self._settings.long_texts is LongTexts.SAR:
            tlvs[Tag.SAR_MSG_REF_NUM] = number
            tlvs[Tag.SAR_TOTAL_SEGMENTS] = bytes([part.total])
            tlvs[Tag.SAR_SEGMENT_SEQNUM] = bytes([part.number])
        return tlvs


def _validity(seconds: int) -> str:
    """Write a span as SMPP does: years, months, days, hours, minutes, seconds; "" for none."""
    if not seconds:
        return ""
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"0000{min(days, 30):02}{hour:02}{minute:02}{second:02}000R"
