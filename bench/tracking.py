"""tracking: how many hits a second are taken and kept, against a server that does nothing."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median

from sqlalchemy import func, select, text

from bench import mailing
from bench.figures import Figure, at_least, at_most, info
from bench.load import Load, load
from bench.processes import cpu_seconds, free_port, listens, postmaster, variables, wait_for
from bench.stage import Stage, open_run
from envoi.db import table
from envoi.delivery.models import Run
from envoi.delivery.runs import RunSettings, store_links
from envoi.tracking import counters
from envoi.tracking.models import EventCounter
from envoi.tracking.tokens import MessageRef, TokenKind, signer_of
from envoi.tracking.urls import UrlMaker

HITS, ROUNDS, LINKS = 10_000, 5, 10
"""Hits a round; every one belongs to a message of its own."""

RATIO = 0.6

_MESSAGES = text(
    "INSERT INTO message (tenant_id, run_id, launched_on, customer_id, step, state, variant,"
    " accepted_at) SELECT :tenant, :run, :day, i, 1, 5, 1, now() - interval '1 hour'"
    " FROM generate_series(1, :count) AS i"
)


def run(stage: Stage, hits: int = HITS, rounds: int = ROUNDS) -> list[Figure]:
    """Take turns with an empty server, then compare counters and rows."""
    sent = _sent_run(stage, hits * rounds)
    paths = _paths(stage, sent, hits * rounds)
    rates, written, generator, empty_rates = [], [], [], []
    with served_tracking(stage) as (port, server), _empty(stage) as empty_port:
        load(empty_port, ["/"] * hits)
        used = _cpu(stage, server)
        for turn in range(rounds):
            empty_rates.append(load(empty_port, ["/"] * hits).rate)
            mine = paths[turn * hits : (turn + 1) * hits]
            done, written_rate = _take(stage, sent, port, mine)
            rates.append(done.rate)
            written.append(written_rate)
            generator.append(1e6 * done.cpu_seconds / hits)
        used = [after - before for before, after in zip(used, _cpu(stage, server), strict=True)]
    ratio = median(mine / empty for mine, empty in zip(rates, empty_rates, strict=True))
    lost = hits * rounds - _rows(stage, sent)
    wrong = len(counters.compare(stage.database, sent.tenant_id, sent.id))
    return [
        info("tracking.rate", median(rates), "hits/s"),
        info("tracking.written", median(written), "hits/s"),
        info("tracking.empty", median(empty_rates), "answers/s"),
        at_least("tracking.ratio", ratio, "x empty route", RATIO),
        at_most("tracking.lost", lost, "hits", 0),
        at_most("tracking.differences", wrong, "counters", 0),
        info("tracking.cpu_us.server", 1e6 * used[0] / (hits * rounds), "us/hit"),
        info("tracking.cpu_us.database", 1e6 * used[1] / (hits * rounds), "us/hit"),
        info("tracking.cpu_us.generator", median(generator), "us/hit"),
    ]


def _sent_run(stage: Stage, people: int) -> Run:
    """Make a run that everybody got an hour ago; hits need neither customers nor contents."""
    tenant_id = stage.tenant()
    with stage.database.tenant_session(tenant_id) as session:
        run = open_run(session, tenant_id, RunSettings(variants=[]))
        store_links(session, tenant_id, run.id, 1, [f"https://shop.test/{n}" for n in range(LINKS)])
        fixed = {"tenant": tenant_id, "run": run.id, "day": run.launched_on, "count": people}
        session.execute(_MESSAGES, fixed)
    mailing.settle(stage)
    return run


def _paths(stage: Stage, sent: Run, count: int) -> list[str]:
    """Addresses of opens and clicks of distinct messages, three opens a click, in no order."""
    maker = UrlMaker("", signer_of(stage.installation.settings))
    people = list(range(1, count + 1))
    random.Random(7).shuffle(people)
    return [_path(maker, sent, customer_id) for customer_id in people]


def _path(maker: UrlMaker, sent: Run, customer_id: int) -> str:
    message = MessageRef(
        tenant_id=sent.tenant_id,
        run_id=sent.id,
        customer_id=customer_id,
        launched_on=sent.launched_on,
        step=1,
        variant=1,
    )
    urls = maker.message(message)
    clicks = customer_id % 4 == 0
    return urls.click(customer_id % LINKS, "") if clicks else f"{urls.of(TokenKind.OPEN)}.gif"


def _take(stage: Stage, sent: Run, port: int, paths: Sequence[str]) -> tuple[Load, float]:
    """Ask for every path; also hits a second until the last one is in the database."""
    before, began = _rows(stage, sent), time.perf_counter()
    done = load(port, paths)
    assert (len(done.answered_at), done.refused) == (len(paths), 0)
    wait_for(lambda: _rows(stage, sent) - before == len(paths), "the hits")
    return done, len(paths) / (time.perf_counter() - began)


def _rows(stage: Stage, sent: Run) -> int:
    c = table(EventCounter).c
    query = select(func.coalesce(func.sum(c.hits), 0)).where(
        c.tenant_id == sent.tenant_id, c.run_id == sent.id
    )
    with stage.database.tenant_session(sent.tenant_id) as session:
        return int(session.scalars(query).one())


def _cpu(stage: Stage, server: int) -> list[float]:
    return [cpu_seconds(server), cpu_seconds(postmaster(stage))]


@contextmanager
def served_tracking(stage: Stage) -> Iterator[tuple[int, int]]:
    """Run `envoi tracking`; yields its port and its process."""
    port = free_port()
    command = [sys.executable, "-m", "envoi", "tracking"]
    with _served(stage, command, port, ENVOI_TRACKING_PORT=str(port)) as process:
        yield port, process


@contextmanager
def _empty(stage: Stage) -> Iterator[int]:
    port = free_port()
    with _served(stage, [sys.executable, "-m", "bench.empty", str(port)], port):
        yield port


@contextmanager
def _served(stage: Stage, command: Sequence[str], port: int, **more: str) -> Iterator[int]:
    environment = {**os.environ, **variables(stage), **more}
    process = subprocess.Popen(command, env=environment)
    try:
        wait_for(lambda: listens(port), command[2])
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)
