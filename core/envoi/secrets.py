"""The installation's secret keys, keys derived from it, and encryption of tenants' secrets."""

from __future__ import annotations

import json
import os
import secrets as random
from collections.abc import Sequence
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
    key, *former = _kept_keys(settings.data_dir / KEY_FILE)
    every = (*map(SecretStr, former), *settings.former_secret_keys)
    return settings.model_copy(update={"secret_key": SecretStr(key), "former_secret_keys": every})


def secret_keys(settings: Settings) -> list[str]:
    """Return the key in use and those of before, newest first."""
    settings = with_secret_key(settings)
    ring = (settings.secret_key, *settings.former_secret_keys)
    return [key.get_secret_value() for key in ring]


def environment_of(settings: Settings) -> dict[str, str]:
    """Return the variables that tell child processes what is not to be seen in their arguments."""
    key, *former = secret_keys(settings)
    return {
        "ENVOI_DATABASE_URL": settings.database_url.get_secret_value(),
        "ENVOI_REDIS_URL": settings.redis_url.get_secret_value(),
        "ENVOI_SECRET_KEY": key,
        "ENVOI_FORMER_SECRET_KEYS": json.dumps(former),
    }


def new_key() -> str:
    """Return a key that nobody can guess."""
    return random.token_urlsafe(48)


def rotate_kept_key(settings: Settings) -> int:
    """Put a new key before those of the data folder; return how many there were."""
    path = settings.data_dir / KEY_FILE
    keys = _kept_keys(path)
    _made_beside(path, [new_key(), *keys]).replace(path)
    return len(keys)


def _kept_keys(path: Path) -> list[str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        return _read_keys(path)
    # Made whole beside its place and linked there, so that of two first starts one wins.
    made = _made_beside(path, [new_key()])
    with suppress(FileExistsError):
        os.link(made, path)
    made.unlink()
    return _read_keys(path)


def _made_beside(path: Path, keys: Sequence[str]) -> Path:
    made = path.with_name(f"{path.name}.{os.getpid()}")
    file = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.write(file, "\n".join(keys).encode())
    os.fsync(file)
    os.close(file)
    return made


def _read_keys(path: Path) -> list[str]:
    keys = path.read_text(encoding="ascii").split()
    if not keys or any(len(key) < 32 for key in keys):
        raise ConfigurationError(
            f"{path} holds no usable key. Restore it from a backup, or set ENVOI_SECRET_KEY."
        )
    return keys


def derive_key(secret: str, purpose: str) -> bytes:
    """Return the 32 bytes that belong to one purpose; no purpose reveals another's."""
    derive = HKDF(algorithm=SHA256(), length=32, salt=None, info=f"envoi:{purpose}".encode())
    return derive.derive(secret.encode())


class SecretBox:
    """Encrypts what a tenant entrusts to us; each value is bound to the place it belongs to.

    The key in use encrypts, and every key of before decrypts.
    """

    def __init__(self, settings: Settings) -> None:
        self._ciphers = [AESGCM(derive_key(key, "secrets")) for key in secret_keys(settings)]

    def seal(self, plain: bytes, place: str) -> bytes:
        """Encrypt for a place such as `7:gateway:12:secrets`; it opens nowhere else."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._ciphers[0].encrypt(nonce, plain, place.encode())

    def open(self, sealed: bytes, place: str) -> bytes:
        """Decrypt; raise `ConfigurationError` when the key or the place is another."""
        nonce, body = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        for cipher in self._ciphers:
            with suppress(InvalidTag, ValueError):
                return cipher.decrypt(nonce, body, place.encode())
        raise ConfigurationError(
            "A stored password cannot be decrypted: neither ENVOI_SECRET_KEY nor a key of before"
            " is the one it was stored with. Restore the key, or enter the password again."
        )
