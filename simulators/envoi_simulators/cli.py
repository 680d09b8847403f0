"""`envoi simulators`: the process in which the demo's phones and their providers live."""

from __future__ import annotations

import logging
import signal
import threading
from contextlib import closing
from types import FrameType

import click

from envoi.demo.gateways import ACCOUNT, simulators_password
from envoi.demo.phone import control_token
from envoi.demo.push_keys import push_keys
from envoi.outgoing import HttpClient
from envoi.secrets import with_secret_key
from envoi.settings import Settings, load_settings
from envoi_simulators.control import control_server
from envoi_simulators.devino import Devino
from envoi_simulators.phone import Phone
from envoi_simulators.push_services import AppFacts, PushServices
from envoi_simulators.smsc import Smsc

TAP_SECONDS = 5.0


@click.command()
def simulators() -> None:
    """Stand in for providers of SMS, Viber and push; nothing leaves this machine."""
    settings = with_secret_key(load_settings())
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    port = settings.effective_simulators_port
    phone = Phone(tap=lambda url: tap(settings, url))
    control = control_server(port, control_token(settings), phone)
    accounts = {ACCOUNT: simulators_password(settings)}

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        threading.Thread(target=control.shutdown).start()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    keys = push_keys(settings)
    tell = AppFacts(settings.links_url, keys.api)
    with (
        closing(phone),
        Smsc(port=port + 1, accounts=accounts, phone=phone),
        Devino(port=port + 2, key=simulators_password(settings), phone=phone),
        PushServices(phone, tell, port=port + 3, keys=keys),
    ):
        control.serve_forever()


def tap(settings: Settings, url: str) -> None:
    """Open a tracked link as a phone would; what leads elsewhere stays unopened."""
    if url.startswith(f"{settings.links_url}/"):
        with closing(HttpClient(timeout=TAP_SECONDS)) as client:
            client.request("GET", url)
