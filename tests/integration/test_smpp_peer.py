"""A message centre that others wrote understands us: `smpp34`, of which we use nothing else."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest
import smpp34

from envoi.types import DeliveryEvent, EventType, SendStatus
from envoi_provider_smpp.pdu import RECEIPT, Status
from processes import wait_until
from smsc import smpp_account, texts


async def _serve(port: int, ready: threading.Event, stop: threading.Event) -> None:
    """Take every second message, throttle the others, and report what was taken."""
    server = smpp34.Server(host="127.0.0.1", port=port)
    await server.start()
    ready.set()
    sessions: dict[str, smpp34.Esme] = {}
    count = 0
    while not stop.is_set():
        try:
            event = await asyncio.wait_for(server.next(), 0.2)
        except TimeoutError:
            continue
        if isinstance(event, smpp34.Esme):
            sessions[event.session_id] = event
        elif isinstance(event, smpp34.SubmitSmEvent):
            count += 1
            if count % 2 == 0:
                event.reject(Status.ESME_RTHROTTLED)
                continue
            event.accept(message_id=f"M{count}")
            await sessions[event.session_id].deliver_sm(
                event.source_addr,
                f"id:M{count} stat:DELIVRD err:000".encode(),
                source_addr=event.destination_addr,
                esm_class=RECEIPT,
            )
    await server.stop()


@pytest.fixture
def peer() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    ready, stop = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(port, ready, stop)))
    thread.start()
    assert ready.wait(10)
    yield port
    stop.set()
    thread.join()


def test_a_centre_of_others_takes_throttles_and_reports(peer: int) -> None:
    told: list[DeliveryEvent] = []
    connection = smpp_account(peer, binding="transceiver", window=1).connect()
    connection.deliver_to(lambda event, raw: told.append(event))
    first, second, third = (connection.send(message) for message in texts(3))
    wait_until(lambda: len(told) == 2, what="the receipts")
    connection.close()
    assert [first.status, second.status] == [SendStatus.ACCEPTED, SendStatus.THROTTLED]
    assert (first.provider_id, third.provider_id) == ("M1", "M3")
    assert [(event.reference, event.type) for event in told] == [
        ("M1", EventType.DELIVERED),
        ("M3", EventType.DELIVERED),
    ]
