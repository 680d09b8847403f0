"""The sending loop: claim a block, render, hand over, record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from time import monotonic, perf_counter, sleep

import structlog
from sqlalchemy.exc import DataError, InterfaceError, OperationalError, ProgrammingError
from structlog.contextvars import bind_contextvars, bound_contextvars

from envoi.calls import calling
from envoi.db import storable
from envoi.delivery.batches import BATCH_SECONDS, BatchSizes, most_at_once, sent
from envoi.delivery.blocks import is_due
from envoi.delivery.circuit import BACK_OFF, BackOff, failed, half_open, worked
from envoi.delivery.claim import Claim, ClaimedMessage, claim_block
from envoi.delivery.connections import Connections
from envoi.delivery.costs import require_budget
from envoi.delivery.handover import may_follow
from envoi.delivery.models import MessageState
from envoi.delivery.observers import Observers
from envoi.delivery.outcomes import Outcome, record
from envoi.delivery.plan import Plan, Plans
from envoi.delivery.quota import DayQuota
from envoi.delivery.recipients import Person
from envoi.delivery.recorder import Slot
from envoi.delivery.routes import Route, choose_route
from envoi.delivery.runs import pause_run, settle
from envoi.delivery.sender import SenderEndedError, SenderSession
from envoi.delivery.services import ServicesConnection
from envoi.delivery.shares import Shares
from envoi.delivery.sheet import Ready, Sheet
from envoi.delivery.streaks import RefusingEverythingError, Streaks, is_of_gateway
from envoi.delivery.submissions import whole
from envoi.delivery.tempo import Tempos
from envoi.delivery.throttle import Outflow, Throttle, domain_of, shared_buckets
from envoi.delivery.traffic import note_traffic
from envoi.errors import (
    ConflictError,
    EnvoiError,
    NotIssuedError,
    ProviderError,
    ValidationFailedError,
)
from envoi.failpoints import Place, hit
from envoi.feedback.reporting import reporter
from envoi.installation import Installation
from envoi.jobs import Work, announce
from envoi.logs import without_secrets
from envoi.operations.metrics import BLOCK_MESSAGES, SEND_SECONDS
from envoi.operations.plugin_errors import note_fault
from envoi.plugins import blame, fence
from envoi.types import Connection, ReportingConnection, SendResult, SendStatus

log = structlog.get_logger()

WORK_SECONDS = 20.0
BLOCK_SECONDS = 2.0
"""After so long a block is recorded and claimed again, which asks anew who may get it."""

FRESH_SECONDS = 4.5
"""So long after it was asked who may get a block nothing of it leaves any more: an opt-out
holds after five seconds, also where the claim had to wait for a lock."""

RECORD_AGAIN_SECONDS = 1.0


class Engine:
    """Sends runs within one sender session; used by all threads of a process."""

    def __init__(
        self, installation: Installation, sender: SenderSession, back_off: BackOff = BACK_OFF
    ) -> None:
        self._database = installation.database
        self._plugins = installation.plugins
        self._sender = sender
        self._plans = Plans(installation)
        self._back_off = back_off
        self._shares = Shares(installation.database, sender.id)
        self._streaks = Streaks()
        self._tempos = Tempos()
        self._sizes = BatchSizes()
        self.connections = Connections()
        self.observers = Observers(installation.database)
        self._throttle = Throttle(shared_buckets(installation))

    def send_run(
        self,
        tenant_id: int,
        run_id: int,
        stop: Callable[[], bool],
        seconds: float = WORK_SECONDS,
    ) -> bool:
        """Send a run's due blocks for so many seconds or until asked to stop.

        Returns:
            Whether more is to be sent at once.
        """
        until = monotonic() + seconds
        about = bound_contextvars(tenant=tenant_id, run=run_id, block=None, mailing=None)
        with about, suppress(SenderEndedError), self._sender.slot() as slot:
            while not stop() and self._sender.is_alive():
                if monotonic() >= until:
                    return True
                if not self._send_block(tenant_id, run_id, slot, stop):
                    return False
        return False

    def _send_block(
        self, tenant_id: int, run_id: int, slot: Slot, stop: Callable[[], bool]
    ) -> bool:
        """Send one block of a step that has one; false when there is none to send now."""
        later: dict[int, datetime] = {}
        crowded = False
        for step in self._plans.steps(tenant_id, run_id):
            try:
                way = self._way(tenant_id, run_id, step)
            except EnvoiError as error:
                self._pause(tenant_id, run_id, self._reason(tenant_id, error))
                break
            if isinstance(way, datetime):
                later[step] = way
            elif way is not None:
                plan, route = way
                with self.connections.seat(plan.pool, self._share(route)) as seated:
                    if seated and self._send_by(plan, route, slot, stop):
                        return True
                    crowded = crowded or not seated
        if not crowded:
            self._settle(tenant_id, run_id, later)
        return False

    def _way(self, tenant_id: int, run_id: int, step: int) -> tuple[Plan, Route] | datetime | None:
        """How a block of a step is sent, or when to look again; None: there is none."""
        route = self._route(tenant_id, run_id, step)
        if not isinstance(route, Route):
            return route
        plan = self._plans.get(tenant_id, run_id, route)
        self._require_budget(plan)
        return self._opens_at(plan) or (plan, route)

    def _require_budget(self, plan: Plan) -> None:
        if plan.prices:
            with self._database.tenant_session(plan.tenant_id) as session:
                require_budget(session, plan.tenant_id, plan.run_id)

    def _route(self, tenant_id: int, run_id: int, step: int) -> Route | datetime | None:
        with self._database.tenant_session(tenant_id) as session:
            if step > 1 and not is_due(session.connection(), tenant_id, run_id, step):
                return None
            return choose_route(session, self._plugins, tenant_id, run_id, step)

    def _share(self, route: Route) -> int | None:
        """How many connections this process may have to a gateway; None: any number."""
        if not route.most_connections:
            return None
        # One process tries alone whether a gateway works again; it need not be one with a part.
        return self._shares.of(route.most_connections) or int(route.alone)

    def _opens_at(self, plan: Plan) -> datetime | None:
        """When limits let the next message leave, as far as this process knows; None: now."""
        tomorrow = plan.quota.opens_at() if plan.quota else None
        rested = self._tempos.of(plan.gateway).rests_until()
        return tomorrow or rested or self._throttle.opens_at(plan.rates)

    def _send_by(self, plan: Plan, route: Route, slot: Slot, stop: Callable[[], bool]) -> bool:
        """Send a block by a gateway at which there is a place; false when there is no block."""
        tenant_id, run_id = plan.tenant_id, plan.run_id
        sheet = Sheet()
        with ExitStack() as unrecorded:
            try:
                claim, people = self._claim(plan, slot, unrecorded)
            except NotIssuedError as error:
                sheet.pause_reason = self._reason(tenant_id, error)
            except (EnvoiError, DataError, ProgrammingError) as error:
                reason = self._reason(tenant_id, error)
                sheet.pause_reason = f"Asking again who may get the mailing failed: {reason}"
            else:
                if claim is None:
                    self._learn(plan, route, sheet)
                    return False
                hit(Place.AFTER_CLAIM)
                if claim.messages:
                    BLOCK_MESSAGES.observe(len(claim.messages), plan.channel)
                    slot.begin(tenant_id, run_id, claim.key.number, plan.route.gateway_id)
                    sheet = self._work_through(plan, claim, people, slot, stop)
                    hit(Place.BEFORE_RECORD)
                    self._record(plan, claim, people, sheet, stop)
                    hit(Place.AFTER_RECORD_COMMIT)
                    if not plan.wait_seconds:
                        # Where another step follows, it is for those who are refused here.
                        refused = plan.refusals.look_at(sheet.outcomes)
                        sheet.pause_reason = sheet.pause_reason or refused
        self._learn(plan, route, sheet)
        if sheet.pause_reason:
            self._plans.forget(tenant_id, run_id)
            self._pause(tenant_id, run_id, sheet.pause_reason)
        return True

    def _claim(
        self, plan: Plan, slot: Slot, unrecorded: ExitStack
    ) -> tuple[Claim | None, dict[int, Person]]:
        with self._database.tenant_connection(plan.tenant_id) as connection:
            claim = claim_block(
                connection,
                plan.tenant_id,
                plan.run_id,
                self._sender.id,
                plan.recheck,
                plan.pace,
                plan.route.step,
                handed_over=bool(plan.further),
            )
            if claim is None or not claim.messages:
                return claim, {}
            customer_ids = [m.customer_id for m in claim.messages]
            people = plan.macros.fill(connection, plan.people.fetch(connection, customer_ids))
            people = may_follow(connection, plan.further, people)
            unrecorded.enter_context(self._sender.unrecorded(slot))
            hit(Place.BEFORE_CLAIM_COMMIT)
            return claim, people

    def _work_through(
        self,
        plan: Plan,
        claim: Claim,
        people: dict[int, Person],
        slot: Slot,
        stop: Callable[[], bool],
    ) -> Sheet:
        bind_contextvars(block=claim.key.number, mailing=plan.mailing_id)
        sheet = Sheet()
        connection: Connection | None = None
        try:
            connection = self._connect(plan)
            hit(Place.AFTER_CONNECT)
            self._send_all(plan, connection, claim, people, slot, sheet, stop)
        except ProviderError as error:
            log.warning("gateway_failed", gateway=plan.gateway, error=str(error))
            sheet.trouble = error
            self._close(plan, connection)
        except EnvoiError as error:
            sheet.pause_reason = self._reason(plan.tenant_id, error)
            self._close(plan, connection)
        else:
            self.connections.put(plan.pool, connection)
        if isinstance(sheet.trouble, RefusingEverythingError):
            # They were refused because of the gateway, so they have not been tried yet.
            sheet.outcomes = [o for o in sheet.outcomes if not _is_untried(o)]
        if len(sheet.outcomes) < len(claim.messages):
            sheet.rest_due_at = sheet.rest_due_at or datetime.now(UTC)
        return sheet

    def _send_all(
        self,
        plan: Plan,
        connection: Connection,
        claim: Claim,
        people: dict[int, Person],
        slot: Slot,
        sheet: Sheet,
        stop: Callable[[], bool],
    ) -> None:
        """Hand a block over as far as time and limits allow."""
        ask = partial(most_at_once, connection)
        most: int = fence(self._plugins, "provider", plan.provider_name, ask)
        until = monotonic() + _seconds_for(claim, BATCH_SECONDS if most > 1 else 0)

        def ended() -> bool:
            return stop() or monotonic() >= until or not self._sender.is_alive()

        tempo, size = self._tempos.of(plan.gateway), self._sizes.of(plan.gateway, most)
        outflow = Outflow(self._throttle, plan.rates, claim.messages, people, ended, until, tempo)
        for batch in outflow.batches(size):
            found = (self._render(plan, m, people.get(m.customer_id), sheet) for m in batch)
            if ready := [one for one in found if one is not None]:
                self._hand_over(plan, connection, ready, slot, sheet)
            if sheet.throttled:
                break
        sheet.rest_due_at = tempo.rests_until() or outflow.opens_at

    def _connect(self, plan: Plan) -> Connection:
        def opened() -> Connection:
            connection = plan.provider.connect()
            if isinstance(connection, ReportingConnection):
                connection.deliver_to(
                    reporter(self._database, plan.rendering.signer, *plan.gateway)
                )
            return connection

        connect = partial(fence, self._plugins, "provider", plan.provider_name, opened)
        return self.connections.take(plan.pool, connect)

    def _close(self, plan: Plan, connection: Connection | None) -> None:
        if connection is not None:
            self.connections.close(plan.pool, connection)

    def _render(
        self, plan: Plan, message: ClaimedMessage, person: Person | None, sheet: Sheet
    ) -> Ready | None:
        """Make the message; one that cannot be made fails alone."""
        if person is None:
            sheet.fail(message, "gone: the customer was deleted")
            return None
        make = partial(plan.ready, message, person)
        try:
            made: Ready = fence(self._plugins, "channel", plan.channel, make)
        except ValidationFailedError as error:
            sheet.fail(message, f"content: {error}")
            return None
        return made

    def _hand_over(
        self, plan: Plan, connection: Connection, batch: Sequence[Ready], slot: Slot, sheet: Sheet
    ) -> None:
        slot.put_on_wire([ready.on_wire for ready in batch])
        try:
            began = perf_counter()
            with calling("provider", plan.provider_name):
                results = sent(connection, [ready.outgoing for ready in batch])
        except ProviderError:
            slot.empty_wire()
            raise
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # The contract does not allow it, so nobody knows whether the messages have left.
            log.warning("outcome_unknown", messages=len(batch), error=repr(error))
            sheet.lose(batch, repr(error))
            raise blame(self._plugins, "provider", plan.provider_name, error) from error
        seconds = perf_counter() - began
        SEND_SECONDS.observe(seconds, plan.channel)
        self._sizes.note(plan.gateway, len(batch), seconds)
        hit(Place.AFTER_250)
        self._take_in(plan, batch, [whole(result) for result in results], slot, sheet)
        if isinstance(connection, ServicesConnection) and connection.fault is not None:
            raise connection.fault

    def _take_in(
        self,
        plan: Plan,
        batch: Sequence[Ready],
        results: Sequence[SendResult],
        slot: Slot,
        sheet: Sheet,
    ) -> None:
        """Note every answer before one of them ends the work on the block."""
        for place, (ready, result) in enumerate(zip(batch, results, strict=True)):
            sheet.take_in(ready, place, result, slot)
        tempo = self._tempos.of(plan.gateway)
        if taken := sum(result.status is SendStatus.ACCEPTED for result in results):
            tempo.taken(taken)
        if sheet.throttled:
            tempo.throttled()
        self._streaks.look_at(plan.gateway, results)

    def _learn(self, plan: Plan, route: Route, sheet: Sheet) -> None:
        """Tell all processes what a block has shown of the gateway, where that is news."""
        if sheet.trouble is None and not route.alone:
            return
        with self._database.tenant_session(plan.tenant_id) as session:
            if sheet.trouble is not None:
                at_once = isinstance(sheet.trouble, RefusingEverythingError)
                known = {"alone": route.alone, "at_once": at_once}
                failed(session, plan.gateway, sheet.trouble, self._back_off, **known)
            elif sheet.count(MessageState.ACCEPTED) or sheet.throttled:
                worked(session, plan.gateway)
                announce(session, plan.tenant_id, Work.SEND, plan.run_id)
            else:
                half_open(session, plan.gateway)

    def _record(
        self,
        plan: Plan,
        claim: Claim,
        people: dict[int, Person],
        sheet: Sheet,
        stop: Callable[[], bool],
    ) -> None:
        """Write the outcomes down, however long the database is away, unless asked to stop."""
        key = claim.key
        while True:
            try:
                with self._database.tenant_session(key.tenant_id) as session:
                    is_ours = record(
                        session,
                        self._sender.id,
                        key,
                        sheet.outcomes,
                        gateway_id=plan.route.gateway_id,
                        rest_due_at=sheet.rest_due_at,
                    )
                    if is_ours:
                        accepted = sheet.count(MessageState.ACCEPTED)
                        refused = len(sheet.outcomes) - accepted
                        note_traffic(session, plan.gateway, accepted, refused)
                    hit(Place.BEFORE_RECORD_COMMIT)
                if is_ours and plan.quota and sheet.rest_due_at:
                    self._give_back(plan, plan.quota, claim, people, sheet)
                if is_ours:
                    self.observers.tell(plan, sheet.outcomes)
            except (OperationalError, InterfaceError) as error:
                if stop() or self._sender.has_ended:
                    raise
                log.warning("record_delayed", run=key.run_id, block=key.number, error=str(error))
                sleep(RECORD_AGAIN_SECONDS)
            else:
                return

    def _give_back(
        self,
        plan: Plan,
        quota: DayQuota,
        claim: Claim,
        people: dict[int, Person],
        sheet: Sheet,
    ) -> None:
        """Return what has not left of the day's allowance; once at most, and after the record.

        A claim holds the allowance before the run, a record the run: in one transaction they
        could wait for each other.
        """
        left = people.keys() - {o.customer_id for o in sheet.outcomes}
        domains = [domain_of(people[customer_id]) for customer_id in left]
        with self._database.tenant_connection(plan.tenant_id) as connection:
            quota.give_back(connection, domains, claim.began_at)

    def _reason(self, tenant_id: int, error: Exception) -> str:
        """Say why a mailing pauses; what a plugin is to blame for is written down."""
        note_fault(self._database, tenant_id, error)
        return str(error)

    def _pause(self, tenant_id: int, run_id: int, reason: str) -> None:
        reason = storable(without_secrets(reason))
        log.warning("run_paused", tenant=tenant_id, run=run_id, reason=reason)
        # Somebody may have paused or cancelled it meanwhile.
        with suppress(ConflictError), self._database.tenant_session(tenant_id) as session:
            pause_run(session, tenant_id, run_id, reason)

    def _settle(self, tenant_id: int, run_id: int, not_before: Mapping[int, datetime]) -> None:
        with self._database.tenant_session(tenant_id) as session:
            settle(session, tenant_id, run_id, not_before)
            hit(Place.BEFORE_SETTLE_COMMIT)


def _seconds_for(claim: Claim, batch: float) -> float:
    """How long messages of a block may leave; one batch may take so much longer."""
    fresh = FRESH_SECONDS - batch - (datetime.now(UTC) - claim.began_at).total_seconds()
    return min(BLOCK_SECONDS, claim.seconds_left(), fresh)


def _is_untried(outcome: Outcome) -> bool:
    """Whether the gateway and not the message was refused; what may have left is never that."""
    is_refused = outcome.state is MessageState.FAILED
    return is_refused and is_of_gateway(outcome.code, outcome.detail)
