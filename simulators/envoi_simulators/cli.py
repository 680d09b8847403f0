"""`envoi simulators`: the process in which the demo's phones and their providers live."""

from __future__ import annotations

import logging
import signal
import threading
from contextlib import ExitStack, closing
from pathlib import Path
from types import FrameType

import click
import structlog
from pydantic import ValidationError

from envoi.demo.phone import Memory
from envoi.demo.push_keys import push_keys
from envoi.demo.reader import open_as_a_phone
from envoi.demo.services import ACCOUNT, Service, control_token, simulators_password
from envoi.secrets import with_secret_key
from envoi.settings import Settings, load_settings
from envoi_simulators.azure import AzureService
from envoi_simulators.control import Behaving, control_server
from envoi_simulators.devino import Devino
from envoi_simulators.hms import HmsService
from envoi_simulators.http_sms import HttpSms
from envoi_simulators.phone import Phone
from envoi_simulators.push_services import AppFacts, PushServices
from envoi_simulators.smsc import Smsc
from envoi_simulators.smstraffic import SmartDelivery, SmsTraffic
from envoi_simulators.streamtelecom import StreamTelecom
from envoi_simulators.web_service import WebServer, WebService, by_path

log = structlog.get_logger()

REMEMBERED = 2_000
"""Messages that outlive a new start; the phones know more while they run."""


@click.command()
def simulators() -> None:
    """Stand in for providers of SMS, Viber, push and social networks; nothing leaves here."""
    settings = with_secret_key(load_settings())
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    memory = settings.data_dir / "simulated-phones.json"
    with ExitStack() as stack:
        phone = stack.enter_context(closing(Phone(tap=lambda url: tap(settings, url))))
        known = read_memory(memory)
        phone.remember(known)
        conducts = dict(known.conducts)
        stack.callback(lambda: write_memory(memory, phone.remembered(REMEMBERED, conducts)))
        services = start_services(stack, settings, phone)
        token, port = control_token(settings), settings.effective_simulators_port
        control = control_server(port, token, phone, services, conducts)

        def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
            threading.Thread(target=control.shutdown).start()

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        control.serve_forever()


def start_services(stack: ExitStack, settings: Settings, phone: Phone) -> dict[Service, Behaving]:
    """Start all services on the three ports after the phones' own."""
    port, password = settings.effective_simulators_port, simulators_password(settings)
    keys = push_keys(settings)
    tell = AppFacts(settings.links_url, keys.api)
    web: dict[Service, WebService] = {
        Service.DEVINO: Devino(key=password, phone=phone),
        Service.SMSTRAFFIC: SmsTraffic(key=password, phone=phone),
        Service.SMART: SmartDelivery(login=ACCOUNT, key=password, phone=phone),
        Service.STREAMTELECOM: StreamTelecom(key=password, phone=phone),
        Service.HTTP: HttpSms(key=password, secret=password, phone=phone),
        Service.HMS: HmsService(key=password, phone=phone, tell=tell),
        Service.AZURE: AzureService(key=password, phone=phone, tell=tell),
    }
    for service in web.values():
        stack.enter_context(closing(service))
    stack.enter_context(WebServer(by_path(web.values()), port + 2))
    smsc = Smsc(port=port + 1, accounts={ACCOUNT: password}, phone=phone)
    push = PushServices(phone, tell, port=port + 3, keys=keys)
    stack.enter_context(smsc)
    stack.enter_context(push)
    return {Service.SMPP: smsc, Service.PUSH: push, **web}


def read_memory(path: Path) -> Memory:
    """Read what the phones knew when they were stopped last; a damaged file is as good as none."""
    try:
        return Memory.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Memory()
    except (OSError, ValidationError) as error:
        log.warning("simulators.memory_lost", error=repr(error))
        return Memory()


def write_memory(path: Path, memory: Memory) -> None:
    """Write it for the next start."""
    part = path.with_suffix(".part")
    part.write_text(memory.model_dump_json(), encoding="utf-8")
    part.replace(path)


def tap(settings: Settings, url: str) -> None:
    """Open a tracked link as a phone would; what leads elsewhere stays unopened."""
    if url.startswith(f"{settings.links_url}/"):
        open_as_a_phone(url)
