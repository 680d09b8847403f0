"""What holds for all processes together: limits, turns, opt-outs, a pause."""

from __future__ import annotations

import time

from sqlalchemy import select

from bench.figures import Figure, at_least, at_most, info
from bench.stage import Stage
from chaos.course import Row, a_course
from chaos.hosts import a_host
from chaos.witness import a_server
from envoi.customers.models import Customer
from envoi.db import table
from envoi.delivery.runs import pause_run, resume_run
from envoi.jobs import Work, hint
from envoi.subscriptions.service import opt_out

PER_SECOND, LIMIT_SECONDS, LIMIT_PROCESSES = 50, 60, 4
MOST_PER_SECOND, USED_SHARE = 55, 0.95

LARGE, SMALL, SMALL_SECONDS = 1_000_000, 100, 30

OPT_OUT_PEOPLE, OPT_OUT_AT_ONCE, TOO_LATE_SECONDS = 10_000, 20, 5

STEER_PEOPLE, PAUSES, LONGEST_PAUSE, AFTER_A_PAUSE = 10_000, 50, 5, 3
"""Seconds: a block that has begun lasts two at most, or one slow message longer."""


def limit(row: Row) -> list[Figure]:
    """Send for a minute by four processes through a gateway with a limit."""
    seconds = row.part(LIMIT_SECONDS, 10)
    with a_server(seed=row.chance.randrange(1000)) as witness:
        course = a_course(row.stage, PER_SECOND * (seconds + 20), witness, per_second=PER_SECOND)
        with a_host(row.stage, LIMIT_PROCESSES, 2, others=True):
            course.wait_for_a_message(0)
            time.sleep(seconds + 2)
        # The first second and the last are not whole.
        found = witness.by_second()[2 : seconds + 2]
    return [
        at_most("limit.most", max(found), "messages/s", MOST_PER_SECOND),
        at_least("limit.used", sum(found) / len(found) / PER_SECOND, "of the limit", USED_SHARE),
        info("limit.seconds", len(found), "s"),
    ]


def tenants(row: Row) -> list[Figure]:
    """Let a company with a hundred messages come after one with a million."""
    people = row.part(LARGE, 20_000)
    with a_server("0-0") as witness, a_server("0-0") as other:
        large = a_course(row.stage, people, witness)
        with a_host(row.stage, 2, 4, others=True):
            large.wait_for_a_message(0)
            began = time.time()
            small = a_course(row.stage, SMALL, other)
            small.wait_for_the_end()
            left = large.people - len(witness.look())
        return [
            *small.verdict("tenants.small", 0),
            at_most(
                "tenants.seconds", max(one.at for one in other.look()) - began, "s", SMALL_SECONDS
            ),
            at_least("tenants.still_waiting", left, "messages of the large one", 1),
        ]


def opt_outs(row: Row) -> list[Figure]:
    """Let people leave while they are sent to."""
    left: dict[str, float] = {}
    with a_server(seed=row.chance.randrange(1000)) as witness:
        course = a_course(row.stage, row.part(OPT_OUT_PEOPLE, 1000), witness)
        waiting = sorted(course.addresses())
        row.chance.shuffle(waiting)
        with a_host(row.stage, 2, 2, others=True):
            course.wait_for_a_message(0)
            while not course.is_over():
                leaving = [waiting.pop() for _ in range(min(OPT_OUT_AT_ONCE, len(waiting) // 2))]
                _opt_out(row.stage, course.run.tenant_id, leaving)
                left |= dict.fromkeys(leaving, time.time())
                time.sleep(0.5)
        late = [s for s in witness.look() if s.at > left.get(s.rcpt, s.at) + TOO_LATE_SECONDS]
        end, served = course.progress(), witness.served()
        return [
            at_most("opt_outs.sent_late", len(late), "messages", 0),
            at_most("opt_outs.lost", end.recipients - end.blocked - len(served), "messages", 0),
            at_most("opt_outs.duplicates", served.total() - len(served), "messages", 0),
            at_least("opt_outs.blocked", end.blocked, "messages", 1),
            info("opt_outs.left", len(left), "people"),
        ]


def steering(row: Row) -> list[Figure]:
    """Let a person pause the mailing and go on with it, all over the run."""
    times, pauses = row.part(PAUSES, 5), list[tuple[float, float]]()
    with a_server(seed=row.chance.randrange(1000)) as witness:
        course = a_course(row.stage, row.part(STEER_PEOPLE, 1000), witness)
        mine = (course.run.tenant_id, course.run.id)
        with a_host(row.stage, 2, 2, others=True):
            for number in range(times):
                course.wait_for_share((number + 1) / (times + 1))
                with row.stage.database.tenant_session(mine[0]) as session:
                    pause_run(session, *mine, "A person paused it.")
                paused = time.time()
                time.sleep(row.chance.uniform(0, LONGEST_PAUSE))
                pauses.append((paused + AFTER_A_PAUSE, time.time()))
                with row.stage.database.tenant_session(mine[0]) as session:
                    resume_run(session, *mine)
                hint(row.stage.installation.broker, Work.SEND, *mine)
            course.wait_for_the_end()
        late = [s for s in witness.look() if any(quiet < s.at < end for quiet, end in pauses)]
        return [
            *course.verdict("steering", 0),
            at_most("steering.unconfirmed", len(course.resent()), "messages", 0),
            at_most("steering.sent_while_paused", len(late), "messages", 0),
            info("steering.pauses", times, "pauses"),
        ]


def _opt_out(stage: Stage, tenant_id: int, addresses: list[str]) -> None:
    c = table(Customer).c
    with stage.database.tenant_session(tenant_id) as session:
        theirs = select(c.id).where(c.tenant_id == tenant_id, c.email.in_(addresses))
        for customer_id in session.scalars(theirs).all():
            opt_out(session, tenant_id, customer_id, "email", source="page")
