"""What decides who gets a mailing, frozen: the same request serves estimate and collection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from envoi.audience.window import SendingWindow
from envoi.delivery.models import Run
from envoi.delivery.runs import RunSettings
from envoi.errors import PluginError
from envoi.plugins import Plugins
from envoi.types import AddressKind


@dataclass(frozen=True, kw_only=True)
class AudienceRequest:
    """Everything that eligibility depends on.

    Args:
        tree: The segment's conditions; None means all customers.
        rules: The policy's rules as stored: `{"kind": ..., "settings": {...}}`.
        control_share: The control group in per cent of the eligible, to one decimal.
        control_audience_id: A target audience whose eligible members are the control group,
            instead of a share.
        strata: Characteristics as `envoi.audience.strata` writes them.
        window: When messages may leave; None means at any time.
        shares: The variants' shares in their order.
        exclude_gcg: Leave out the global control group; it is empty until one can be set up.
        seed: Makes the draw repeatable.
        exclude_run: The run whose own messages are no earlier contact: for the re-check.
        launched_on: That run's partition key.
        past: Only what had left by `now` counts: for asking what a policy would have done.
        then: The channels of a cascade's further steps, with the addresses that they use.
    """

    tenant_id: int
    channel: str
    address_kind: AddressKind
    now: datetime
    tree: Mapping[str, Any] | None = None
    rules: tuple[Mapping[str, Any], ...] = ()
    category_id: int | None = None
    control_share: float = 0.0
    control_audience_id: int | None = None
    strata: tuple[str, ...] = ()
    one_per_address: bool = True
    window: SendingWindow | None = None
    shares: tuple[float, ...] = (100.0,)
    exclude_gcg: bool = False
    seed: int = 0
    exclude_run: int | None = None
    launched_on: date | None = None
    past: bool = False
    then: tuple[tuple[str, AddressKind], ...] = ()


def request_of_run(plugins: Plugins, run: Run, now: datetime) -> AudienceRequest:
    """Return the request that a run froze when it began."""
    settings = RunSettings.model_validate(run.settings)
    return AudienceRequest(
        tenant_id=run.tenant_id,
        channel=run.channel,
        address_kind=_address_kind(plugins, run.channel),
        now=now,
        tree=settings.tree,
        rules=tuple(settings.rules),
        category_id=settings.category_id,
        control_share=settings.control_share,
        control_audience_id=settings.control_audience_id,
        strata=tuple(settings.strata),
        one_per_address=settings.one_per_address,
        window=SendingWindow.of(settings.window_from, settings.window_until, settings.window_zone),
        shares=tuple(variant.share for variant in settings.variants),
        seed=run.seed,
        exclude_run=run.id,
        launched_on=run.launched_on,
        then=channels(plugins, [step.channel for step in settings.steps]),
    )


def channels(plugins: Plugins, names: Iterable[str]) -> tuple[tuple[str, AddressKind], ...]:
    """Return channels with the kind of address that each uses."""
    return tuple((name, _address_kind(plugins, name)) for name in names)


def at_step(request: AudienceRequest, step: int) -> AudienceRequest:
    """Return the request that decides about a step of a cascade alone."""
    chain = ((request.channel, request.address_kind), *request.then)
    channel, address_kind = chain[step - 1]
    return replace(request, channel=channel, address_kind=address_kind, then=())


def _address_kind(plugins: Plugins, name: str) -> AddressKind:
    channel = plugins.channels.get(name)
    if channel is None:
        raise PluginError(name, "this channel is not installed any more. Install its plugin again.")
    return channel.address_kind
