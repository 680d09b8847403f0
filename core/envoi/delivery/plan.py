"""Everything that sending a run needs, made once per process: content, checks, addresses."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import partial
from time import monotonic
from typing import Any

from sqlalchemy import Connection as DatabaseConnection
from sqlalchemy.orm import Session

from envoi.audience.recheck import recheck_of_run
from envoi.content.kit import Kit
from envoi.customers.devices import device_at
from envoi.delivery.cascade import unless_reached
from envoi.delivery.circuit import GatewayKey
from envoi.delivery.claim import ClaimedMessage, Recheck, Verdict
from envoi.delivery.connections import PoolKey
from envoi.delivery.gateways import default_gateway, get_gateway, open_gateway
from envoi.delivery.handover import FurtherStep, as_next, further_messages, takes_over
from envoi.delivery.macros import Macros
from envoi.delivery.models import Gateway, Run, RunKind
from envoi.delivery.pace import Pace
from envoi.delivery.prices import PriceList, PriceTable, prices_of
from envoi.delivery.quota import DayQuota, limits_for
from envoi.delivery.recipients import PeopleQuery, Person, Wanted
from envoi.delivery.recorder import OnWire
from envoi.delivery.rendering import Rendering, more_urls
from envoi.delivery.routes import Route
from envoi.delivery.runs import RunSettings, VariantContent, get_run, store_links
from envoi.delivery.services import Services, open_services
from envoi.delivery.sheet import Ready
from envoi.delivery.steps import MOST_STEPS, channel_of, channels_of
from envoi.delivery.streaks import Refusals
from envoi.delivery.throttle import Rates
from envoi.errors import PluginError
from envoi.installation import Installation
from envoi.library.files import Library
from envoi.plugins import Observer, Plugins, fence
from envoi.settings import Settings
from envoi.tenants.service import tenant_settings
from envoi.tracking.tokens import signer_of
from envoi.tracking.urls import UrlMaker
from envoi.types import (
    AddressKind,
    ChannelSpec,
    CompiledContent,
    Device,
    Envelope,
    Outgoing,
    Provider,
)

KEPT_PLANS = 256
PLAN_SECONDS = 300.0
"""A plan is made anew after a while: the zones' clocks change. What a route holds is compared
for every block."""


def _allow_all(connection: DatabaseConnection, customer_ids: Sequence[int]) -> Sequence[Verdict]:  # noqa: ARG001 (a `Recheck`)
    """What a test send asks: a person wants exactly these messages."""
    return ()


@dataclass(frozen=True)
class Plan:
    """How a run is sent."""

    tenant_id: int
    run_id: int
    launched_on: date
    channel: str
    route: Route
    provider: Provider
    provider_name: str
    recheck: Recheck
    people: PeopleQuery
    rendering: Rendering
    rates: Rates
    macros: Macros
    observers: Sequence[tuple[str, Observer]] = ()
    quota: DayQuota | None = None
    pace: Pace | None = None
    refusals: Refusals = field(default_factory=Refusals)
    prices: PriceList = field(default_factory=lambda: PriceList(PriceTable()))
    counts_parts: bool = False
    ends_at: datetime | None = None
    mailing_id: int | None = None
    wait_seconds: int = 0
    """How long a cascade waits for the step; 0: nothing follows it."""
    further: Sequence[FurtherStep] = ()
    """The steps that the gateway goes on to by itself; all that follow, or none."""

    @property
    def gateway(self) -> GatewayKey:
        """The gateway through which the messages leave."""
        return self.tenant_id, self.route.gateway_id

    @property
    def pool(self) -> PoolKey:
        """Where connections to the gateway are kept."""
        version = hash((self.route.version, *self.route.services))
        return *self.gateway, version if self.route.services else self.route.version

    def devices_at(self, address: str) -> tuple[Device, ...]:
        """The device that a copy goes to, instead of those of the customer whom it is made for."""
        return (device_at(address),) if isinstance(self.provider, Services) else ()

    def ready(self, message: ClaimedMessage, person: Person) -> Ready:
        """Make one message with its price; raise what the content raises."""
        outgoing = self.render(message, person)
        parts = outgoing.parts if self.prices or self.counts_parts else 0
        amount = self.prices.of(outgoing.address) * parts
        on_wire = OnWire(message.customer_id, message.step, parts, amount)
        if not self.further:
            return Ready(message, outgoing, on_wire)
        made = further_messages(self.further, message, person)
        outgoing = replace(outgoing, then=tuple(then for then, _ in made))
        return Ready(message, outgoing, on_wire, tuple(later for _, later in made))

    def render(self, message: ClaimedMessage, person: Person) -> Outgoing:
        """Make one message; raise what the content raises.

        The provider gives it up before the next step's message may follow it.
        """
        made = self.rendering.render(message, person)
        return replace(made, lifetime_seconds=self._lifetime())

    def _lifetime(self) -> int:
        """For how many seconds a message is wanted that leaves now; 0: for any time."""
        limits = [self.wait_seconds] if self.wait_seconds else []
        if self.ends_at is not None:
            limits.append(max(1, int((self.ends_at - datetime.now(UTC)).total_seconds())))
        return min(limits, default=0)


class Plans:
    """The plans that this process keeps."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[int, int, int], _Kept] = OrderedDict()
        self._steps: OrderedDict[tuple[int, int], int] = OrderedDict()

    def get(self, tenant_id: int, run_id: int, route: Route) -> Plan:
        """Return the plan of a run by a route; one thread makes it while its others wait."""
        key = (tenant_id, run_id, route.step)
        with self._lock:
            kept = self._kept.setdefault(key, _Kept())
            self._kept.move_to_end(key)
            while len(self._kept) > KEPT_PLANS:
                self._kept.popitem(last=False)
        return kept.get(route, lambda: make_plan(self._installation, tenant_id, run_id, route))

    def forget(self, tenant_id: int, run_id: int) -> None:
        """Make the plan anew next time: what it was made from was at fault."""
        with self._lock:
            for step in range(1, MOST_STEPS + 1):
                self._kept.pop((tenant_id, run_id, step), None)

    def steps(self, tenant_id: int, run_id: int) -> Sequence[int]:
        """Return a run's steps, the last first: its people have waited longest."""
        key = (tenant_id, run_id)
        with self._lock:
            known = self._steps.get(key)
        if known is None:
            with self._installation.database.tenant_session(tenant_id) as session:
                known = len(channels_of(get_run(session, tenant_id, run_id)))
            with self._lock:
                self._steps[key] = known
                while len(self._steps) > KEPT_PLANS:
                    self._steps.popitem(last=False)
        return range(known, 0, -1)


