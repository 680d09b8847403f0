"""The listener for bounces in a thread of the test."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from envoi.feedback.intake import Intake
from envoi.feedback.listener import Receiving, listening_server
from envoi.installation import Installation


@contextmanager
def listening(installation: Installation, intake: Intake) -> Iterator[Receiving]:
    """A listener in a thread of its own: in that of the tests Playwright may keep its loop."""
    loop = asyncio.new_event_loop()
    receiving = Receiving(intake)
    server = listening_server(installation.settings, receiving, loop)
    with ThreadPoolExecutor(1) as thread:
        thread.submit(server.begin).result()
        thread.submit(loop.run_forever)
        try:
            yield receiving
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.submit(server.end).result()
            thread.submit(loop.run_until_complete, loop.shutdown_default_executor()).result()
            thread.submit(loop.close).result()
