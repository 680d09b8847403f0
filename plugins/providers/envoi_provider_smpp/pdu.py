"""The wire format of SMPP 3.4: what we and an operator's message centre say to each other."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

LONGEST = 128 * 1024
"""Whoever announces more speaks something else."""

LONGEST_SHORT = 254
"""What fits into `short_message`; longer texts go into `message_payload`."""

_HEADER = struct.Struct(">IIII")
_TLV = struct.Struct(">HH")


class Command(IntEnum):
    """The requests that are used here; the answer to one has the highest bit set as well."""

    BIND_RECEIVER = 0x01
    BIND_TRANSMITTER = 0x02
    SUBMIT_SM = 0x04
    DELIVER_SM = 0x05
    UNBIND = 0x06
    BIND_TRANSCEIVER = 0x09
    ENQUIRE_LINK = 0x15
    GENERIC_NACK = 0x80000000

    @property
    def answer(self) -> int:
        """The command of its answer."""
        return self | Command.GENERIC_NACK


class Status(IntEnum):
    """Results of a request, by the names that operators know them by."""

    ESME_ROK = 0x00
    ESME_RINVMSGLEN = 0x01
    ESME_RINVCMDLEN = 0x02
    ESME_RINVCMDID = 0x03
    ESME_RINVBNDSTS = 0x04
    ESME_RALYBND = 0x05
    ESME_RINVPRTFLG = 0x06
    ESME_RINVREGDLVFLG = 0x07
    ESME_RSYSERR = 0x08
    ESME_RINVSRCADR = 0x0A
    ESME_RINVDSTADR = 0x0B
    ESME_RINVMSGID = 0x0C
    ESME_RBINDFAIL = 0x0D
    ESME_RINVPASWD = 0x0E
    ESME_RINVSYSID = 0x0F
    ESME_RMSGQFUL = 0x14
    ESME_RINVSERTYP = 0x15
    ESME_RINVESMCLASS = 0x43
    ESME_RSUBMITFAIL = 0x45
    ESME_RINVSRCTON = 0x48
    ESME_RINVSRCNPI = 0x49
    ESME_RINVDSTTON = 0x50
    ESME_RINVDSTNPI = 0x51
    ESME_RINVSYSTYP = 0x53
    ESME_RTHROTTLED = 0x58
    ESME_RINVSCHED = 0x61
    ESME_RINVEXPIRY = 0x62
    ESME_RX_T_APPN = 0x64
    ESME_RX_P_APPN = 0x65
    ESME_RX_R_APPN = 0x66
    ESME_RINVOPTPARSTREAM = 0xC0
    ESME_ROPTPARNOTALLWD = 0xC1
    ESME_RINVPARLEN = 0xC2
    ESME_RMISSINGOPTPARAM = 0xC3
    ESME_RINVOPTPARAMVAL = 0xC4
    ESME_RDELIVERYFAILURE = 0xFE
    ESME_RUNKNOWNERR = 0xFF


class Tag(IntEnum):
    """Optional parameters."""

    RECEIPTED_MESSAGE_ID = 0x001E
    USER_MESSAGE_REFERENCE = 0x0204
    SAR_MSG_REF_NUM = 0x020C
    SAR_TOTAL_SEGMENTS = 0x020E
    SAR_SEGMENT_SEQNUM = 0x020F
    SC_INTERFACE_VERSION = 0x0210
    NETWORK_ERROR_CODE = 0x0423
    MESSAGE_PAYLOAD = 0x0424
    MESSAGE_STATE = 0x0427


UDH = 0x40
"""In `esm_class`: the text begins with a header."""

RECEIPT = 0x04
"""In `esm_class`: what is delivered tells what became of a message."""

RECEIPT_BITS = 0x3C


def status_words(status: int) -> str:
    """Say a result as an operator's support would look it up."""
    name = Status(status).name if status in _STATUSES else "of the operator's own"
    return f"0x{status:08X} {name}"


_STATUSES = frozenset(Status)


class MalformedError(ValueError):
    """Bytes that are not SMPP, or not what they say they are."""


class Pdu(NamedTuple):
    """One request or answer."""

    command: int
    sequence: int
    status: int = 0
    body: bytes = b""

    def encode(self) -> bytes:
        """Write it as it goes over the wire."""
        head = _HEADER.pack(16 + len(self.body), self.command, self.status, self.sequence)
        return head + self.body


