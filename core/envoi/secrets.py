"""The installation's secret key, keys derived from it, and encryption of tenants' secrets."""

from __future__ import annotations

import os
import secrets as random
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

from envoi.errors import ConfigurationError
from envoi.settings import Settings

KEY_FILE = "secret.key"
_NONCE_BYTES = 12


def with_secret_key(settings: Settings) -> Settings:
    """Return settings that hold a secret key: the one given, or the data folder's own.

    The first start makes the file; whoever loses it loses the stored passwords of gateways.
    """
    if settings.secret_key.get_secret_value():
        return settings
    key = _kept_key(settings.data_dir / KEY_FILE)
    return settings.model_copy(update={"secret_key": SecretStr(key)})


def _kept_key(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        return _read_key(path)
    # Made whole beside its place and linked there, so that of two first starts one wins.
    made = path.with_name(f"{path.name}.{os.getpid()}")
    file = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.write(file, random.token_urlsafe(48).encode())
    os.close(file)
    with suppress(FileExistsError):
        os.link(made, path)
    made.unlink()
    return _read_key(path)


def _read_key(path: Path) -> str:
    key = path.read_text(encoding="ascii").strip()
    if len(key) < 32:
        raise ConfigurationError(
            f"{path} holds no usable key. Restore it from a backup, or set ENVOI_SECRET_KEY."
        )
    return key


def derive_key(settings: Settings, purpose: str) -> bytes:
    """Return the 32 bytes that belong to one purpose; no purpose reveals another's."""
    secret = with_secret_key(settings).secret_key.get_secret_value()
    derive = HKDF(algorithm=SHA256(), length=32, salt=None, info=f"envoi:{purpose}".encode())
    return derive.derive(secret.encode())


class SecretBox:
    """Encrypts what a tenant entrusts to us; each value is bound to the place it belongs to."""

    def __init__(self, settings: Settings) -> None:
        self._cipher = AESGCM(derive_key(settings, "secrets"))

    def seal(self, plain: bytes, place: str) -> bytes:
        """Encrypt for a place such as `7:gateway:12:secrets`; it opens nowhere else."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, place.encode())

    def open(self, sealed: bytes, place: str) -> bytes:
        """Decrypt; raise `ConfigurationError` when the key or the place is another."""
        nonce, body = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, body, place.encode())
        except (InvalidTag, ValueError):
            raise ConfigurationError(
                "A stored password cannot be decrypted: ENVOI_SECRET_KEY is not the key it was"
                " stored with. Restore the key, or enter the password again."
            ) from None
