"""What holds for all processes together: limits, turns, opt-outs, a start that is pressed often."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import func, select

from bench import mailing
from bench.figures import Figure, at_least, at_most, info
from bench.processes import wait_for
from bench.stage import Stage
from chaos.course import Row, a_course
from chaos.hosts import a_host
from chaos.witness import Witness, a_server
from envoi.customers.models import Customer
from envoi.db import table
from envoi.delivery.models import Run
from envoi.errors import ConflictError
from envoi.mailings import launch, service, variants
from envoi.mailings.audience import estimate_mailing
from envoi.segments.service import create_segment
from envoi.subscriptions.service import opt_out

PER_SECOND, LIMIT_SECONDS, LIMIT_PROCESSES = 50, 60, 4
MOST_PER_SECOND, USED_SHARE = 55, 0.95

LARGE, SMALL, SMALL_SECONDS = 1_000_000, 100, 30

OPT_OUT_PEOPLE, OPT_OUT_AT_ONCE, TOO_LATE_SECONDS = 10_000, 20, 5

PRESSES, START_PEOPLE = 50, 500


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


def start(row: Row) -> list[Figure]:
    """Press start fifty times at the same moment."""
    with a_server("0-0") as witness:
        tenant_id, mailing_id, recipients = _a_draft(row.stage, witness)

        def press(_: int) -> bool:
            installation = row.stage.installation
            hurried = installation.settings.model_copy(update={"undo_seconds": 0})
            try:
                with row.stage.database.tenant_session(tenant_id) as session:
                    launch.confirm(
                        session,
                        installation.plugins,
                        hurried,
                        tenant_id,
                        mailing_id,
                        recipients=recipients,
                    )
            except ConflictError:
                return False
            launch.launch_due(installation, tenant_id, mailing_id)
            return True

        with a_host(row.stage, 2, 2, others=True):
            with ThreadPoolExecutor(PRESSES) as hands:
                taken = sum(hands.map(press, range(PRESSES)))
            wait_for(lambda: len(witness.look()) >= recipients, "the mailing", seconds=120)
            time.sleep(2)
        served = witness.served()
        return [
            at_most("start.runs", _runs(row.stage, tenant_id), "runs", 1),
            at_most("start.taken", taken, "presses", 1),
            at_most("start.lost", recipients - len(served), "messages", 0),
            at_most("start.duplicates", served.total() - len(served), "messages", 0),
        ]


def _opt_out(stage: Stage, tenant_id: int, addresses: list[str]) -> None:
    c = table(Customer).c
    with stage.database.tenant_session(tenant_id) as session:
        theirs = select(c.id).where(c.tenant_id == tenant_id, c.email.in_(addresses))
        for customer_id in session.scalars(theirs).all():
            opt_out(session, tenant_id, customer_id, "email", source="page")


def _a_draft(stage: Stage, witness: Witness) -> tuple[int, int, int]:
    """A complete draft: company, mailing, recipients."""
    tenant_id, plugins = stage.tenant(), stage.installation.plugins
    mailing.make_people(stage, tenant_id, START_PEOPLE)
    mailing.make_gateway(stage, tenant_id, witness.port)
    with stage.database.tenant_session(tenant_id) as session:
        tree = {"all": [{"source": "all_customers", "settings": {}}]}
        segment = create_segment(session, tenant_id, name="Everybody", tree=tree, plugins=plugins)
        made = service.create_draft(
            session, tenant_id, channel="email", name="Autumn", segment_id=segment.id
        )
        content = mailing.email(links=1, prose=1)
        variants.save_content(session, tenant_id, made.id, made.version, content)
        found = estimate_mailing(session, plugins, tenant_id, made.id).recipients
    return tenant_id, made.id, found


def _runs(stage: Stage, tenant_id: int) -> int:
    c = table(Run).c
    with stage.database.tenant_session(tenant_id) as session:
        return session.scalar(select(func.count()).where(c.tenant_id == tenant_id)) or 0
