"""The token of access of a project: Google gives it for an assertion that the key signs."""

from __future__ import annotations

import base64
import json
import time
from contextlib import closing
from urllib.parse import urlencode, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from envoi.access import granted
from envoi.http2 import Http2Client
from envoi.outgoing import Request
from envoi_provider_fcm.settings import KeyFile

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LIFETIME = 3_600


def ask_for_token(key_file: KeyFile) -> tuple[str, float]:
    """Return a token and the seconds that it is good for; raise `ProviderError` without one."""
    parts = urlsplit(key_file.token_uri)
    body = urlencode({"grant_type": GRANT, "assertion": _assertion(key_file)}).encode()
    headers = {"content-type": "application/x-www-form-urlencoded"}
    with closing(Http2Client(f"{parts.scheme}://{parts.netloc}")) as client:
        [answer] = client.exchange([Request(path=parts.path, headers=headers, body=body)])
    return granted(
        answer,
        busy="Google gives no token of access at the moment.",
        refused="Google does not take the key file. Make a new one in Firebase and paste it.",
    )


def _assertion(key_file: KeyFile) -> str:
    now = int(time.time())
    head = {"alg": "RS256", "typ": "JWT", "kid": key_file.private_key_id}
    claims = {
        "iss": key_file.client_email,
        "scope": SCOPE,
        "aud": key_file.token_uri,
        "iat": now,
        "exp": now + LIFETIME,
    }
    signed = b".".join(_encoded(json.dumps(part).encode()) for part in (head, claims))
    signature = key_file.key().sign(signed, padding.PKCS1v15(), hashes.SHA256())
    return (signed + b"." + _encoded(signature)).decode()


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
