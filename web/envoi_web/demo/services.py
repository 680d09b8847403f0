"""The simulated services: gateways to them with a click, and what goes wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import Response, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext
from pydantic import ValidationError

from envoi.delivery.gateway_list import list_gateways
from envoi.demo.gateways import DemoAccount, demo_accounts, set_demo_gateway
from envoi.demo.phone import PhoneAwayError, Phones
from envoi.demo.services import Conduct, Fault, Service
from envoi.errors import NotFoundError, problems_of
from envoi.webkit import current, page, permission, see_other, toast
from envoi_web.demo.blueprint import demo, demo_settings

TITLES = {
    Service.SMPP: "SMPP",
    Service.DEVINO: "Devino",
    Service.SMSTRAFFIC: "SmsTraffic",
    Service.SMART: "SmsTraffic Smart Delivery",
    Service.STREAMTELECOM: "Stream Telecom",
    Service.HTTP: lazy_gettext("Any HTTP interface"),
    Service.PUSH: "FCM, APNs, RuStore",
    Service.HMS: "Huawei Push Kit",
    Service.AZURE: "Azure Notification Hubs",
}
FAULTS = {
    Fault.NONE: lazy_gettext("Nothing, it works"),
    Fault.THROTTLED: lazy_gettext("It takes only so many messages a second"),
    Fault.REFUSED: lazy_gettext("It refuses messages"),
    Fault.HANGING: lazy_gettext("It gives no answer for a minute"),
    Fault.CUT: lazy_gettext("It takes the message and cuts the connection"),
    Fault.BROKEN: lazy_gettext("It answers that it is out of order (503)"),
    Fault.NOT_JSON: lazy_gettext("Its answers make no sense"),
}


@dataclass(frozen=True, kw_only=True)
class ShownAccount:
    """An account at a service, and the gateway of it that the company has."""

    account: DemoAccount
    label: str
    gateway_id: int | None


@demo.get("/services")
@permission("settings.plugins")
def services() -> Response:
    """Show the services."""
    return _services_page({}, {})


@demo.post("/services")
@permission("settings.plugins")
def change_service() -> Response:
    """Choose what goes wrong with a service."""
    phones = Phones(demo_settings())
    given = {name: value for name, value in request.form.items() if name in Conduct.model_fields}
    try:
        service = Service(request.form.get("service", ""))
    except ValueError:
        raise NotFoundError("There is no such service.") from None
    try:
        phones.set_conduct(service, Conduct.model_validate(given))
    except ValidationError as error:
        problems = {each.field: each.message for each in problems_of(error)}
        return _services_page(request.form, problems)
    except PhoneAwayError as error:
        return _services_page(request.form, {"service": str(error)})
    toast(_("%(service)s behaves so from now on.", service=TITLES[service]))
    return see_other(url_for("demo.services"))


@demo.post("/services/gateways")
@permission("settings.plugins")
def add_gateway() -> Response:
    """Set up a gateway to a service, with everything that it needs."""
    settings = demo_settings()
    wanted = request.form.get("provider", "")
    account = next((each for each in demo_accounts(settings) if each.provider == wanted), None)
    if account is None or account.service is None:
        raise NotFoundError("There is no such service.")
    with current.session() as session:
        channels = {each.gateway.channel for each in list_gateways(session, current.tenant_id)}
        is_first = account.channel not in channels
        gateway, webhook = set_demo_gateway(
            session, current.installation, current.tenant_id, account, is_default=is_first
        )
    if webhook and not account.told:
        Phones(settings).set_conduct(account.service, Conduct(webhook=webhook))
    toast(_("The gateway is there. What it sends arrives on the virtual phone."))
    return see_other(url_for("settings.gateway", gateway_id=gateway.id))


def _services_page(given: Mapping[str, str], problems: Mapping[str, str]) -> Response:
    trouble, conducts = "", {}
    settings = demo_settings()
    try:
        conducts = Phones(settings).conducts()
    except PhoneAwayError as error:
        trouble = str(error)
    return page(
        "demo/services.html",
        status=422 if problems else 200,
        services=[_shown(each, accounts, conducts) for each, accounts in _accounts().items()],
        titles=[(each.value, title) for each, title in TITLES.items()],
        faults=[(each.value, str(words)) for each, words in FAULTS.items()],
        given=given or Conduct().model_dump(mode="json"),
        problems=problems,
        trouble=trouble,
    )


def _shown(
    service: Service, accounts: list[ShownAccount], conducts: Mapping[str, Conduct]
) -> dict[str, Any]:
    conduct = conducts.get(service.value, Conduct())
    return {
        "title": TITLES[service],
        "accounts": accounts,
        "conduct": conduct,
        "is_well": conduct.fault is Fault.NONE,
        "words": FAULTS[conduct.fault],
    }


def _accounts() -> dict[Service, list[ShownAccount]]:
    """The accounts at each service that plugins of the company can use."""
    with current.session() as session:
        there = {
            (each.gateway.provider, each.gateway.name): each.gateway.id
            for each in list_gateways(session, current.tenant_id)
        }
        providers = current.plugins.for_tenant(session, current.tenant_id).providers
    found: dict[Service, list[ShownAccount]] = {each: [] for each in Service}
    for account in demo_accounts(demo_settings()):
        if account.service and account.provider in providers:
            found[account.service].append(
                ShownAccount(
                    account=account,
                    label=str(providers[account.provider].label),
                    gateway_id=there.get((account.provider, account.name)),
                )
            )
    return found
