"""`envoi listener`: the process that takes in bounces, complaints and reports."""

from __future__ import annotations

import asyncio
import signal
import threading

import click

from envoi.feedback.intake import Intake
from envoi.feedback.listener import Receiving, keep_signed, listening_server
from envoi.feedback.mailbox import keep_reading, mailbox_of
from envoi.feedback.receivers import Receivers
from envoi.installation import Installation, open_installation
from envoi.secrets import with_secret_key
from envoi.settings import load_settings
from envoi.tracking.tokens import signer_of


@click.command()
def listener() -> None:
    """Take in bounces and complaints by LMTP and SMTP, and from the return path's mailbox.

    It also holds the connections by which providers report, such as those of SMPP.
    """
    installation = open_installation(with_secret_key(load_settings()))
    intake = Intake(installation.database, signer_of(installation.settings))
    stopping = threading.Event()
    receiving = Receiving(intake)
    threads = [_keeping_signed(installation, receiving, stopping)]
    if url := installation.settings.mailbox_url.get_secret_value():
        seconds = installation.settings.mailbox_seconds
        arguments = (intake, mailbox_of(url), seconds, stopping)
        threads.append(threading.Thread(target=keep_reading, args=arguments, daemon=True))
    receivers = threading.Thread(target=Receivers(installation).run, args=(stopping,))
    for thread in (*threads, receivers):
        thread.start()
    try:
        _listen(installation, receiving)
    finally:
        stopping.set()
        receivers.join()
        installation.database.engine.dispose()


def _keeping_signed(
    installation: Installation, receiving: Receiving, stopping: threading.Event
) -> threading.Thread:
    arguments = (installation.database, receiving, stopping)
    return threading.Thread(target=keep_signed, args=arguments, daemon=True)


def _listen(installation: Installation, receiving: Receiving) -> None:
    loop = asyncio.new_event_loop()
    server = listening_server(installation.settings, receiving, loop)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, loop.stop)
    server.begin()  # type: ignore[no-untyped-call]
    try:
        loop.run_forever()
    finally:
        server.end()  # type: ignore[no-untyped-call]
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
