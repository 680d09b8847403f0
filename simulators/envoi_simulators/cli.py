"""`envoi simulators`: the process in which the demo's phones and their providers live."""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType

import click
import httpx

from envoi.demo.phone import control_token
from envoi.secrets import with_secret_key
from envoi.settings import Settings, load_settings
from envoi_simulators.control import control_server
from envoi_simulators.phone import Phone

TAP_SECONDS = 5.0


@click.command()
def simulators() -> None:
    """Stand in for providers of SMS, Viber and push; nothing leaves this machine."""
    settings = with_secret_key(load_settings())
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    phone = Phone(tap=lambda url: tap(settings, url))
    control = control_server(settings.effective_simulators_port, control_token(settings), phone)

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        threading.Thread(target=control.shutdown).start()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        control.serve_forever()
    finally:
        phone.close()


def tap(settings: Settings, url: str) -> None:
    """Open a tracked link as a phone would; what leads elsewhere stays unopened."""
    if url.startswith(f"{settings.links_url}/"):
        httpx.get(url, timeout=TAP_SECONDS, follow_redirects=False, trust_env=False)
