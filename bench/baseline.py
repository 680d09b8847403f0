"""What smtplib alone reaches: one constant message, again and again, over kept connections."""

from __future__ import annotations

import smtplib
import time
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier

PROCESSES = (1, 2, 4, 8)
SECONDS = 4.0

_FORKS = get_context("fork")
"""They begin at once; spawned ones would load the whole benchmark first."""


def best_rate(port: int, size: int, seconds: float = SECONDS) -> float:
    """Return the messages a second of the best number of processes."""
    return max(_rate(port, size, processes, seconds) for processes in PROCESSES)


def _rate(port: int, size: int, processes: int, seconds: float) -> float:
    together, rates = _FORKS.Barrier(processes), _FORKS.SimpleQueue()
    arguments = (port, size, seconds, together, rates)
    started = [_FORKS.Process(target=_send, args=arguments) for _ in range(processes)]
    for process in started:
        process.start()
    total = 0.0
    for _ in started:
        total += rates.get()
    for process in started:
        process.join()
    return total


def _send(
    port: int, size: int, seconds: float, together: Barrier, rates: SimpleQueue[float]
) -> None:
    message = _message(size)
    with smtplib.SMTP("127.0.0.1", port) as connection:
        connection.ehlo()
        together.wait()
        sent, began = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - began) < seconds:
            connection.sendmail("news@shop.test", ["anna@mail.test"], message)
            sent += 1
    rates.put(sent / elapsed)


def _message(size: int) -> bytes:
    head = b"From: news@shop.test\r\nTo: anna@mail.test\r\nSubject: News\r\n\r\n"
    line = b"x" * 76 + b"\r\n"
    body = line * (size // len(line) + 1)
    return head + body[: size - len(head) - 2] + b"\r\n"
