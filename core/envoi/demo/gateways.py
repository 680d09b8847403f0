"""The demo's gateways: accounts at the simulated providers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from envoi.api.keys import make_key
from envoi.delivery.gateways import set_gateway
from envoi.delivery.models import Gateway
from envoi.delivery.prices import set_prices
from envoi.demo.push_keys import KEY_ID, TEAM, TOPIC, keep_keys, push_keys
from envoi.demo.services import (
    ACCOUNT,
    AZURE_HUB,
    AZURE_NAMESPACE,
    AZURE_POLICY,
    HMS_CLIENT,
    RUSTORE_PROJECT,
    RUSTORE_TOKEN,
    TOLD_AT_THE_PROVIDERS,
    Service,
    push_url,
    simulators_password,
    smpp_port,
    web_url,
)
from envoi.feedback.webhook import PATH, make_webhook
from envoi.installation import Installation
from envoi.settings import Settings
from envoi.tracking.tokens import signer_of

SENDER = "FIELDMARKET"

PRICES = {
    "sms": [{"price": "0.0600"}, {"prefix": "+1", "price": "0.0079"}],
    "viber": [{"price": "0.0250"}],
    "social": [{"price": "0.0300"}],
}
"""What a part costs at the demo's gateways, by channel and the beginning of the number."""


@dataclass(frozen=True, kw_only=True)
class DemoAccount:
    """An account at a simulated provider, ready to be a gateway.

    `told` is the setting that takes the address of the gateway's webhook. What is not
    `at_first` is set up by whoever wants to try it.
    """

    service: Service | None
    channel: str
    provider: str
    name: str
    values: Mapping[str, Any]
    told: str = ""
    at_first: bool = False


def set_demo_gateways(session: Session, installation: Installation, tenant_id: int) -> None:
    """Set up an account for each channel and each kind of device, and let the apps report."""
    for account in demo_accounts(installation.settings):
        if account.at_first:
            gateway, _ = set_demo_gateway(session, installation, tenant_id, account)
            prices = PRICES.get(account.channel, [])
            set_prices(session, tenant_id, gateway.id, {"prices": prices})
    key = make_key(session, tenant_id, "Apps on virtual phones", None)
    keys = push_keys(installation.settings)
    keep_keys(installation.settings, keys.model_copy(update={"api": key}))


def set_demo_gateway(
    session: Session,
    installation: Installation,
    tenant_id: int,
    account: DemoAccount,
    *,
    is_default: bool = True,
) -> tuple[Gateway, str]:
    """Set up one account; return it and the address of its webhook, where it has one."""
    settings = installation.settings

    def store(values: Mapping[str, Any]) -> Gateway:
        return set_gateway(
            session,
            installation.plugins,
            settings,
            tenant_id,
            channel=account.channel,
            provider=account.provider,
            name=account.name,
            values=values,
            is_default=is_default,
        )

    gateway = store(account.values)
    if not account.told and account.service not in TOLD_AT_THE_PROVIDERS:
        return gateway, ""
    webhook = make_webhook(session, signer_of(settings), tenant_id, gateway.id)
    url = f"{settings.links_url}{PATH}{webhook.key}"
    if account.told:
        store({**account.values, account.told: url})
    return gateway, url


def demo_accounts(settings: Settings) -> Iterator[DemoAccount]:
    """Give an account for each provider that has a simulated service."""
    yield DemoAccount(
        service=None,
        channel="email",
        provider="smtp",
        name="Demo mailbox",
        values={"host": "127.0.0.1", "port": settings.effective_smtp_port, "security": "none"},
        at_first=True,
    )
    yield from _of_phones(settings)
    yield from _of_apps(settings)


def _of_phones(settings: Settings) -> Iterator[DemoAccount]:
    password, web = simulators_password(settings), web_url(settings)
    smpp = {"host": "127.0.0.1", "port": smpp_port(settings), "security": "none"}
    yield DemoAccount(
        service=Service.SMPP,
        channel="sms",
        provider="smpp",
        name="Virtual phone, SMS",
        values={**smpp, "system_id": ACCOUNT, "password": password, "sender": SENDER},
        at_first=True,
    )
    devino = {"url": web, "api_key": password, "callback_secret": password, "sender": "Fieldmarket"}
    words = {"sms": "SMS by Devino", "viber": "Viber", "social": "social networks"}
    for channel, word in words.items():
        yield DemoAccount(
            service=Service.DEVINO,
            channel=channel,
            provider=f"devino_{channel}",
            name=f"Virtual phone, {word}",
            values=devino,
            told="callback_url",
            at_first=channel != "sms",
        )
    key = {"url": web, "api_key": password, "sender": SENDER, "report_secret": password}
    yield DemoAccount(
        service=Service.SMSTRAFFIC,
        channel="sms",
        provider="smstraffic",
        name="Virtual phone, SMS by SmsTraffic",
        values=key,
    )
    login = {"url": web, "login": ACCOUNT, "password": password, "sender": SENDER}
    yield DemoAccount(
        service=Service.SMART,
        channel="viber",
        provider="smstraffic_viber",
        name="Virtual phone, Viber by SmsTraffic",
        values={**login, "report_secret": password},
    )
    yield DemoAccount(
        service=Service.STREAMTELECOM,
        channel="sms",
        provider="streamtelecom",
        name="Virtual phone, SMS by Stream Telecom",
        values=login,
    )
    plain = {"url": f"{web}/send", "test_url": f"{web}/balance", "secret": password}
    answers = {"status_at": "status", "taken": "queued", "again": "busy"}
    replies = {"reply_phone_at": "from", "reply_text_at": "text"}
    reports = {"DELIVRD": "delivered", "UNDELIV": "failed", "READ": "read"}
    yield DemoAccount(
        service=Service.HTTP,
        channel="sms",
        provider="http_sms",
        name="Virtual phone, SMS by any HTTP interface",
        values={
            **plain,
            **answers,
            **replies,
            "report_words": reports,
            "report_secret": password,
        },
    )


def _of_apps(settings: Settings) -> Iterator[DemoAccount]:
    keys, push, web = push_keys(settings), push_url(settings), web_url(settings)
    password = simulators_password(settings)
    sas = f"SharedAccessKeyName={AZURE_POLICY};SharedAccessKey={password}"
    azure = {"hub": AZURE_HUB, "connection_string": f"Endpoint=sb://{AZURE_NAMESPACE}/;{sas}"}
    found: list[tuple[Service, str, str, Mapping[str, Any]]] = [
        (
            Service.PUSH,
            "apns",
            "Apple",
            {"topic": TOPIC, "team_id": TEAM, "key_id": KEY_ID, "key": keys.apns, "url": push},
        ),
        (
            Service.HMS,
            "hms",
            "Huawei",
            {
                "client_id": HMS_CLIENT,
                "client_secret": password,
                "title": "Fieldmarket",
                "url": web,
            },
        ),
        (
            Service.PUSH,
            "rustore",
            "RuStore",
            {"project_id": RUSTORE_PROJECT, "service_token": RUSTORE_TOKEN, "url": push},
        ),
        (Service.AZURE, "azure", "Azure", {**azure, "url": web}),
        # The last of those that are set up at first is the channel's default.
        (
            Service.PUSH,
            "fcm",
            "Android",
            {"service_account": keys.service_account(push), "url": push},
        ),
    ]
    for service, provider, word, values in found:
        yield DemoAccount(
            service=service,
            channel="push",
            provider=provider,
            name=f"Virtual phone, {word}",
            values=values,
            at_first=provider in ("apns", "hms", "fcm"),
        )
