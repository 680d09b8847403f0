"""Reads what comes back by mail: bounces of every kind, complaints, automatic replies."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import Message
from email.utils import parsedate_to_datetime

from envoi.errors import EnvoiError
from envoi.feedback.parts import Part, blocks, header, parse, parts
from envoi.types import DeliveryEvent, EventType

MOST_BYTES = 256 * 1024
"""Of a larger message only the beginning is read and kept."""

MOST_NOTICES = 50
_LONGEST_WORDS = 2_000

_KEY = re.compile(r"(?<![a-z0-9])[a-z2-7]{56}(?![a-z0-9])", re.IGNORECASE | re.ASCII)
_ADDRESS = re.compile(r"[^\s<>\"(),:;@]{1,64}@[^\s<>\"(),:;@]{1,255}")
_DAEMON = re.compile(r"mailer-?daemon|postmaster|mail delivery (sub)?system|mdaemon", re.IGNORECASE)
_FAILURE = re.compile(
    r"undeliver|returned mail|failure notice|delivery (status notification|failed|failure|has fail"
    r"|error)|mail delivery (failed|failure)|could not be delivered|non[- ]?delivery|rejected:"
    r"|недостав|не доставлен|возвращен|unzustellbar|nicht zugestellt",
    re.IGNORECASE,
)
_DELAY = re.compile(
    r"delay|warning: (could not send|message)|still being retried|will (be )?retr(y|ied)"
    r"|do not need to resend|\(delay\)|задерж",
    re.IGNORECASE,
)
_COMPLAINTS = {"abuse", "fraud", "virus", "opt-out", "opt-out-list", "miscategorized"}
_REPLY_SUBJECT = re.compile(
    r"^(auto(matic)?([- ]?(reply|response))?:|out of (the )?office|automatic reply|abwesen"
    r"|автоответ|vacation|re: .*out of office)",
    re.IGNORECASE,
)
_RETURNED = re.compile(
    r"^(-{2,} ?(this is a copy|below this line|the (header|body) of|original message|forwarded"
    r"|the original|included is a copy|transcript of the original|исходное)|original message"
    r"|return-path:|received: ).*",
    re.IGNORECASE | re.MULTILINE,
)
_TRANSCRIPT = re.compile(r"^.{0,200}((?<!\d)[45]\d\d[ :-]|(?<![\d.])[45]\.\d\.\d).*$", re.MULTILINE)


class UnreadableError(EnvoiError):
    """What came in is no report that Envoi understands; the message says why, as a code."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What a report says about one recipient."""

    type: EventType
    status: str = ""
    code: int = 0
    words: str = ""
    recipient: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """A report that was understood.

    `keys` are the message keys it may be about, the surest first; no notice means that it
    changes nothing, and `ignored` says why. `addressed` is whom the returned message was to.
    """

    notices: Sequence[Notice]
    keys: Sequence[str]
    at: datetime
    addressed: str = ""
    ignored: str = ""

    @property
    def bounced(self) -> Sequence[str]:
        """The addresses that it says have failed, as far as it names them."""
        failed = [n.recipient for n in self.notices if n.type is EventType.BOUNCED]
        return [address for address in (self.addressed, *failed) if address] if failed else []

    def events(self, message_key: str) -> list[DeliveryEvent]:
        """What it says, as events of one message."""
        return [
            DeliveryEvent(
                message_key=message_key,
                type=notice.type,
                occurred_at=self.at,
                reason=notice.words,
                status=notice.status,
                code=notice.code,
                recipient=notice.recipient,
            )
            for notice in self.notices
        ]


def read(raw: bytes, envelope_recipient: str = "", *, now: datetime | None = None) -> Reading:
    """Understand a message that came to the return path.

    Raises:
        UnreadableError: It is no report; nothing else is ever raised, whatever the bytes.
    """
    now = now or datetime.now(UTC)
    try:
        return _read(raw[:MOST_BYTES], envelope_recipient, now)
    except UnreadableError:
        raise
    except Exception as error:  # the bytes are a stranger's, and none of them may stop us
        raise UnreadableError("broken") from error


