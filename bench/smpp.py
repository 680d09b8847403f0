"""smpp: SMS through a message centre: its speed, its limit, and sessions that are cut."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic, process_time
from typing import Any

from sqlalchemy import func, select, text

from bench import mailing
from bench.figures import Figure, at_least, at_most, info
from bench.processes import postmaster, wait_for, workers
from bench.sending import cpu_of, has_ended, sending_seconds
from bench.stage import Stage
from envoi.db import table
from envoi.delivery.gateways import set_gateway
from envoi.delivery.models import Message, MessageState, Run
from envoi.feedback.receivers import Receivers
from envoi.feedback.reports import match_waiting
from envoi.jobs import Work, hint
from envoi.types import Outgoing, SendStatus
from envoi_provider_smpp.pdu import Status
from envoi_provider_smpp.provider import SmppProvider
from envoi_provider_smpp.settings import SmppSettings
from envoi_simulators.smsc import Smsc, Taken
from envoi_simulators.smsc_receipts import Receipt

PEOPLE, LIMITED, CUT = 40_000, 2_000, 2_000
PROCESSES, THREADS = 2, 4
LIMIT, CUTS = 20, 20
ALONE = 20_000
MATCH_SECONDS = 60.0

RATE, THROTTLED_SHARE, UNKNOWN, RESOLVED_SHARE, REBIND_SECONDS = 2_000, 0.05, 200, 0.95, 10

TEXT = {"text": "{{ client.properties.first_name }}, your points expire on Friday. Come by!"}
_PHONES = text(
    "UPDATE customer SET phone = '+7916' || lpad(substr(external_id, 3), 7, '0'), phone_quality = 0"
    " WHERE tenant_id = :tenant"
)


def run(stage: Stage) -> list[Figure]:
    """Send without a limit, under one, and over sessions that are cut."""
    return [_alone(), *_fast(stage), *_limited(stage), *_cut(stage)]


def _alone() -> Figure:
    """The provider without the engine: one session with a window of 100."""
    with Smsc() as smsc:
        settings = SmppSettings(host="127.0.0.1", port=smsc.port, system_id="bench", window=100)
        connection = SmppProvider(settings).connect()
        began = monotonic()
        for first in range(0, ALONE, connection.batch_size):
            results = connection.send_batch(_messages(first, connection.batch_size))
            assert {result.status for result in results} == {SendStatus.ACCEPTED}
        seconds = monotonic() - began
        connection.close()
    return info("smpp.alone", ALONE / seconds, "messages/s")


def _fast(stage: Stage) -> list[Figure]:
    with Smsc() as smsc:
        run = _run(stage, smsc, PEOPLE, window=100)
        used = _send(stage, run, 120 + PEOPLE / 100)
        assert len(smsc.taken) == PEOPLE, f"{len(smsc.taken)} messages arrived"
    return [
        at_least("smpp.rate", PEOPLE / sending_seconds(stage, run), "messages/s", RATE),
        *(
            info(f"smpp.cpu_ms.{name}", 1000 * seconds / PEOPLE, "ms/message")
            for name, seconds in used.items()
        ),
    ]


def _limited(stage: Stage) -> list[Figure]:
    with Smsc() as smsc:
        smsc.faults.per_second = LIMIT
        run = _run(stage, smsc, LIMITED)
        _send(stage, run, 10 * LIMITED / LIMIT)
        began = smsc.statuses[0][0]
        later = [status for at, status in smsc.statuses if at - began > 10]
        throttled = later.count(Status.ESME_RTHROTTLED) / len(later)
        rate = len(smsc.taken) / (smsc.statuses[-1][0] - began)
    return [
        at_most("smpp.limit.lost", LIMITED - len({t.address for t in smsc.taken}), "messages", 0),
        at_most("smpp.limit.twice", _twice(smsc), "messages", 0),
        at_most("smpp.limit.throttled", throttled, "of submits", THROTTLED_SHARE),
        info("smpp.limit.rate", rate, "messages/s"),
    ]


def _cut(stage: Stage) -> list[Figure]:
    with Smsc(receipts=_delivered) as smsc, _receiving(stage):
        smsc.faults.answer_seconds = 0.02
        # What is under way at a cut is lost before the centre takes it.
        step = (CUT - UNKNOWN) // CUTS
        smsc.faults.cut_at = set(range(step, CUTS * step + 1, step))
        run = _run(stage, smsc, CUT)
        _send(stage, run, 300)
        unknown = _count(stage, run, table(Message).c.state == MessageState.UNCONFIRMED)
        resolved = _resolved(stage, run, smsc)
        binds = [at for at, _ in smsc.binds]
        rebind = max(min(at for at in binds if at > cut) - cut for cut in smsc.cuts)
    return [
        at_least("smpp.cuts", len(smsc.cuts), "cuts", CUTS),
        at_most("smpp.cuts.twice", _twice(smsc), "messages", 0),
        at_most("smpp.cuts.unknown", unknown, "messages", UNKNOWN),
        at_least("smpp.cuts.resolved", resolved, "of those taken", RESOLVED_SHARE),
        at_most("smpp.cuts.rebind", rebind, "s", REBIND_SECONDS),
    ]


def _run(stage: Stage, smsc: Smsc, people: int, **values: Any) -> Run:
    """A collected run of SMS to so many phones of a company of its own."""
    tenant_id = stage.tenant()
    mailing.make_people(stage, tenant_id, people)
    with stage.database.tenant_connection(tenant_id) as connection:
        connection.execute(_PHONES, {"tenant": tenant_id})
    account = {"host": "127.0.0.1", "port": smsc.port, "system_id": "bench", "sender": "Bench"}
    with stage.database.tenant_session(tenant_id) as session:
        gateway = set_gateway(
            session,
            stage.installation.plugins,
            stage.installation.settings,
            tenant_id,
            channel="sms",
            provider="smpp",
            name="centre",
            values=account | values,
        )
        gateway_id = gateway.id
    return mailing.collected_run(stage, tenant_id, gateway_id, TEXT, channel="sms")


def _send(stage: Stage, run: Run, seconds: float) -> dict[str, float]:
    """Let workers send, woken again and again as the scheduler does, until nothing is left.

    Returns:
        The CPU time that it took, in seconds; that of the centre is this process's.
    """

    def is_over() -> bool:
        hint(stage.installation.broker, Work.SEND, run.tenant_id, run.id)
        return has_ended(stage, run)

    with workers(stage, PROCESSES, THREADS) as senders:
        watched = {"sender": senders, "database": [postmaster(stage)]}
        before = cpu_of(watched)
        for _ in range(PROCESSES * THREADS):
            hint(stage.installation.broker, Work.SEND, run.tenant_id, run.id)
        centre = process_time()
        wait_for(is_over, "the run", seconds=seconds)
        used = {name: cpu - before[name] for name, cpu in cpu_of(watched).items()}
        return used | {"centre": process_time() - centre}


def _resolved(stage: Stage, run: Run, smsc: Smsc) -> float:
    """The share of what the centre took of which receipts have told that it was delivered."""
    c = table(Message).c
    deadline = monotonic() + MATCH_SECONDS
    told = 0
    while told < len(smsc.taken) and monotonic() < deadline:
        match_waiting(stage.database, run.tenant_id, run.gateway_id or 0)
        told = _count(stage, run, c.delivered_at.is_not(None))
        threading.Event().wait(1)
    return told / len(smsc.taken)


def _count(stage: Stage, run: Run, condition: Any) -> int:
    c = table(Message).c
    query = select(func.count()).where(
        c.tenant_id == run.tenant_id,
        c.run_id == run.id,
        c.launched_on == run.launched_on,
        condition,
    )
    with stage.database.tenant_session(run.tenant_id) as session:
        return session.scalar(query) or 0


@contextmanager
def _receiving(stage: Stage) -> Iterator[None]:
    """Hold the sessions by which receipts come."""
    stopping = threading.Event()
    thread = threading.Thread(target=Receivers(stage.installation).run, args=(stopping,))
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def _delivered(taken: Taken) -> Sequence[Receipt]:  # noqa: ARG001 (what `Smsc` asks)
    return [Receipt(seconds=1)]


def _twice(smsc: Smsc) -> int:
    """How many phones got a message twice."""
    return sum(count > 1 for count in Counter(taken.address for taken in smsc.taken).values())


def _messages(first: int, count: int) -> list[Outgoing]:
    payload = b"Your points expire on Friday. Come by!"
    return [
        Outgoing(key=f"k{n}", address=f"+7916{n:07}", sender="Bench", payload=payload)
        for n in range(first, first + count)
    ]
