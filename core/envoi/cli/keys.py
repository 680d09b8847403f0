"""`envoi key rotate`: a new secret key, with which the links of before stay valid."""

from __future__ import annotations

import json

import click

from envoi.secrets import new_key, rotate_kept_key, secret_keys
from envoi.settings import load_settings


@click.group()
def key() -> None:
    """The key that signs links and sessions and encrypts stored passwords."""


@key.command("rotate")
def rotate() -> None:
    """Make a new key; links in messages that were sent stay valid, people sign in again.

    The keys of the data folder are changed in place. Where ENVOI_SECRET_KEY is set, its new
    value is printed instead, for nobody but you can set it.
    """
    settings = load_settings()
    if settings.secret_key.get_secret_value():
        click.echo(f"ENVOI_SECRET_KEY={new_key()}")
        click.echo(f"ENVOI_FORMER_SECRET_KEYS='{json.dumps(secret_keys(settings))}'")
        return
    former = rotate_kept_key(settings)
    click.echo(f"There is a new key, and {former} of before. Restart Envoi to use it.")
