"""The token of access of an app: Huawei gives it for the app's secret."""

from __future__ import annotations

from contextlib import closing
from urllib.parse import urlencode

from envoi.access import granted
from envoi.http1 import Http1Client
from envoi.outgoing import Request
from envoi_provider_hms.settings import HmsSettings

PATH = "/oauth2/v3/token"


def ask_for_token(settings: HmsSettings) -> tuple[str, float]:
    """Return a token and the seconds that it is good for; raise `ProviderError` without one."""
    fields = {
        "grant_type": "client_credentials",
        "client_id": settings.client_id,
        "client_secret": settings.client_secret.get_secret_value(),
    }
    headers = {"content-type": "application/x-www-form-urlencoded"}
    request = Request(path=PATH, headers=headers, body=urlencode(fields).encode())
    with closing(Http1Client(settings.access_url)) as client:
        [answer] = client.exchange([request])
    return granted(
        answer,
        busy="Huawei gives no token of access at the moment.",
        refused="Huawei does not take the client secret. Compare it with AppGallery Connect.",
    )
