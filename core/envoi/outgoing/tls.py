"""TLS to servers that companies name: begun in one way, and trouble said in one way."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from envoi.errors import PermanentProviderError, TemporaryProviderError

VerifyCertificate = Annotated[
    bool,
    Field(
        title="Check the server's certificate",
        description="Without it anybody on the way can read the password.",
    ),
]

_EXPIRED, _TOO_EARLY = 10, 9
_NOT_TRUSTED = (18, 19, 20, 21)
_OTHER_NAME = (62, 64)
"""What OpenSSL calls the errors of certificates."""


def secured(
    plain: socket.socket, host: str, *, verify: bool = True, protocols: Sequence[str] = ()
) -> ssl.SSLSocket:
    """Begin TLS on a connection, which is closed where that fails.

    Args:
        plain: The connection; its time-out holds for the greeting.
        host: What the certificate has to be for.
        verify: Whether that is looked at.
        protocols: What is offered by ALPN.

    Raises:
        PermanentProviderError: The certificate is not good.
        OSError: There is no TLS.
    """
    context = ssl.create_default_context()
    if protocols:
        context.set_alpn_protocols(list(protocols))
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        return context.wrap_socket(plain, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        plain.close()
        raise untrusted(host, error) from error
    except BaseException:
        plain.close()
        raise


def untrusted(server: str, error: ssl.SSLCertVerificationError) -> PermanentProviderError:
    """Say what is wrong with a certificate, and who can mend it."""
    code = error.verify_code
    if code == _EXPIRED:
        words = f"The certificate of {server} has expired. Whoever runs the server has to renew it."
    elif code == _TOO_EARLY:
        words = f"The certificate of {server} is not yet valid. Check the clock of this machine."
    elif code in _OTHER_NAME:
        words = f"The certificate of {server} belongs to another server. Check the address."
    elif code in _NOT_TRUSTED:
        words = (
            f"The certificate of {server} is signed by nobody who is trusted here. Check the"
            " address, or ask whoever runs the server."
        )
    else:
        words = f"The certificate of {server} cannot be trusted: {error.verify_message}."
    return PermanentProviderError(words, raw=str(error))


def unreachable(server: str, error: Exception) -> TemporaryProviderError | PermanentProviderError:
    """Say why there is no connection to a web server."""
    for found in (error, *error.args):
        if isinstance(found, ssl.SSLCertVerificationError):
            return untrusted(server, found)
    words = f"{server} cannot be reached. Check the address, or wait until it is back."
    return TemporaryProviderError(words, raw=str(error) or type(error).__name__)
