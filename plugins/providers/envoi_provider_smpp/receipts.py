"""What a delivery receipt says, in every shape that centres give it, and what people answer."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

from envoi import gsm
from envoi.types import DeliveryEvent, EventType
from envoi_provider_smpp.pdu import RECEIPT, RECEIPT_BITS, UDH, Address, ShortMessage, Tag
from envoi_provider_smpp.settings import Alphabet

_FIELD = re.compile(
    r"(?<![a-z])(id|sub|dlvrd|submit[ _]?date|done[ _]?date|stat|err|text)\s*:", re.IGNORECASE
)
_STATES = {
    "DELIV": EventType.DELIVERED,
    "EXPIR": EventType.FAILED,
    "DELET": EventType.FAILED,
    "UNDEL": EventType.FAILED,
    "REJEC": EventType.FAILED,
    "FAILE": EventType.FAILED,
    "ACCEP": EventType.DEFERRED,
    "ENROU": EventType.DEFERRED,
    "BUFFE": EventType.DEFERRED,
}
"""By the first five letters: the rest is spelled in many ways."""

_NUMBERED = {
    1: "ENROUTE",
    2: "DELIVRD",
    3: "EXPIRED",
    4: "DELETED",
    5: "UNDELIV",
    6: "ACCEPTD",
    7: "UNKNOWN",
    8: "REJECTD",
}
_DATES = {10: "%y%m%d%H%M", 12: "%y%m%d%H%M%S", 14: "%Y%m%d%H%M%S"}
_LONGEST_CODE = 5
_OF_PERSONS = (0x00, 0x10)
"""In `esm_class`, of what a person wrote: a message, or an acknowledgement by hand."""
_LATIN_CODINGS = (1, 3)


def event_of(
    message: ShortMessage, clock: float | None = None, alphabet: Alphabet = Alphabet.GSM
) -> DeliveryEvent:
    """Read what a centre delivered: a receipt, or a customer's reply.

    Args:
        message: The body of a `deliver_sm`.
        clock: Hours that the centre's times are ahead of UTC; None: now is the time.
        alphabet: That of texts which name none.
    """
    text = _text(message)
    fields = _fields(text)
    number = message.tlvs.get(Tag.MESSAGE_STATE, b"")
    state = fields.get("stat", "").upper() or _NUMBERED.get(int.from_bytes(number), "")
    reference = _cstring(message.tlvs.get(Tag.RECEIPTED_MESSAGE_ID, b"")) or fields.get("id", "")
    if not _is_receipt(message, reference, state):
        if message.esm_class & RECEIPT_BITS in _OF_PERSONS and message.text:
            return _reply(message, alphabet)
        reference = state = ""
    error = fields.get("err", "")
    return DeliveryEvent(
        type=_STATES.get(state[:5], EventType.UNKNOWN),
        occurred_at=_time(fields.get("donedate", ""), clock),
        reference=reference,
        status=state,
        code=_code(error, message.tlvs.get(Tag.NETWORK_ERROR_CODE, b"")),
        reason=error if not error.isdigit() else "",
        raw=_raw(text, message),
        recipient=_recipient(message.source),
    )


def _is_receipt(message: ShortMessage, reference: str, state: str) -> bool:
    """Some centres forget to mark their receipts; who writes both fields means one."""
    return message.esm_class & RECEIPT_BITS == RECEIPT or bool(reference and state)


def _reply(message: ShortMessage, alphabet: Alphabet) -> DeliveryEvent:
    data = message.text
    if message.esm_class & UDH:
        data = data[data[0] + 1 :]
    is_latin = message.coding in _LATIN_CODINGS or (
        alphabet is Alphabet.LATIN and not message.coding
    )
    said = data.decode("latin-1") if is_latin else gsm.text_of(data, message.coding)
    return DeliveryEvent(
        type=EventType.REPLIED,
        occurred_at=datetime.now(UTC),
        recipient=_recipient(message.source),
        text=said,
        raw=said,
    )


def _text(message: ShortMessage) -> str:
    """Receipts are ASCII whatever coding they name, but for Unicode."""
    if message.coding == gsm.Alphabet.UNICODE.coding:
        return gsm.text_of(message.text, message.coding)
    return message.text.rstrip(b"\0").decode("latin-1")


def _fields(text: str) -> dict[str, str]:
    """The fields by name, in whatever order; the last is what the message began with."""
    found: dict[str, str] = {}
    matches = list(_FIELD.finditer(text))
    ends = [*(match.start() for match in matches), len(text)][1:]
    for match, end in zip(matches, ends, strict=True):
        name = re.sub("[ _]", "", match[1].lower())
        if name == "text":
            break
        found.setdefault(name, text[match.end() : end].strip())
    return found


def _cstring(value: bytes) -> str:
    return value.rstrip(b"\0").decode("latin-1").strip()


def _code(error: str, network: bytes) -> int:
    """The number of an error: a word is kept as the reason; the third octet on is a network's."""
    if error.isdecimal() and error.isascii() and error.strip("0"):
        return int(error[-_LONGEST_CODE:])
    return int.from_bytes(network[1:3])


def _time(done: str, clock: float | None) -> datetime:
    now = datetime.now(UTC)
    if clock is None or not done.isdecimal() or len(done) not in _DATES:
        return now
    try:
        told = datetime.strptime(done, _DATES[len(done)])
    except ValueError:
        return now
    return min(now, told.replace(tzinfo=timezone(timedelta(hours=clock))))


def _recipient(address: Address) -> str:
    is_number = address.text.isdecimal() and address.text.isascii()
    return f"+{address.text}" if is_number else address.text


def _raw(text: str, message: ShortMessage) -> str:
    tlvs = " ".join(f"{tag:04X}={value.hex()}" for tag, value in message.tlvs.items())
    return f"{text} [{tlvs}]" if tlvs else text
