"""A batch on its way over a session: what waits, what has left, and what was answered."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

from envoi.types import SendResult, SendStatus, Submission
from envoi_provider_smpp.pdu import Pdu, Status, read_id, status_words
from envoi_provider_smpp.session import Link

LEAVE_SECONDS = 2.0
"""So long messages leave; a person who opts out meanwhile gets nothing much later."""

COMPLETE_SECONDS = 3.0
"""So much longer for the other parts of a text of which one has left."""

PAUSE_SECONDS = 1.0
"""Centres count by the second: nothing leaves for so long after one has throttled us."""

_TICK_SECONDS = 0.05

THROTTLES = {Status.ESME_RTHROTTLED, Status.ESME_RMSGQFUL}
_NOT_BOUND = Status.ESME_RINVBNDSTS
_PERMANENT = {
    Status.ESME_RINVMSGLEN,
    Status.ESME_RINVCMDLEN,
    Status.ESME_RINVCMDID,
    Status.ESME_RINVPRTFLG,
    Status.ESME_RINVREGDLVFLG,
    Status.ESME_RINVSRCADR,
    Status.ESME_RINVDSTADR,
    Status.ESME_RINVMSGID,
    Status.ESME_RINVSERTYP,
    Status.ESME_RINVESMCLASS,
    Status.ESME_RSUBMITFAIL,
    Status.ESME_RINVSRCTON,
    Status.ESME_RINVSRCNPI,
    Status.ESME_RINVDSTTON,
    Status.ESME_RINVDSTNPI,
    Status.ESME_RINVSYSTYP,
    Status.ESME_RINVSCHED,
    Status.ESME_RINVEXPIRY,
    Status.ESME_RX_P_APPN,
    Status.ESME_RX_R_APPN,
    Status.ESME_RINVOPTPARSTREAM,
    Status.ESME_ROPTPARNOTALLWD,
    Status.ESME_RINVPARLEN,
    Status.ESME_RMISSINGOPTPARAM,
    Status.ESME_RINVOPTPARAMVAL,
}


@dataclass(frozen=True, slots=True)
class _Part:
    """One `submit_sm`: the place of its message in the batch, its number in it, and its body."""

    message: int
    number: int
    body: bytes


class Batch:
    """Messages with the bodies of their parts; `run` sends them, `results` tells the outcome."""

    def __init__(self, messages: Sequence[Sequence[bytes]]) -> None:
        self._waiting = deque(
            _Part(index, number, body)
            for index, bodies in enumerate(messages)
            for number, body in enumerate(bodies, 1)
        )
        self._unanswered: dict[int, tuple[_Part, float]] = {}
        self._began, self._resumes_at = monotonic(), 0.0
        self._is_silent = False
        self._told: list[dict[int, Submission]] = [{} for _ in messages]

    def run(self, link: Link, window: int, patience: float) -> None:
        """Send until all is answered, the time is over or the session is lost.

        Once the centre throttles, only texts are completed of which a part has left: how fast
        others follow is for the core to say. A session in which an answer does not come in time
        is ended: it would come later, when nobody asks for it any more.
        """
        while self._waiting or self._unanswered:
            if not self.has_time():
                seconds = monotonic() - self._began
                self._hold_back(also_begun=seconds >= LEAVE_SECONDS + COMPLETE_SECONDS)
            self._submit(link, window)
            answers = link.answers(_TICK_SECONDS)
            for pdu in answers:
                self._note(pdu, link)
            if link.lost and not answers:
                break
            if self._is_overdue(patience):
                link.abort("a message was not answered in time")
                self._is_silent = True
        for part, _ in self._unanswered.values():
            self._tell(part, SendStatus.UNKNOWN, raw=f"not answered: {link.lost}")
        self._unanswered.clear()

    def is_left(self) -> bool:
        """Whether something may leave yet, by another session."""
        return bool(self._waiting) and self.has_time() and not self._is_silent

    def has_time(self) -> bool:
        """Whether messages may leave that have not begun to."""
        return not self._resumes_at and monotonic() - self._began < LEAVE_SECONDS

    def results(self) -> list[SendResult]:
        """End, and return what became of each message, in their order."""
        self._hold_back(also_begun=True)
        return [_result([told[number] for number in sorted(told)]) for told in self._told]

    def _submit(self, link: Link, window: int) -> None:
        now = monotonic()
        room = min(window - len(self._unanswered), len(self._waiting))
        if room <= 0 or link.lost or now < self._resumes_at:
            return
        parts = [self._waiting.popleft() for _ in range(room)]
        sequences = link.submit([part.body for part in parts])
        self._unanswered |= {s: (part, now) for s, part in zip(sequences, parts, strict=True)}

    def _note(self, pdu: Pdu, link: Link) -> None:
        part, _ = self._unanswered.pop(pdu.sequence, (None, 0.0))
        if part is None:
            return
        raw = status_words(pdu.status)
        if pdu.status in THROTTLES:
            self._resumes_at = monotonic() + PAUSE_SECONDS
            self._waiting.appendleft(part)
        elif pdu.status == _NOT_BOUND:
            link.abort(raw)
            self._waiting.appendleft(part)
        elif pdu.status == Status.ESME_ROK:
            self._tell(part, SendStatus.ACCEPTED, raw=raw, provider_id=read_id(pdu.body))
        else:
            is_final = pdu.status in _PERMANENT
            status = SendStatus.REFUSED if is_final else SendStatus.REFUSED_NOW
            self._tell(part, status, code=pdu.status, raw=raw)

    def _hold_back(self, *, also_begun: bool) -> None:
        """Give up what has not left; parts of a text of which some have, only if asked to."""
        underway = set() if also_begun else self._underway()
        waiting, self._waiting = self._waiting, deque()
        for part in waiting:
            if part.message in underway:
                self._waiting.append(part)
            else:
                code = int(Status.ESME_RTHROTTLED)
                self._tell(part, SendStatus.THROTTLED, code=code, raw="has not been taken")

    def _underway(self) -> set[int]:
        """The messages of which a part may be with the centre."""
        taken = {
            message
            for message, told in enumerate(self._told)
            if any(part.status is SendStatus.ACCEPTED for part in told.values())
        }
        return taken | {part.message for part, _ in self._unanswered.values()}

    def _is_overdue(self, patience: float) -> bool:
        oldest = next(iter(self._unanswered.values()), None)
        return oldest is not None and monotonic() - oldest[1] > patience

    def _tell(
        self, part: _Part, status: SendStatus, *, raw: str, code: int = 0, provider_id: str = ""
    ) -> None:
        self._told[part.message][part.number] = Submission(
            number=part.number, status=status, code=code, provider_id=provider_id, raw=raw
        )


def _result(parts: list[Submission]) -> SendResult:
    """What became of a message; of several parts the core judges what they come to."""
    first, *others = parts
    if others:
        return SendResult(
            status=first.status, provider_id=first.provider_id, submissions=tuple(parts)
        )
    return SendResult(
        status=first.status, code=first.code, provider_id=first.provider_id, raw=first.raw
    )
