"""The places of a worker process: who hangs costs the others nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from envoi.db import connect
from envoi.installation import Installation
from envoi.plugins import load_plugins
from envoi.settings import Settings
from envoi_workers import workshop as module
from envoi_workers.workshop import SPARE_SEATS, Workshop

THREADS = 2


def a_workshop(spare: int = SPARE_SEATS) -> Workshop:
    installation = Installation(Settings(), connect("postgresql://"), load_plugins())
    return Workshop(installation, THREADS, spare=spare)


@contextmanager
def working(workshop: Workshop, tenant_id: int) -> Iterator[bool]:
    """Try to take a place in a thread of its own, and stay in it until the end of the block."""
    found: list[bool] = []
    sat, done = threading.Event(), threading.Event()

    def work() -> None:
        with workshop.seat(tenant_id) as seated:
            found.append(seated)
            sat.set()
            done.wait()

    thread = threading.Thread(target=work)
    thread.start()
    sat.wait()
    try:
        yield found[0]
    finally:
        done.set()
        thread.join()


@pytest.fixture
def all_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everybody count as hanging at once."""
    monkeypatch.setattr(module, "HANGS_SECONDS", -1.0)


def test_as_many_work_as_there_are_threads() -> None:
    workshop = a_workshop()
    with working(workshop, 1) as first, working(workshop, 2) as second:
        assert (first, second) == (True, True)
        with working(workshop, 3) as third:
            assert not third
    assert workshop.free_seats() == THREADS


@pytest.mark.usefixtures("all_hang")
def test_whoever_hangs_keeps_no_other_tenant_waiting() -> None:
    workshop = a_workshop()
    with ExitStack() as stack:
        for _ in range(THREADS):
            assert stack.enter_context(working(workshop, 1))
        assert not workshop.has_seat_for(1)
        assert not stack.enter_context(working(workshop, 1)), "nobody has more than the threads"
        assert workshop.has_seat_for(2)
        assert stack.enter_context(working(workshop, 2))
    assert workshop.free_seats() == THREADS


@pytest.mark.usefixtures("all_hang")
def test_the_spare_places_are_bounded() -> None:
    workshop = a_workshop()
    with ExitStack() as stack:
        seated = [stack.enter_context(working(workshop, number)) for number in range(30)]
    assert sum(seated) == THREADS + SPARE_SEATS
    long = a_workshop(spare=0)
    with ExitStack() as stack:
        seated = [stack.enter_context(working(long, number)) for number in range(5)]
    assert sum(seated) == THREADS, "where work is long by nature, long work hangs not"


def test_the_place_of_a_thread_that_is_given_up_goes_to_its_tenant_as_well() -> None:
    workshop = a_workshop(spare=0)
    with working(workshop, 1), working(workshop, 1), workshop.turns.taken((1, 7)):
        assert not workshop.has_seat_for(1)
        for thread in threading.enumerate():
            workshop.give_up(thread.ident or 0)
        assert workshop.has_seat_for(1)
        assert workshop.free_seats() == THREADS
        with working(workshop, 1) as seated:
            assert seated
        workshop.wait_until_idle(deadline=0.0)
    assert workshop.free_seats() == THREADS, "whoever comes back after all frees nothing twice"


@pytest.mark.usefixtures("all_hang")
def test_who_begins_something_else_hangs_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    workshop = a_workshop()
    with workshop.seat(1) as seated:
        assert seated
        assert workshop.free_seats() == THREADS
        monkeypatch.setattr(module, "HANGS_SECONDS", 60.0)
        workshop.begin(2)
        assert workshop.free_seats() == THREADS - 1
        assert workshop.has_seat_for(1)