class _Kept:
    """A run's plan as it was made last.

    Threads of other runs do not wait while it is made: a plugin that compiles it may hang.
    """

    def __init__(self) -> None:
        self._making = threading.Lock()
        self._made_at = 0.0
        self._plan: Plan | None = None

    def get(self, route: Route, make: Callable[[], Plan]) -> Plan:
        """Return the plan by a route, made anew where it is none or an old one."""
        with self._making:
            is_fresh = monotonic() - self._made_at <= PLAN_SECONDS
            if self._plan is None or not is_fresh or self._plan.route != route:
                self._plan, self._made_at = make(), monotonic()
            return self._plan


def make_plan(installation: Installation, tenant_id: int, run_id: int, route: Route) -> Plan:
    """Compile a run's content and store its links.

    Raises:
        EnvoiError: The run cannot be sent; the message says why.
    """
    settings = installation.settings
    with installation.database.tenant_session(tenant_id) as session:
        run = get_run(session, tenant_id, run_id)
        frozen = RunSettings.model_validate(run.settings)
        plugins = installation.plugins.for_tenant(session, tenant_id)
        spec = _channel(plugins, channel_of(run, route.step))
        library = Library(session, tenant_id, frozen.links_url or settings.links_url)
        compiled = _compile_steps(session, plugins, run, frozen, library)
        is_push = spec.address_kind is AddressKind.PUSH
        provider: Provider = (
            open_services(session, plugins, settings, tenant_id, route)
            if is_push
            else open_gateway(session, plugins, settings, tenant_id, route.gateway_id)
        )
        gateway = get_gateway(session, tenant_id, route.gateway_id)
        rates, quota = limits_for(session, plugins, settings, gateway)
        prices = PriceList(prices_of(gateway))
        names = tenant_settings(session, tenant_id).sender_names
        if gateway.settings.get("sender"):
            names = {**names, spec.name: ""}
        if run.kind == RunKind.TEST:
            # A person waits for these few.
            quota = None
        recheck = _recheck(plugins, run, route.step, spec.address_kind, quota)
        renderings = _renderings(installation, plugins, run, frozen, compiled, names)
        further = _further(session, plugins, settings, run, frozen, gateway, route.step, renderings)
        observers = installation.plugins.observers(plugins.enabled(session, tenant_id))
    steps = [route.step, *(step.number for step in further)]
    macros = Macros(
        plugins,
        tenant_id,
        run_id,
        run.mailing_id,
        calls=sorted(set().union(*(compiled[step][1].calls for step in steps))),
        issues=run.kind != RunKind.TEST,
    )
    wanted = Wanted.by(*(str(v.content) for step in steps for v in frozen.variants_at(step)))
    followed_by = [] if further else frozen.steps[route.step - 1 :]
    return Plan(
        tenant_id=tenant_id,
        run_id=run_id,
        mailing_id=run.mailing_id,
        launched_on=run.launched_on,
        channel=spec.name,
        route=route,
        provider=provider,
        provider_name=gateway.provider,
        recheck=recheck,
        people=PeopleQuery(tenant_id, spec.address_kind, wanted),
        rendering=renderings[route.step],
        rates=rates,
        macros=macros,
        observers=observers,
        quota=quota,
        pace=frozen.pace(),
        prices=prices,
        counts_parts=spec.length is not None,
        # A mail server is not told how long a message is of use.
        ends_at=None if spec.address_kind is AddressKind.EMAIL else run.expires_at,
        wait_seconds=followed_by[0].wait_minutes * 60 if followed_by else 0,
        further=further,
    )