class PduReader:
    """Cuts what arrives, in whatever pieces, into requests and answers."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Pdu]:
        """Take bytes in and return what is complete.

        Raises:
            MalformedError: The other side does not speak SMPP.
        """
        data = self._rest + data
        found, start = [], 0
        while len(data) - start >= _HEADER.size:
            length, command, status, sequence = _HEADER.unpack_from(data, start)
            if not _HEADER.size <= length <= LONGEST:
                raise MalformedError(f"a length of {length:,} octets: {data[start : start + 32]!r}")
            if len(data) - start < length:
                break
            body = data[start + _HEADER.size : start + length]
            found.append(Pdu(command, sequence, status, body))
            start += length
        self._rest = data[start:]
        return found


class Address(NamedTuple):
    """A number or a name, with its kind (TON) and its plan (NPI)."""

    text: str
    ton: int = 0
    npi: int = 0

    def encode(self) -> bytes:
        """Write it as both kinds of messages hold it."""
        return bytes((self.ton, self.npi)) + cstring(self.text)


@dataclass(frozen=True, kw_only=True, slots=True)
class ShortMessage:
    """The body of `submit_sm` and `deliver_sm`, which is the same."""

    source: Address
    destination: Address
    text: bytes = b""
    coding: int = 0
    esm_class: int = 0
    service_type: str = ""
    validity: str = ""
    registered_delivery: int = 0
    tlvs: Mapping[int, bytes] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Write it; what does not fit into the short field goes into `message_payload`."""
        text, tlvs = self.text, self.tlvs
        if len(text) > LONGEST_SHORT:
            text, tlvs = b"", {**tlvs, Tag.MESSAGE_PAYLOAD: text}
        fixed = (
            cstring(self.service_type),
            self.source.encode(),
            self.destination.encode(),
            bytes((self.esm_class, 0, 0, 0)),
            cstring(self.validity),
            bytes((self.registered_delivery, 0, self.coding, 0, len(text))),
            text,
        )
        return b"".join(fixed) + b"".join(map(_tlv, tlvs, tlvs.values()))

    @classmethod
    def decode(cls, body: bytes) -> ShortMessage:
        """Read one; the text is that of `message_payload` where it stands there.

        Raises:
            MalformedError: It is cut off.
        """
        fields = _Fields(body)
        service_type = fields.cstring()
        source = Address(ton=fields.octet(), npi=fields.octet(), text=fields.cstring())
        destination = Address(ton=fields.octet(), npi=fields.octet(), text=fields.cstring())
        esm_class, _protocol, _priority = fields.octet(), fields.octet(), fields.octet()
        _scheduled, validity = fields.cstring(), fields.cstring()
        registered, _replace, coding = fields.octet(), fields.octet(), fields.octet()
        _default = fields.octet()
        text = fields.octets(fields.octet())
        tlvs = dict(fields.tlvs())
        return cls(
            source=source,
            destination=destination,
            text=text or tlvs.get(Tag.MESSAGE_PAYLOAD, b""),
            coding=coding,
            esm_class=esm_class,
            service_type=service_type,
            validity=validity,
            registered_delivery=registered,
            tlvs=tlvs,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Bind:
    """The body of a request to be let in."""

    system_id: str
    password: str
    system_type: str = ""

    def encode(self) -> bytes:
        """Write it, for SMPP 3.4 and all numbers."""
        names = (self.system_id, self.password, self.system_type)
        return b"".join(map(cstring, names)) + bytes((0x34, 0, 0)) + cstring("")

    @classmethod
    def decode(cls, body: bytes) -> Bind:
        """Read one."""
        fields = _Fields(body)
        return cls(
            system_id=fields.cstring(), password=fields.cstring(), system_type=fields.cstring()
        )


def cstring(text: str) -> bytes:
    """Write a text that ends with NUL, so that none may be in it."""
    return text.encode("latin-1", "replace").replace(b"\0", b"?") + b"\0"


def read_id(body: bytes) -> str:
    """Read the number of a message in an answer, which may be missing or lack its end."""
    return body.partition(b"\0")[0].decode("latin-1")


def _tlv(tag: int, value: bytes) -> bytes:
    return _TLV.pack(tag, len(value)) + value


class _Fields:
    """Reads one field after the other."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def octet(self) -> int:
        return self.octets(1)[0]

    def octets(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._body):
            raise MalformedError(f"cut off after {len(self._body)} octets: {self._body!r}")
        found = self._body[self._at : end]
        self._at = end
        return found

    def cstring(self) -> str:
        end = self._body.find(b"\0", self._at)
        if end < 0:
            raise MalformedError(f"a text without end: {self._body!r}")
        found = self._body[self._at : end]
        self._at = end + 1
        return found.decode("latin-1")

    def tlvs(self) -> Iterator[tuple[int, bytes]]:
        while self._at < len(self._body):
            tag, length = _TLV.unpack(self.octets(_TLV.size))
            yield tag, self.octets(length)
