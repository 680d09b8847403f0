"""HTTP/1.1 for providers as `envoi.http2` is for newer ones: many requests at once, each certain.

For services that document nothing newer. Several connections take the place of streams.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from envoi.errors import ProviderError, UnansweredError
from envoi.outgoing.exchange import Request, Result, Unanswered
from envoi.outgoing.http import HttpClient

CONNECTIONS = 10
ANSWER_SECONDS = 15.0


class Http1Client:
    """Exchanges requests with one service over kept connections; connects when it is needed.

    Args:
        url: Where the service is: `https://host` or `http://host`.
        seconds: How long one request may take.
    """

    def __init__(self, url: str, seconds: float = ANSWER_SECONDS) -> None:
        self._url = url
        self._client = HttpClient(timeout=seconds, connections=CONNECTIONS)
        self._threads = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="http1")

    def connect(self) -> None:
        """See whether the service is there; raise `ProviderError` where it is not."""
        self._client.reach(self._url)

    def exchange(self, requests: Sequence[Request]) -> list[Result]:
        """Send requests and return what became of each, in their order.

        Raises:
            ProviderError: No connection could be opened; nothing has left.
        """
        if len(requests) == 1:
            found = [self._asked(requests[0])]
        else:
            found = list(self._threads.map(self._asked, requests))
        errors = [each for each in found if isinstance(each, ProviderError)]
        if errors and len(errors) == len(found):
            raise errors[0]
        return [Unanswered.NOT_TAKEN if isinstance(f, ProviderError) else f for f in found]

    def close(self) -> None:
        """End the connections; may be repeated."""
        self._threads.shutdown()
        self._client.close()

    def _asked(self, request: Request) -> Result | ProviderError:
        try:
            return self._client.request(
                request.method,
                self._url + request.path,
                headers=request.headers,
                content=request.body,
            )
        except (UnansweredError, ProviderError) as error:
            return error