def keys_in(*texts: str) -> list[str]:
    """What may be a message key in these texts, in order; whether it is one, its MAC tells."""
    found = (match[0].lower() for text in texts for match in _KEY.finditer(text))
    return list(dict.fromkeys(found))[:MOST_NOTICES]


def _read(raw: bytes, envelope_recipient: str, now: datetime) -> Reading:
    message = parse(raw)
    leaves = list(parts(message))
    notices = _notices(message, leaves)
    ignored = ""
    if notices is None:
        if not _is_reply(message):
            raise UnreadableError("no_report")
        notices, ignored = [], "reply"
    elif all(n.type is EventType.DEFERRED for n in notices):
        notices, ignored = [], "delay" if notices else "no_complaint"
    return Reading(
        notices=notices[:MOST_NOTICES],
        keys=_keys(message, leaves, envelope_recipient),
        at=_moment(message, now),
        addressed=_addressed(leaves),
        ignored=ignored,
    )


def _notices(message: Message, leaves: Sequence[Part]) -> list[Notice] | None:
    for find in (_complaint, _delivery_status, _forwarded_complaint, _in_words):
        found = find(message, leaves)
        if found is not None:
            return found
    return None


def _complaint(message: Message, leaves: Sequence[Part]) -> list[Notice] | None:  # noqa: ARG001
    """A feedback report (RFC 5965); the recipient is often taken out of it."""
    reports = [leaf for leaf in leaves if leaf.kind == "message/feedback-report"]
    if not reports:
        return None
    fields = blocks(reports[0].text)
    kind = _field(fields, "Feedback-Type").lower()
    if not kind:
        raise UnreadableError("broken")
    if kind not in _COMPLAINTS:
        return []
    recipient = _address(_field(fields, "Original-Rcpt-To"))
    return [Notice(EventType.COMPLAINED, words=f"Feedback-Type: {kind}", recipient=recipient)]


def _delivery_status(message: Message, leaves: Sequence[Part]) -> list[Notice] | None:
    """A delivery status notification (RFC 3464)."""
    reports = [leaf for leaf in leaves if leaf.kind.endswith("delivery-status")]
    if not reports:
        return None
    top = min(leaf.depth for leaf in reports)
    fields = [f for leaf in reports if leaf.depth == top for f in blocks(leaf.text)]
    about = [f for f in fields if f.get("Action") or f.get("Status")]
    if not about:
        # The machine-readable part is broken; a person would read the words.
        found = _in_words(message, leaves)
        if found is None:
            raise UnreadableError("broken")
        return found
    return [_of_recipient(f, message) for f in about]


_ACTIONS = {
    "failed": EventType.BOUNCED,
    "delivered": EventType.DELIVERED,
    "delayed": EventType.DEFERRED,
    "relayed": EventType.DEFERRED,
    "expanded": EventType.DEFERRED,
}


def _of_recipient(fields: Message, message: Message) -> Notice:
    status_text = header(fields, "Status")
    found = re.search(r"[245]\.\d{1,3}\.\d{1,3}", status_text)
    status = found[0] if found else ""
    action = header(fields, "Action").lower().split(" ")[0].strip(";,")
    kind = _ACTIONS.get(action)
    if kind is None:
        delayed = status.startswith("4") and bool(_DELAY.search(header(message, "Subject")))
        kind = EventType.DEFERRED if delayed else EventType.BOUNCED
        kind = EventType.DELIVERED if status.startswith("2") else kind
    words = header(fields, "Diagnostic-Code") or header(fields, "X-Notes-Reason") or status_text
    words = words.partition(";")[2].strip() if words.lower().startswith("smtp;") else words
    recipient = header(fields, "Original-Recipient") or header(fields, "Final-Recipient")
    return Notice(kind, status, 0, words[:_LONGEST_WORDS], _address(recipient))


