"""Processes killed: one by one, with their machine, and in a storm of everything."""

from __future__ import annotations

import time
from contextlib import ExitStack

from bench.figures import Figure, at_least, at_most, info
from chaos.course import Course, Row, a_course
from chaos.hosts import Host, a_host
from chaos.outages import stop_postgres, wipe_valkey
from chaos.witness import a_server
from envoi.db import table
from envoi.delivery.models import Message, MessageState

PROCESSES, THREADS = 2, 2
"""Senders and connections of each; few, so that 20,000 messages take two seconds a kill."""

PEOPLE, KILLS = 20_000, 50
OPEN_SHARE, SECONDS_A_KILL = 0.8, 2.0
BURN_PEOPLE, BURNS = 10_000, 5
STORM_PEOPLE, STORM_FAULTS = 10_000, 20


def kills(row: Row) -> list[Figure]:
    """Kill random senders while the server lets every message wait."""
    people, times = row.part(PEOPLE, 1000), row.part(KILLS, 3)
    with a_server(seed=row.chance.randrange(1000)) as witness:
        course = a_course(row.stage, people, witness)
        hits = _kill_by_and_by(row, course, times)
        storm = _of_storm("kills", course, hits)
        return [*course.verdict("kills", sum(hits)), *storm]


def kills_held(row: Row) -> list[Figure]:
    """The same where messages of unknown outcome are left: nobody twice, every one listed."""
    people, times = row.part(PEOPLE, 1000), row.part(KILLS, 3)
    with a_server(seed=row.chance.randrange(1000)) as witness:
        course = a_course(row.stage, people, witness, hold=True)
        hits = _kill_by_and_by(row, course, times)
        end, served = course.progress(), witness.served()
        listed = course.addresses(table(Message).c.state == MessageState.UNCONFIRMED)
        silent = course.addresses() - served.keys() - listed
        return [
            at_most("kills_held.duplicates", served.total() - len(served), "messages", 0),
            at_most("kills_held.unlisted", len(silent), "messages", 0),
            at_most("kills_held.unconfirmed", end.unconfirmed, "messages", sum(hits)),
            at_most("kills_held.open", people - end.accepted - end.unconfirmed, "messages", 0),
            *_of_storm("kills_held", course, hits),
        ]


def burns(row: Row) -> list[Figure]:
    """Kill a whole machine and delete its recorders; another one goes on, much later."""
    people, times = row.part(BURN_PEOPLE, 2000), row.part(BURNS)
    with a_server(seed=row.chance.randrange(1000)) as witness, ExitStack() as stack:
        course = a_course(row.stage, people, witness)
        stack.enter_context(a_host(row.stage, 1, THREADS, name="stays", others=True))
        burning = stack.enter_context(a_host(row.stage, PROCESSES, THREADS, name="burns"))
        in_doubt = 0
        for number in range(times):
            course.wait_for_share((number + 1) / (times + 2))
            lost = burning.burn_down(burning.folder.with_name(f"burns-{number}"))
            in_doubt += course.in_open_blocks(lost)
        course.wait_for_the_end()
        resent = course.resent()
        return [
            *course.verdict("burns", in_doubt),
            at_most("burns.unconfirmed", len(resent), "messages", in_doubt),
            info("burns.machines", times, "machines"),
        ]


def storm(row: Row) -> list[Figure]:
    """Senders and schedulers killed and restarted, servers stopped and wiped, by chance."""
    people, times = row.part(STORM_PEOPLE, 1000), row.part(STORM_FAULTS, 3)
    with a_server(seed=row.chance.randrange(1000)) as witness:
        course = a_course(row.stage, people, witness)
        with a_host(row.stage, PROCESSES, THREADS, others=True) as host:
            began, may_come_twice = time.monotonic(), 0
            for number in range(times):
                course.wait_for_share((number + 1) / (times + 1))
                may_come_twice += _any_fault(row, host)
            course.wait_for_the_end()
        return [
            *course.verdict("storm", may_come_twice),
            info("storm.faults", times, "faults"),
            info("storm.seconds", time.monotonic() - began, "s"),
        ]


def _kill_by_and_by(row: Row, course: Course, times: int) -> list[int]:
    """Kill random senders all over the run; return what each had on the wire."""
    hits = []
    with a_host(row.stage, PROCESSES, THREADS, others=True) as host:
        for number in range(times):
            course.wait_for_share((number + 1) / (times + 1))
            hits.append(host.kill(row.chance.choice(host.senders())))
        course.wait_for_the_end()
    return hits


def _of_storm(name: str, course: Course, hits: list[int]) -> list[Figure]:
    """What shows that the kills were worth the name."""
    times = [one.at for one in course.witness.look()]
    seconds = (max(times) - min(times)) / len(hits)
    share = sum(map(bool, hits)) / len(hits)
    return [
        at_least(f"{name}.hit_share", share, "of the kills", OPEN_SHARE),
        at_least(f"{name}.seconds_a_kill", seconds, "s", SECONDS_A_KILL),
        info(f"{name}.kills", len(hits), "kills"),
        info(f"{name}.on_wire", sum(hits), "messages"),
    ]


def _any_fault(row: Row, host: Host) -> int:
    """Let something fail; return how many messages may come twice for it."""
    (fault,) = row.chance.choices(
        ["kill", "restart", "scheduler", "valkey", "postgres"], weights=[6, 3, 1, 1, 1]
    )
    match fault:
        case "kill":
            return host.kill(row.chance.choice(host.senders()))
        case "restart":
            host.restart(row.chance.choice(host.senders()))
        case "scheduler":
            host.kill(row.chance.choice(host.schedulers()))
        case "valkey":
            wipe_valkey(row.stage)
        case "postgres":
            stop_postgres(row.stage, row.chance.uniform(0.2, 2))
            return PROCESSES * THREADS
    return 0
