"""Servers that fail, and processes that are asked to end, in the middle of a mailing."""

from __future__ import annotations

import os
import shutil
import signal
import time

import redis

from bench.figures import Figure, at_most, info
from bench.processes import postmaster, wait_for
from bench.stage import Stage
from chaos.course import Row, a_course
from chaos.hosts import a_host
from chaos.witness import a_server

PROCESSES, THREADS = 2, 2

WIPES, WIPE_PEOPLE, AFTER_A_WIPE = 3, 10_000, 60
DOWN_SECONDS, DOWN_PEOPLE, AFTER_AN_OUTAGE = 60, 20_000, 10
STOPS, STOP_PEOPLE, AFTER_A_STOP = 5, 10_000, 15
RESTARTS, RESTART_PEOPLE, GONE_SECONDS = 10, 10_000, 30


def valkey_wiped(row: Row) -> list[Figure]:
    """Kill Valkey and delete all it has."""
    times, again = row.part(WIPES), [0.0]
    with a_server(seed=row.chance.randrange(1000)) as witness:
        course = a_course(row.stage, row.part(WIPE_PEOPLE, 1000), witness)
        with a_host(row.stage, PROCESSES, THREADS, others=True):
            for number in range(times):
                course.wait_for_share((number + 1) / (times + 1))
                wipe_valkey(row.stage)
                again.append(course.wait_for_a_message(time.time()))
            course.wait_for_the_end()
        return [
            *course.verdict("valkey_wiped", 0),
            at_most("valkey_wiped.again", max(again), "s", AFTER_A_WIPE),
            info("valkey_wiped.silence", witness.longest_silence(), "s"),
        ]


def valkey_down(row: Row) -> list[Figure]:
    """Let Valkey be away for a minute; a mailing that starts meanwhile does not wait for it."""
    seconds = max(10.0, DOWN_SECONDS * row.scale)
    with a_server(seed=row.chance.randrange(1000)) as witness, a_server() as other:
        course = a_course(row.stage, row.part(DOWN_PEOPLE, 2000), witness)
        with a_host(row.stage, PROCESSES, THREADS, others=True):
            course.wait_for_share(0.05)
            row.stage.valkey.stop()
            began = time.time()
            later = a_course(row.stage, 200, other)
            time.sleep(max(0, began + seconds - time.time()))
            row.stage.valkey.start()
            back = time.time()
            started = later.wait_for_a_message(began) + began
            course.wait_for_the_end()
            later.wait_for_the_end()
        return [
            *course.verdict("valkey_down", 0),
            *later.verdict("valkey_down.later", 0),
            at_most("valkey_down.again", max(0, started - back), "s", AFTER_AN_OUTAGE),
            info("valkey_down.seconds", back - began, "s"),
            info("valkey_down.silence", witness.longest_silence(), "s"),
        ]


def postgres_stopped(row: Row) -> list[Figure]:
    """Stop PostgreSQL without a goodbye; what is on the wire is recorded when it is back."""
    times, again = row.part(STOPS), [0.0]
    with a_server(seed=row.chance.randrange(1000)) as witness:
        course = a_course(row.stage, row.part(STOP_PEOPLE, 1000), witness)
        with a_host(row.stage, PROCESSES, THREADS, others=True):
            for number in range(times):
                course.wait_for_share((number + 1) / (times + 1))
                stop_postgres(row.stage, row.chance.uniform(1, 5))
                back = time.time()
                claimed = course.wait_for_a_claim(back)
                again.append(course.wait_for_a_message(claimed) + claimed - back)
            course.wait_for_the_end()
        return [
            *course.verdict("postgres_stopped", times * PROCESSES * THREADS),
            at_most("postgres_stopped.again", max(again), "s", AFTER_A_STOP),
            info("postgres_stopped.times", times, "stops"),
        ]


def restarts(row: Row) -> list[Figure]:
    """Ask one sender after the other to end, as an upgrade does."""
    times, gone = row.part(RESTARTS, 2), [0.0]
    with a_server(seed=row.chance.randrange(1000)) as witness:
        course = a_course(row.stage, row.part(RESTART_PEOPLE, 1000), witness)
        with a_host(row.stage, PROCESSES, THREADS, others=True) as host:
            for number in range(times):
                course.wait_for_share((number + 1) / (times + 1))
                gone.append(host.restart(host.senders()[number % PROCESSES]))
            course.wait_for_the_end()
        return [
            *course.verdict("restarts", 0),
            at_most("restarts.unconfirmed", len(course.resent()), "messages", 0),
            at_most("restarts.gone_after", max(gone), "s", GONE_SECONDS),
            info("restarts.silence", witness.longest_silence(), "s"),
            info("restarts.times", times, "restarts"),
        ]


def wipe_valkey(stage: Stage) -> None:
    """Kill it, delete its data, start it again."""
    with redis.Redis.from_url(stage.valkey.url) as client:
        os.kill(int(client.info("server")["process_id"]), signal.SIGKILL)
    wait_for(lambda: not stage.valkey.is_running(), "the end of Valkey")
    shutil.rmtree(stage.valkey.home / "data")
    stage.valkey.keep_running()


def stop_postgres(stage: Stage, seconds: float) -> None:
    """Stop it in mode `immediate`, which is like a power cut, and start it again after a while."""
    os.kill(postmaster(stage), signal.SIGQUIT)
    wait_for(lambda: not stage.postgres.is_running(), "the end of PostgreSQL")
    time.sleep(seconds)
    stage.postgres.keep_running()
