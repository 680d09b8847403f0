"""The keys with which the simulated push services let the demo in; kept in the data folder."""

from __future__ import annotations

import json
import os

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pydantic import BaseModel, ConfigDict

from envoi.settings import Settings

PROJECT, TOPIC, TEAM, KEY_ID = "fieldmarket", "test.fieldmarket.app", "TEAM123456", "KEY1234567"
FILE = "simulated-push.json"


class PushKeys(BaseModel):
    """Private keys as PEM: one signs for FCM's service account, one for Apple's team.

    `api` is the company's key with which its apps tell what became of messages.
    """

    model_config = ConfigDict(frozen=True)

    fcm: str
    apns: str
    api: str = ""

    @classmethod
    def made(cls) -> PushKeys:
        """Make new ones."""
        return cls(
            fcm=_pem(rsa.generate_private_key(public_exponent=65537, key_size=2048)),
            apns=_pem(ec.generate_private_key(ec.SECP256R1())),
        )

    def service_account(self, url: str) -> str:
        """The key file with which FCM at an address lets the company in."""
        return json.dumps(
            {
                "type": "service_account",
                "project_id": PROJECT,
                "client_email": f"envoi@{PROJECT}.test",
                "private_key_id": "1",
                "private_key": self.fcm,
                "token_uri": f"{url}/token",
            }
        )


def push_keys(settings: Settings) -> PushKeys:
    """Return the installation's keys, made if need be."""
    path = settings.data_dir / FILE
    if not path.exists():
        return keep_keys(settings, PushKeys.made())
    return PushKeys.model_validate_json(path.read_text())


def keep_keys(settings: Settings, keys: PushKeys) -> PushKeys:
    """Write the keys to a file that only the installation's user can read."""
    path = settings.data_dir / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}")
    part.touch(mode=0o600)
    part.write_text(keys.model_dump_json())
    part.replace(path)
    return keys


def _pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
