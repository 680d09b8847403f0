"""The ports that `envoi up` needs, looked at before anything listens on them."""

from __future__ import annotations

import socket

from envoi.errors import ConfigurationError
from envoi.settings import Settings


def refuse_taken_ports(settings: Settings) -> None:
    """Say which setting to change where something else listens already.

    Without this, two installations would share the port of the pages without a word, and
    answer in turn.

    Raises:
        ConfigurationError: If Envoi cannot listen on one of its ports.
    """
    ports = [
        ("ENVOI_PORT", settings.host, settings.port),
        ("ENVOI_TRACKING_PORT", settings.host, settings.effective_tracking_port),
        ("ENVOI_INBOUND_PORT", settings.inbound_host, settings.effective_inbound_port),
    ]
    if settings.demo:
        first = settings.effective_simulators_port
        ports.append(("ENVOI_SMTP_DEMO_PORT", "127.0.0.1", settings.effective_smtp_port))
        # The phones, then the three of their providers.
        ports += [("ENVOI_SIMULATORS_PORT", "127.0.0.1", first + n) for n in range(4)]
    for variable, host, port in ports:
        if reason := _refusal(host, port):
            raise ConfigurationError(
                f"Envoi cannot listen on port {port} of {host}: {reason}. Set {variable} to a port "
                "that is free, or end the program that has it; the other ports follow ENVOI_PORT."
            )


def _refusal(host: str, port: int) -> str:
    """Why nothing can listen there, as the system says it; empty if it can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror or str(error)
    return ""