def _forwarded_complaint(message: Message, leaves: Sequence[Part]) -> list[Notice] | None:
    """Microsoft's feedback loop forwards the message itself, without a report."""
    if not re.search(r"staff@(hotmail|outlook)\.com|feedbackloop|fbl@", header(message, "From")):
        return None
    returned = [leaf for leaf in leaves if leaf.kind == "text/rfc822-headers"]
    if not returned:
        return None
    found = re.search(r"X-HmXmrOriginalRecipient: (\S+)", returned[0].text, re.IGNORECASE)
    recipient = _address(found[1]) if found else ""
    return [Notice(EventType.COMPLAINED, words="forwarded complaint", recipient=recipient)]


def _in_words(message: Message, leaves: Sequence[Part]) -> list[Notice] | None:
    """A bounce in words of its own, such as qmail's or Exim's."""
    subject = header(message, "Subject")
    is_daemon = bool(_DAEMON.search(header(message, "From")))
    is_null = header(message, "Return-Path").strip() == "<>"
    failed = _FAILURE.search(subject)
    text = "\n".join(leaf.text for leaf in leaves if leaf.kind.startswith("text/plain"))
    text = text or "\n".join(
        _without_tags(leaf.text) for leaf in leaves if leaf.kind == "text/html"
    )
    own = _RETURNED.split(text, maxsplit=1)[0] or text
    if not failed and not (is_daemon and (_FAILURE.search(own) or _TRANSCRIPT.search(own))):
        return None
    if not (
        is_daemon or is_null or _TRANSCRIPT.search(own) or header(message, "X-Failed-Recipients")
    ):
        return None
    if _DELAY.search(subject) or "still being retried" in own:
        return [Notice(EventType.DEFERRED)]
    transcript = "\n".join(m[0].strip() for m in _TRANSCRIPT.finditer(own))
    words = f"{transcript}\n{own}" if transcript else own
    recipient = _address(header(message, "X-Failed-Recipients")) or _first_address(own)
    return [Notice(EventType.BOUNCED, words=words.strip()[:_LONGEST_WORDS], recipient=recipient)]


def _is_reply(message: Message) -> bool:
    auto = header(message, "Auto-Submitted").lower()
    precedence = header(message, "Precedence").lower()
    return (
        bool(auto and auto != "no")
        or precedence in ("auto_reply", "bulk", "junk")
        or any(name in message for name in ("X-Autoreply", "X-Autorespond", "X-Auto-Reply"))
        or bool(_REPLY_SUBJECT.search(header(message, "Subject")))
    )


def _keys(message: Message, leaves: Sequence[Part], envelope_recipient: str) -> list[str]:
    """Every text that may be a message key: the return path first, then what was returned."""
    arrived = ("Delivered-To", "X-Original-To", "Envelope-To", "To")
    texts = [envelope_recipient, *(header(message, name) for name in arrived)]
    texts += [leaf.text for leaf in leaves]
    texts += [header(message, name) for name in ("References", "In-Reply-To")]
    return keys_in(*texts)


def _addressed(leaves: Sequence[Part]) -> str:
    """Whom the returned message was to: the address we used, whatever it was forwarded to."""
    for leaf in leaves:
        if leaf.kind in ("text/rfc822-headers", "message/rfc822-headers") and (
            found := re.search(r"^To: (.*)$", leaf.text, re.IGNORECASE | re.MULTILINE)
        ):
            return _address(found[1])
    return ""


def _moment(message: Message, now: datetime) -> datetime:
    """When the report was written, unless its clock is plainly wrong."""
    try:
        written = parsedate_to_datetime(str(message["Date"]))
    except (TypeError, ValueError, IndexError, OverflowError):
        return now
    if written.tzinfo is None:
        written = written.replace(tzinfo=UTC)
    return written.astimezone(UTC) if now - timedelta(days=10) < written <= now else now


def _field(groups: Sequence[Message], name: str) -> str:
    return next((header(group, name) for group in groups if group.get(name)), "")


def _address(text: str) -> str:
    found = _ADDRESS.findall(text.rpartition(";")[2])
    return found[-1].strip(".'").lower() if found else ""


def _first_address(text: str) -> str:
    found = _ADDRESS.search(text)
    return found[0].strip(".'").lower() if found else ""


def _without_tags(html: str) -> str:
    return re.sub(r"<[^>]{0,500}>", " ", html)
