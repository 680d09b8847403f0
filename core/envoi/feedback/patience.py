"""Calls into a plugin that may hang: it gets so many threads and seconds, and no more."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from envoi.errors import PluginError

T = TypeVar("T")


class Patience:
    """Waits for plugins for a while, each of which may keep only so many threads.

    Args:
        seconds: So long a call may take; after that it is left alone in its thread.
        most: So many threads one plugin may keep, hanging ones included.
        place: What it is asked, as errors name it.
    """

    def __init__(self, seconds: float, most: int, place: str) -> None:
        self._seconds, self._place = seconds, place
        self._seats: defaultdict[str, threading.BoundedSemaphore] = defaultdict(
            lambda: threading.BoundedSemaphore(most)
        )

    def wait_for(self, plugin: str, work: Callable[[], T]) -> T:
        """Return what the work returns, or raise what it raises.

        Raises:
            PluginError: It takes too long, or too many calls before it still do.
        """
        seat = self._seats[plugin]
        if not seat.acquire(blocking=False):
            why = "earlier calls hang, so it is not asked again."
            raise PluginError(plugin, why, place=self._place)
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 (it is raised where it is waited for)
                future.set_exception(error)
            finally:
                seat.release()

        threading.Thread(target=run, name=f"asking {plugin}", daemon=True).start()
        try:
            return future.result(self._seconds)
        except TimeoutError as error:
            why = f"it did not answer in {self._seconds:g} s."
            raise PluginError(plugin, why, place=self._place) from error
