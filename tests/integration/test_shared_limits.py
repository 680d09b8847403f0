"""Limits that processes share: slots in Valkey, the local share without it, days of a gateway."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from time import monotonic, sleep

import pytest
from redis import Redis

from envoi.delivery import buckets
from envoi.delivery.buckets import Bucket, Buckets

RATE = 50.0


def one_sender() -> int:
    return 1


def used(find: Callable[[], Buckets], threads: int, seconds: float, bucket: Bucket) -> list[float]:
    """When so many threads, each with its own way to Valkey, could have sent."""
    sent: list[float] = []
    until = monotonic() + seconds

    def work() -> None:
        mine = find()
        while (now := monotonic()) < until:
            grant = mine.take(bucket, 1, until - now)
            if not grant.count:
                return
            sleep(grant.wait)
            sent.extend([monotonic()] * grant.count)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sorted(sent)


def busiest_second(moments: list[float]) -> int:
    return max(sum(first <= m < first + 1 for m in moments) for first in moments)


def test_all_together_keep_the_limit_and_use_it(redis_url: str) -> None:
    sent = used(lambda: Buckets(redis_url, one_sender), 8, 3.0, Bucket("test:together", RATE))
    assert busiest_second(sent) <= RATE * 1.1
    assert len(sent) >= RATE * 3.0 * 0.9


def test_slots_that_nobody_used_are_not_saved_up(redis_url: str) -> None:
    """However long it rested: whoever asks then finds the slack, and what time itself brings.

    The first asking moves the free moment to `slack` before it, and every slot taken moves it
    on by `spacing`. The slot number k is free when the k - 1 before it fit in the slack and
    the time since the first asking: (k - 1) * spacing <= slack + elapsed.
    """
    found, bucket = Buckets(redis_url, one_sender), Bucket("test:idle", RATE)
    assert found.take(bucket, 1, 0).count == 1
    sleep(0.5)
    began = monotonic()
    at_once = sum(found.take(bucket, 1, 0).count for _ in range(20))
    elapsed = monotonic() - began
    assert at_once <= 1 + (bucket.slack + elapsed) / bucket.spacing
    assert at_once >= 1 + int(bucket.slack / bucket.spacing), "the slack itself is there"


def test_what_would_take_too_long_is_not_taken(redis_url: str) -> None:
    found, bucket = Buckets(redis_url, one_sender), Bucket("test:slow", 1 / 60)
    assert found.take(bucket, 1, 2).count == 1
    refused = found.take(bucket, 1, 2)
    assert refused.count == 0
    assert 59 < refused.wait <= 62
    again = found.take(bucket, 1, 2)
    assert again.wait <= refused.wait, "asking costs nothing"


def test_without_valkey_each_keeps_to_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "COUNT_SECONDS", 0.2)
    bucket = Bucket("test:away", RATE)
    found = Buckets("", lambda: 4)
    first = found.take(bucket, 1, 0)
    assert first.count == 0, "others must have counted as well before it begins"
    sleep(0.25)
    sent = used(lambda: found, 2, 2.0, bucket)
    assert RATE / 4 * 2.0 * 0.8 <= len(sent) <= RATE / 4 * 2.0 + 1


def test_valkey_that_goes_and_comes_back(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frozen, it answers nobody: the local share begins later, ends at once, and then all rest."""
    monkeypatch.setattr(buckets, "COUNT_SECONDS", 0.3)
    monkeypatch.setattr(buckets, "RETURN_SECONDS", 1.0)
    monkeypatch.setattr(buckets, "ANSWER_SECONDS", 0.1)
    bucket, found = Bucket("test:return", RATE), Buckets(redis_url, one_sender)
    assert found.take(bucket, 1, 1).count == 1
    with Redis.from_url(redis_url) as admin:
        admin.client_pause(1_500)
        assert found.take(bucket, 1, 0).count == 0
        sleep(0.35)
        assert found.take(bucket, 1, 0).count == 1
        deadline = monotonic() + 5
        while (grant := found.take(bucket, 1, 0)).wait < 0.5:
            assert monotonic() < deadline
            sleep(0.02)
        assert grant.count == 0, "others may not know yet that it is back"
        assert 0.5 <= grant.wait <= 1.0
        sleep(grant.wait + 0.05)
        assert found.take(bucket, 1, 0.2).count == 1


def test_a_wiped_valkey_is_no_trouble(redis_url: str) -> None:
    bucket, found = Bucket("test:wiped", RATE), Buckets(redis_url, one_sender)
    assert found.take(bucket, 1, 1).count == 1
    with Redis.from_url(redis_url) as admin:
        admin.flushall()
        admin.script_flush()
    assert Counter(found.take(bucket, 1, 1).count for _ in range(3)) == {1: 3}