def _renderings(
    installation: Installation,
    plugins: Plugins,
    run: Run,
    frozen: RunSettings,
    compiled: Mapping[int, tuple[dict[int, CompiledContent], Kit]],
    senders: Mapping[str, str],
) -> dict[int, Rendering]:
    """Return what makes the messages of each step; `senders` are the usual ones, by channel."""
    settings = installation.settings
    signer = signer_of(settings)
    made = {}
    for step, (contents, kit) in compiled.items():
        spec = _channel(plugins, channel_of(run, step))
        made[step] = Rendering(
            run.tenant_id,
            run.id,
            run.launched_on,
            contents,
            signer,
            UrlMaker(frozen.links_url or settings.links_url, signer, short=spec.short_links),
            more_urls(kit),
            senders.get(spec.name, ""),
        )
    return made


def _further(
    session: Session,
    plugins: Plugins,
    settings: Settings,
    run: Run,
    frozen: RunSettings,
    gateway: Gateway,
    step: int,
    renderings: Mapping[int, Rendering],
) -> list[FurtherStep]:
    """Return the steps behind one where its gateway goes on to all of them by itself.

    They are priced as if they left by their own gateways: nobody else tells their prices.
    """
    behind = frozen.steps[step - 1 :]
    if run.kind == RunKind.TEST or not takes_over(session, plugins, settings, gateway, behind):
        return []
    found = []
    for number, content in enumerate(behind, start=step + 1):
        chosen = (run.tenant_id, content.gateway_id or 0)
        own = session.get(Gateway, chosen) or default_gateway(
            session, run.tenant_id, content.channel
        )
        found.append(
            FurtherStep(
                number,
                as_next(content),
                renderings[number],
                recheck_of_run(plugins, run, number),
                PriceList(prices_of(own) if own else PriceTable()),
                _channel(plugins, content.channel).length is not None,
            )
        )
    return found


def _recheck(
    plugins: Plugins, run: Run, step: int, kind: AddressKind, quota: DayQuota | None
) -> Recheck:
    if run.kind == RunKind.TEST:
        return _allow_all
    checks: Recheck = recheck_of_run(plugins, run, step)
    if step > 1:
        checks = unless_reached(run, step, checks)
    if quota is None:
        return checks
    # A day's allowance asks for addresses alone, however much the content shows.
    addresses = PeopleQuery(run.tenant_id, kind, Wanted(fields=False, receipts=False))
    return quota.after(checks, addresses)


def _channel(plugins: Plugins, name: str) -> ChannelSpec:
    spec = plugins.channels.get(name)
    if spec is None:
        raise PluginError(name, "no enabled plugin brings this channel. Enable one in Settings.")
    return spec


def _feedback_id(run: Run) -> str:
    """What Gmail counts complaints by: the run, its mailing, its kind, and who sends."""
    kind = RunKind(run.kind).name.lower()
    return f"{run.id}:{run.mailing_id or 0}:{kind}:envoi{run.tenant_id}"


def _compile_steps(
    session: Session, plugins: Plugins, run: Run, frozen: RunSettings, library: Library
) -> dict[int, tuple[dict[int, CompiledContent], Kit]]:
    """Compile the contents of every step, each with the kit that tells what it uses.

    All links are stored before anything leaves: where a click leads is looked up once for a run.
    """
    found: dict[int, tuple[dict[int, CompiledContent], Kit]] = {}
    envelope = frozen.envelope(_feedback_id(run))
    for step, channel in enumerate(channels_of(run), start=1):
        kit = Kit(library, plugins.macros)
        spec = _channel(plugins, channel)
        contents = _compile(plugins, spec, frozen.variants_at(step), envelope, kit)
        for variant, content in contents.items():
            store_links(session, run.tenant_id, run.id, variant, content.links, step)
        found[step] = contents, kit
    return found


def _compile(
    plugins: Plugins,
    spec: ChannelSpec,
    variants: Sequence[VariantContent],
    envelope: Envelope,
    kit: Kit,
) -> dict[int, CompiledContent]:
    def compiled(content: dict[str, Any]) -> CompiledContent:
        checked = spec.content_schema.model_validate(content)
        return spec.compile(checked, envelope, kit)

    return {
        v.number: fence(plugins, "channel", spec.name, partial(compiled, v.content))
        for v in variants
    }
