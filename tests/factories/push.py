"""Push services on loopback, and the settings of gateways to them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from envoi.demo.push_keys import KEY_ID, TEAM, TOPIC
from envoi.demo.services import AZURE_HUB, HMS_CLIENT, RUSTORE_PROJECT, RUSTORE_TOKEN
from envoi.testing import Answers
from envoi.types import Device, Outgoing
from envoi_provider_apns.provider import ApnsAccount, ApnsSettings
from envoi_provider_azure.provider import AzureAccount, AzureSettings
from envoi_provider_fcm.provider import FcmAccount, FcmSettings
from envoi_provider_hms.provider import HmsAccount, HmsSettings
from envoi_provider_rustore.provider import RuStoreAccount, RuStoreSettings
from envoi_simulators.azure import AzureService
from envoi_simulators.hms import HmsService
from envoi_simulators.http2 import Reply
from envoi_simulators.push_services import PushServices


def reply_of(answers: Answers) -> Reply:
    """What a push service is told to answer every message."""
    headers = tuple(answers.headers.items())
    return Reply(status=answers.status, body=answers.body, headers=headers)


def fcm_values(services: PushServices) -> dict[str, Any]:
    """The settings of a gateway to FCM."""
    return {"service_account": services.service_account(), "url": services.url}


def apns_values(services: PushServices) -> dict[str, Any]:
    """The settings of a gateway to APNs."""
    ours = {"topic": TOPIC, "team_id": TEAM, "key_id": KEY_ID}
    return {**ours, "key": services.apns_key(), "url": services.url}


def rustore_values(services: PushServices) -> dict[str, Any]:
    """The settings of a gateway to RuStore."""
    ours = {"project_id": RUSTORE_PROJECT, "service_token": RUSTORE_TOKEN}
    return {**ours, "url": services.url}


def provider_of(service: str, services: PushServices) -> FcmAccount | ApnsAccount | RuStoreAccount:
    """An account of a service by its name."""
    if service == "rustore":
        return RuStoreAccount(RuStoreSettings.model_validate(rustore_values(services)))
    if service == "fcm":
        return FcmAccount(FcmSettings.model_validate(fcm_values(services)))
    return ApnsAccount(ApnsSettings.model_validate(apns_values(services)))


def hms_values(service: HmsService) -> dict[str, Any]:
    """The settings of a gateway to Huawei."""
    ours = {"client_id": HMS_CLIENT, "client_secret": service.key, "title": "Fieldmarket"}
    return {**ours, "url": service.url}


def hms_provider(service: HmsService, **changes: str) -> HmsAccount:
    """An account of Huawei's."""
    return HmsAccount(HmsSettings.model_validate(hms_values(service) | changes))


def azure_values(service: AzureService) -> dict[str, Any]:
    """The settings of a gateway to a hub of Azure's."""
    ours = {"hub": AZURE_HUB, "connection_string": service.connection_string()}
    return {**ours, "url": service.url}


def azure_provider(service: AzureService, **changes: str) -> AzureAccount:
    """A hub of Azure's."""
    return AzureAccount(AzureSettings.model_validate(azure_values(service) | changes))


def message_to(service: str, number: int, token: str = "", **fields: Any) -> Outgoing:
    """A message to one device of a service."""
    message = push_message(number, token, **fields)
    return replace(message, devices=(Device(id=number, service=service, token=message.address),))


def push_message(number: int, token: str = "", **fields: Any) -> Outgoing:
    """A message to one device, as the channel makes it."""
    empty = {"title": "", "text": f"Hello {number}", "image": "", "link": "", "data": {}}
    return Outgoing(
        key=f"key{number}",
        address=token or f"{number:064x}",
        sender="",
        payload=json.dumps({**empty, **fields}).encode(),
    )
